"""The rehearsal's row and the named queries that fill and clear."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from core import database, queries
from core.errors import Conflict
from core.rehearsal.models import FIRST, LAST, Sizes, Standing, State

SQL = queries.load("rehearsal")
MARKED = {"first": FIRST, "last": LAST}


def standing(connection: Connection) -> Standing | None:
    """The rehearsal that stands here; None when there is none."""
    row = SQL["standing"].first(connection)
    if row is None:
        return None
    return Standing(
        state=State(row["state"]),
        seed=row["seed"],
        days=row["days"],
        generations=row["generations"],
        done=row["done"],
        total=row["total"],
        begun_at=row["begun_at"],
        begun_by=row["begun_by"],
        usage_taken_at=tuple(row["usage_taken_at"]),
        traffic_per_minute=row["traffic_per_minute"],
        traffic_since=row["traffic_since"],
        traffic_until=row["traffic_until"],
    )


def sizes(connection: Connection) -> Sizes:
    """What belongs to it."""
    row = SQL["sizes"].one(connection, **MARKED)
    return Sizes(**{name: row[name] for name in Sizes.__match_args__})


@contextmanager
def alone() -> Iterator[None]:
    """Only one process fills or clears at a time; Conflict for the second."""
    with database.statement() as connection:
        if not SQL["try_lock"].one(connection)["taken"]:
            raise Conflict(
                "Somebody else is filling or clearing the rehearsal just now. Wait until it is done."
            )
        try:
            yield
        finally:
            SQL["unlock"].one(connection)
