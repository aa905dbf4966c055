"""Finds what is wrong with deliveries and keeps the alerts for it."""

from core.alerts import service
from core.deliveries import tools


def run() -> int:
    """Open, renew and resolve them; how many were opened or resolved."""
    return service.watch_deliveries(tools.current().clock())
