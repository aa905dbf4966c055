"""Proves every night that the budget's running totals are what its lines add up to."""

from core import database
from core.alerts import service


def run() -> int:
    """Compare them, and open or resolve the alerts for it; how many changed."""
    return service.watch_totals(database.now())
