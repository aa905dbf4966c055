"""Forgets the logs and timelines of trainings that have long been over, and drafts that nobody launched.

What is under way or waits for a person keeps all its lines, however old; a draft with an image in doubt stays
too, since money is reserved for it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core import database, log
from core.errors import StorageError
from core.trainings import dataset
from core.trainings.dataset_tools import DatasetTools
from core.trainings.repository import SQL

# A batch is one short statement: it locks no row that anybody writes, and leaves Postgres room between.
BATCH = 5_000
DRAFTS = 100
PAUSE_S = 0.02
# A run ends after this; what is left is the next one's.
RUN_FOR_S = 60.0
_IMAGES = dataset.SQL
_log = log.get(__name__)


@dataclass(frozen=True)
class Keep:
    """Until when lines of runs that are over, and drafts that nobody has touched since, are kept."""

    lines_from: datetime
    drafts_from: datetime


def prune(keep: Keep, tools: DatasetTools, *, run_for_s: float = RUN_FOR_S, batch: int = BATCH) -> int:
    """Delete what is older and over; how many lines, steps and drafts went."""
    ends = time.monotonic() + run_for_s

    def over() -> bool:
        return time.monotonic() >= ends

    lines = _lines("prune_log", keep.lines_from, batch, over)
    lines += _lines("prune_steps", keep.lines_from, batch, over)
    return lines + _drafts(keep.drafts_from, tools, over)


def _lines(query: str, before: datetime, batch: int, over: Callable[[], bool]) -> int:
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


def _drafts(before: datetime, tools: DatasetTools, over: Callable[[], bool]) -> int:
    with database.reading() as connection:
        rows = _IMAGES["old_drafts"].all(connection, before=before, limit=DRAFTS)
    gone = 0
    for row in rows:
        if over():
            break
        gone += _forget_draft(row["id"], before, tools)
    return gone


def _forget_draft(draft_id: UUID, before: datetime, tools: DatasetTools) -> bool:
    """Steps: 1. its images are taken out, unless it was launched or touched meanwhile; 2. their files go;
    3. its rows. Whoever is killed between leaves it to the next."""
    with database.transaction() as connection:
        _IMAGES["hold_draft"].all(connection, id=str(draft_id))
        if _IMAGES["old_draft"].first(connection, id=draft_id, before=before) is None:
            return False
        places = _IMAGES["empty_draft"].all(connection, id=draft_id, now=tools.clock())
    try:
        for place in places:
            if place["path"]:
                tools.storage.delete(place["bucket"], place["path"])
    except StorageError as error:
        _log.warning("training.draft_left", draft_id=str(draft_id), error=error.message)
        return False
    with database.transaction() as connection:
        _IMAGES["forget_draft"].run(connection, id=draft_id)
        _IMAGES["forget_drawings"].run(connection, id=draft_id)
    return True
