"""How much each caller may ask, in Postgres: one bucket a caller for all processes, which fills with time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from core import database, queries

_SQL = queries.load("work")
KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Allowance:
    """A bucket of `most` requests that fills with `per_second`; `kind` says what is asked."""

    kind: str
    most: int
    per_second: float


@dataclass(frozen=True)
class Granted:
    """So many requests may be made; with none, the next one may in `wait_s`."""

    requests: int
    wait_s: float


def take(of: Allowance, caller: str, wanted: int) -> Granted:
    """Up to `wanted` requests of the caller's allowance, in one round trip."""
    with database.statement() as connection:
        row = _SQL["take_allowance"].one(
            connection,
            kind=of.kind,
            caller=caller,
            most=of.most,
            wanted=min(wanted, of.most),
            per_second=of.per_second,
        )
    return Granted(row["granted"], max(0.0, (1 - row["tokens"]) / of.per_second))


def prune(now: datetime) -> int:
    """Forget callers who have asked nothing for a day: they would begin with all of it in any case."""
    with database.statement() as connection:
        return _SQL["forget_allowances"].run(connection, before=now - KEPT)
