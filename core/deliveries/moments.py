"""What was on its way at each full hour, written down as it was: nobody can count it afterwards."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core import database, queries
from core.deliveries import stuck
from core.deliveries.rollups import KEPT
from core.deliveries.windows import WINDOWS, Filter, hour_of

SQL = queries.load("moments")


@dataclass(frozen=True)
class Moment:
    """How many were on their way, and how many of those were stuck, at about the full hour `at`."""

    at: datetime
    in_flight: int
    stuck: int


def record(now: datetime) -> None:
    """Write down what is on its way, once in the hour that has begun; forget what no trend looks at."""
    with database.transaction() as connection:
        SQL["record"].run(connection, hour=hour_of(now), **stuck.late(now))
        SQL["forget"].run(connection, before=now - KEPT)


def before(connection: Connection, wanted: Filter, now: datetime) -> Moment | None:
    """The moment that lies the window's length back, or the oldest since; None when the last hour has none
    but its own."""
    row = SQL["oldest_since"].one(
        connection,
        since=hour_of(now - WINDOWS[wanted.window]),
        until=hour_of(now),
        kind=wanted.kind,
        model=wanted.model,
    )
    return Moment(row["at"], row["in_flight"], row["stuck"]) if row["at"] is not None else None
