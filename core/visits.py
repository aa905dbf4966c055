"""How many sessions people have with the pages, and how many of those met an error on our side."""

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from core import database, log, queries
from core.errors import StudioOpsError

# Of a hundred sessions less than one may meet an error.
TARGET = 0.01
KEPT = timedelta(days=90)
_SQL = queries.load("visits")
_log = log.get(__name__)
_guard = threading.Lock()
# Counted here and not yet written: the error that is counted may be that of the database.
_sessions: Counter[datetime] = Counter()
_failed: Counter[datetime] = Counter()


@dataclass(frozen=True)
class Visits:
    """Sessions that were begun within a day, and those of them that met an error."""

    sessions: int
    failed: int

    @property
    def failed_share(self) -> float | None:
        """The share that met an error; None for no session."""
        return self.failed / self.sessions if self.sessions else None


def begun(at: datetime) -> datetime:
    """Count a session that begins now; the hour that it belongs to, for `met_an_error`."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    with _guard:
        _sessions[hour] += 1
    _write()
    return hour


def met_an_error(hour: datetime, *, write: bool = True) -> None:
    """Count that a session of this hour has met its first error; written with the next one where not now."""
    with _guard:
        _failed[hour] += 1
    if write:
        _write()


def _write() -> None:
    """Write what is counted; what cannot be written is kept for the next time."""
    with _guard:
        sessions, failed = dict(_sessions), dict(_failed)
        _sessions.clear()
        _failed.clear()
    for hour in sorted({*sessions, *failed}):
        try:
            with database.statement() as connection:
                _SQL["add"].run(
                    connection, hour=hour, sessions=sessions.get(hour, 0), failed=failed.get(hour, 0)
                )
        except (SQLAlchemyError, StudioOpsError) as error:
            _log.warning("visits.not_written", error=type(error).__name__)
            with _guard:
                _sessions[hour] += sessions.get(hour, 0)
                _failed[hour] += failed.get(hour, 0)


def of_the_last_day(now: datetime) -> Visits:
    """Those begun since the full hour 24 hours ago."""
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=24)
    with database.reading() as connection:
        return Visits(**_SQL["since"].one(connection, since=since))


def prune(now: datetime) -> int:
    """Forget what is older than is kept; how many hours."""
    with database.statement() as connection:
        return _SQL["prune"].run(connection, before=now - KEPT)
