"""A step of the rehearsal: fill it, clear it, or make live traffic."""

from core.deliveries import tools
from core.rehearsal import service


def run() -> int:
    """Take the step; how many things it handled."""
    return service.bring_on(tools.current())
