"""Keeps the company's own counts of LoRAs a user and month."""

from core import database
from core.trainings import spending


def run() -> int:
    """Bring them into this month and in step; how many changed."""
    return spending.keep_counts(database.now())
