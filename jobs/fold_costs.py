"""Counts new lines of the ledger into the sums that pages read."""

from core import database
from core.budget import fold


def run() -> int:
    """Take up what waits; how many changes."""
    return fold.run(database.now())
