"""Follows rows of other systems that nothing else noticed."""

from core.deliveries import following, tools


def run() -> int:
    """Adopt them; how many."""
    return following.adopt(tools.current())
