"""Counts what is stored, and what for."""

from core import usage
from core.deliveries import tools


def run() -> int:
    """Take one snapshot; how many files there are."""
    outside = tools.current()
    return usage.snapshot(outside.storage, outside.clock()).files
