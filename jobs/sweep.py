"""Finds due deliveries whose job has vanished."""

from core.deliveries import following, tools


def run() -> int:
    """Put them back on the queue; how many."""
    return following.sweep(tools.current())
