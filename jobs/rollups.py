"""Keeps the counts of deliveries by the hour and day that pages read."""

from core import database
from core.deliveries import moments, rollups


def run() -> int:
    """Count changed hours, and those that never were; how many. At each full hour also what is on its way."""
    now = database.now()
    moments.record(now)
    return rollups.run(now)
