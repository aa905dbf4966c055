"""Keeps the counts of deliveries by the hour and day that pages read."""

from core import database
from core.deliveries import rollups


def run() -> int:
    """Count changed hours, and those that never were; how many."""
    return rollups.run(database.now())
