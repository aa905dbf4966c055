"""Takes changes of lines up into the sums that pages read, and into totals of what reserves nothing."""

import time
from datetime import datetime

from core import database
from core.budget.repository import SQL

AT_ONCE = 20_000
RUN_FOR_S = 5.0


def run(now: datetime, run_for_s: float = RUN_FOR_S) -> int:
    """Take up what waits, a part a transaction, for so long; how many changes.

    Each change leaves its list in the transaction that adds it, so that it counts once whoever is killed.
    """
    until, taken = time.monotonic() + run_for_s, 0
    while True:
        with database.transaction() as connection:
            if not SQL["fold_alone"].one(connection)["alone"]:
                return taken
            n = int(SQL["fold"].one(connection, limit=AT_ONCE)["n"])
            SQL["folded"].run(connection, now=now)
        taken += n
        if n < AT_ONCE or time.monotonic() >= until:
            return taken
