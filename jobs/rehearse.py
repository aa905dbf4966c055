"""Live traffic of a rehearsal."""

from core.deliveries import tools
from core.rehearsal import traffic


def run() -> int:
    """Make the generations that are due; how many."""
    return traffic.tick(tools.current())
