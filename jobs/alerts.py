"""Finds what is wrong with deliveries and with the library of LoRAs, and keeps the alerts for it."""

from core.alerts import service
from core.deliveries import tools


def run() -> int:
    """Open, renew and resolve them; how many were opened or resolved."""
    now = tools.current().clock()
    return service.watch_deliveries(now) + service.watch_library(now)
