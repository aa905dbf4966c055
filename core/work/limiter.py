"""One limiter for each provider key, in Postgres, for all processes on all machines.

Calls get places on a line, evenly spaced. A caller whose priority is lower may look less far
ahead: while the line is long, only those with a higher priority still get a place. Nobody starves: who
has been turned away for PATIENCE_S gets one place behind the others.
"""

from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy import RowMapping

from core import database, queries

_SQL = queries.load("work")


class Priority(IntEnum):
    """Who goes first: a person who waits, a callback, a poll, a bulk plan."""

    SYNC = 0
    CALLBACK = 1
    POLL = 2
    PLAN = 3


# A priority that has found no place for so long gets one all the same.
PATIENCE_S = 10.0
HORIZON_S = {Priority.SYNC: 5.0, Priority.CALLBACK: 3.0, Priority.POLL: 1.5, Priority.PLAN: 0.5}


@dataclass(frozen=True)
class Limit:
    """A provider's limit under its key; operations may set another figure in `provider_limits`."""

    key: str
    per_second: float


# KIE takes 20 new tasks in 10 s an account; more are refused, not queued (providers.md). Evenly spaced at
# that very rate, the 21st would meet the window's edge.
KIE_CREATE = Limit("kie:create", 1.9)
# KIE answers at most 10 queries a second for a key (providers.md). Evenly spaced at 9, an eleventh meets the
# first one's second only when a call is more than a tenth of a second late.
KIE_READ = Limit("kie:read", 9.0)
# fal publishes no rates: its queue takes what comes. These are ours.
FAL_CREATE, FAL_READ = Limit("fal:create", 5.0), Limit("fal:read", 20.0)
CREATES = {"kie": KIE_CREATE, "fal": FAL_CREATE}
READS = {"kie": KIE_READ, "fal": FAL_READ}


@dataclass(frozen=True)
class Places:
    """Places granted: the n-th call may start `delays_s[n]` seconds from now."""

    delays_s: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.delays_s)


def reserve(limit: Limit, wanted: int, priority: Priority) -> Places:
    """Up to `wanted` places under `limit`, in order; fewer or none when the line is long."""
    if wanted < 1:
        return Places(())
    row = _reserve(limit.key, wanted, priority)
    if row is None:
        with database.statement() as connection:
            _SQL["define_limit"].run(connection, key=limit.key, per_second=limit.per_second)
        row = _reserve(limit.key, wanted, priority)
    assert row is not None
    return Places(tuple(row["first_in_s"] + n * row["interval_s"] for n in range(row["granted"])))


def per_second(limit: Limit) -> float:
    """How many calls a second are granted: an operator's own figure, else the limit's."""
    with database.statement() as connection:
        row = _SQL["rate"].first(connection, key=limit.key)
    return float(row["per_second"]) if row else limit.per_second


def _reserve(key: str, wanted: int, priority: Priority) -> RowMapping | None:
    with database.statement() as connection:
        return _SQL["reserve_calls"].first(
            connection,
            key=key,
            wanted=wanted,
            priority=priority.name.lower(),
            horizon_s=HORIZON_S[priority],
            patience_s=PATIENCE_S,
        )
