"""What became of generations begun in given spans: what was counted, what marks say has changed since, and
the rows of hours that are not counted; one read, within the snapshot of its connection."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from sqlalchemy import Connection

from core import database, queries
from core.deliveries import windows
from core.deliveries.rollups import SQL as ROLLUPS
from core.deliveries.windows import DAY, WINDOWS, Counted, Filter, Span

SQL = queries.load("health")

STANDS = ("delivered", "failed", "lost", "needs_attention", "in_flight")
# More rows than this are not read for one look; the job has counted them soon.
MOST_ROWS = 150_000
NOTHING: Span = (windows.EPOCH, windows.EPOCH)


@dataclass(frozen=True)
class Counts:
    """Generations by where they stand."""

    delivered: int = 0
    failed: int = 0
    lost: int = 0
    needs_attention: int = 0
    in_flight: int = 0

    @property
    def finished(self) -> int:
        """Those that have come to an end of their own."""
        return self.delivered + self.failed + self.lost

    @property
    def total(self) -> int:
        """All of them."""
        return self.finished + self.needs_attention + self.in_flight

    @property
    def success_rate(self) -> float | None:
        """Delivered ÷ finished, 0 to 1; None when none has finished."""
        return self.delivered / self.finished if self.finished else None


def counts_of(by_stand: Mapping[str, int]) -> Counts:
    """Counts of what stands where."""
    return Counts(**{stand: by_stand.get(stand, 0) for stand in STANDS})


@dataclass
class Cells:
    """`course`: by the day or hour that they were begun in, and where they stand. `parts`: by kind and model,
    then measure (state, time, failure) and key. `unread`: spans of which not all rows were read."""

    course: dict[datetime, dict[str, int]] = field(default_factory=dict)
    parts: dict[tuple[str, str], dict[str, dict[str, int]]] = field(default_factory=dict)
    unread: Sequence[Span] = ()

    def within(self, span: Span) -> Counts:
        """Those begun in the span."""
        found: Counter[str] = Counter()
        for at, by_stand in self.course.items():
            if span[0] <= at < span[1]:
                found.update(by_stand)
        return counts_of(found)

    def times(self) -> Counter[str]:
        """How many took how long, of all models."""
        found: Counter[str] = Counter()
        for measures in self.parts.values():
            found.update(measures.get("time", {}))
        return found

    def knows(self, span: Span) -> bool:
        """Whether all that were begun in the span are counted here."""
        return not any(begin < span[1] and span[0] < end for begin, end in self.unread)


@contextmanager
def snapshot() -> Iterator[Connection]:
    """One snapshot to read in. Its queries are planned for the values that they are given: a plan for any
    would sort the counts of a month, which takes three times as long."""
    with database.reading() as connection:
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
        yield connection


def counted_now(connection: Connection, now: datetime) -> Counted:
    """What the job has counted so far, and the hours of which a mark does not say what has changed since."""
    state = ROLLUPS["rollup_state"].one(connection)
    since, until = windows.day_of(now - 2 * WINDOWS["30d"]) - DAY, windows.hour_of(now) + windows.HOUR
    hours = {row["hour"] for row in ROLLUPS["dirty_hours"].all(connection, since=since, until=until)}
    if any(hour < since for hour in hours):
        return Counted(None)
    added = state["added_at"] == state["rolled_at"]
    return Counted(state["covered_from"], frozenset(hours), state["rolled_at"], today=added)


def read(
    connection: Connection,
    wanted: Filter,
    counted: Counted,
    spans: Sequence[Span],
    *,
    hourly: Span = NOTHING,
    parts: Span = NOTHING,
) -> Cells:
    """What became of those of the filter's kind and model that were begun in these spans; by the hour in
    `hourly`, one of the spans; by kind, model and measure in `parts`, another or the same."""
    cuts = sorted({at for span in spans for at in span})
    covers = [
        windows.cover(begin, end, counted, days=not hourly[0] <= begin < hourly[1])
        for begin, end in pairwise(cuts)
    ]
    unknown = [span for cover in covers for span in cover.rows]
    part = windows.cover(*parts, counted, days=True)
    found, rows = Cells(), 0
    for row in SQL["cells"].all(
        connection,
        marked_since=max(cuts[0], counted.covered_from or cuts[-1]),
        until=cuts[-1],
        dirty=list(counted.dirty),
        froms=[begin for begin, _ in unknown],
        untils=[end for _, end in unknown],
        most=MOST_ROWS,
        days=[day for cover in covers for day in cover.days],
        hours=[hour for cover in covers for hour in cover.hours],
        parts_since=parts[0],
        parts_until=parts[1],
        parts_days=list(part.days),
        parts_hours=list(part.hours),
        kind=wanted.kind,
        model=wanted.model,
    ):
        if row["measure"] == "rows":
            rows = row["n"]
        elif row["measure"] == "course":
            found.course.setdefault(row["at"], {})[row["key"]] = row["n"]
        else:
            of_model = found.parts.setdefault((row["kind"], row["model"]), {})
            of_model.setdefault(row["measure"], {})[row["key"]] = row["n"]
    if rows >= MOST_ROWS:
        found.unread = unknown
    return found
