"""Forgets the timelines and callbacks of deliveries that have long been over.

What is not at its end, is lost, or waits for a person keeps all its evidence, however old.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from core import database
from core.deliveries.repository import SQL

# A batch is one short statement: it locks no row that anybody writes, and leaves Postgres room between.
BATCH = 5_000
PAUSE_S = 0.02
# A run ends after this; what is left is the next one's.
RUN_FOR_S = 60.0


@dataclass(frozen=True)
class Keep:
    """Until when events and callbacks that are over are kept."""

    events_from: datetime
    callbacks_from: datetime


def prune(keep: Keep, *, run_for_s: float = RUN_FOR_S, batch: int = BATCH) -> int:
    """Delete what is older and over, in batches; how many rows went."""
    ends = time.monotonic() + run_for_s
    return _prune("prune_events", keep.events_from, batch, lambda: time.monotonic() >= ends) + _prune(
        "prune_callbacks", keep.callbacks_from, batch, lambda: time.monotonic() >= ends
    )


def _prune(query: str, before: datetime, batch: int, over: Callable[[], bool]) -> int:
    """From the oldest id on, until a batch has nothing that is old: ids are given in the order of time."""
    after, gone = 0, 0
    while True:
        with database.statement() as connection:
            found = SQL[query].one(connection, after=after, before=before, size=batch)
        gone += int(found["gone"])
        if not found["old"] or over():
            return gone
        after = found["last"]
        time.sleep(PAUSE_S)
