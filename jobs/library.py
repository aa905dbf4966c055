"""Counts what is popular in the library of LoRAs, and how much it holds."""

from core import database
from core.loras import popularity


def run() -> int:
    """Bring the counts up to date; how many LoRAs changed."""
    return popularity.count(database.now())
