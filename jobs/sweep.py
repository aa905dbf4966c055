"""Finds due deliveries and running plans whose job has vanished."""

from core.deliveries import following, tools
from core.plans import running


def run() -> int:
    """Put them back on the queue; how many."""
    outside = tools.current()
    return following.sweep(outside) + running.sweep(outside)
