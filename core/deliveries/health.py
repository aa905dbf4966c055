"""What Delivery health shows: each number with its definition, and exactly the rows that it counts.

A window counts the generations begun in it. Whole hours and days come from the counts that a job keeps
(`rollups`); the hours at the window's edges and those that changed since are read from their rows, all in
one snapshot, so that a number equals the rows that it opens.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping

from core import access, database, queries
from core.access import Action, Actor
from core.deliveries import windows
from core.deliveries.rollups import SQL as ROLLUPS
from core.deliveries.windows import BARS, WINDOWS, Counted, Filter
from core.providers import kie_models

SQL = queries.load("health")

TARGET = 0.98
# More rows than this are not read for one look; the job has counted them soon.
MOST_ROWS = 150_000
# The job runs every ten seconds; hours that are still waiting after this long say that it does not.
BEHIND_AFTER = timedelta(minutes=5)
MEASURES = ("state", "time", "failure")
STANDS = ("delivered", "failed", "lost", "needs_attention", "in_flight")
# A bucket of the time to deliver is so much wider than the one before (0013_delivery_rollups.sql).
BUCKET_GROWTH, BUCKET_FIRST_S = 1.15, 0.1
KEYS: dict[str, tuple[str, ...]] = {
    "begun": STANDS,
    "finished": ("delivered", "failed", "lost"),
    "open": ("in_flight",),
} | {stand: (stand,) for stand in STANDS if stand != "in_flight"}

DEFINITIONS: Mapping[str, str] = {
    "success": "Delivered ÷ (delivered + failed + lost), of generations begun in the window. What is on its"
    " way or needs attention is not in it. Rounded down.",
    "in_flight": "On its way now, whenever it was begun: waiting to be sent, sent, at KIE, or being stored.",
    "stuck": "On its way for longer than its model may take, or else its kind: an image 10 minutes, a film"
    " 20 minutes.",
    "lost": "KIE made it, and its file was gone before it could be stored; begun in the window.",
    "needs_attention": "No rule can finish it, a person must; begun in the window.",
    "failed": "KIE refused it or could not make it; begun in the window.",
    "delivered": "Its file is in our storage; begun in the window.",
    "time": "From the beginning to the stored file. Half of those begun in the window took at most p50, 95 of"
    " 100 at most p95; each within 7 %.",
    "rescue": "Finished at KIE and not in our storage yet, by the time left until KIE deletes the file.",
    "begun": "All that were begun in the window.",
    "finished": "Delivered, failed or lost, of those begun in the window.",
    "open": "Begun in the window and still on its way.",
    "timed": "Delivered, and it is known when.",
}


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


@dataclass(frozen=True)
class Bar:
    """Generations begun within the span of the chart that begins at `start`."""

    start: datetime
    counts: Counts


@dataclass(frozen=True)
class Times:
    """Seconds to deliver; None when nothing was delivered."""

    p50_s: float | None
    p95_s: float | None
    samples: int


@dataclass(frozen=True)
class ModelLine:
    """One model's part of the window."""

    kind: str
    model: str
    counts: Counts
    times: Times


@dataclass(frozen=True)
class FailureLine:
    """Generations that failed, were lost or need attention for the same reason, with the same model."""

    signature: str
    state: str
    category: str
    code: str
    message: str
    kind: str
    model: str
    n: int


@dataclass(frozen=True)
class UnderWay:
    """What is on its way now, whenever it was begun; `expires_at` is the first file that KIE will delete."""

    in_flight: int
    stuck: int
    rescue: int
    expires_at: datetime | None


@dataclass(frozen=True)
class Health:
    """One look, in one snapshot, as of `as_of`.

    `windows` holds the counts of each window; `before` those of the window before the chosen one.
    Windows in `being_counted` reach into a time of which too little is counted yet: their counts are too low
    to be shown; so is `before` unless `before_counted`. `behind`: the counting stands still.
    """

    as_of: datetime
    filter: Filter
    windows: Mapping[str, Counts]
    before: Counts
    bars: Sequence[Bar]
    models: Sequence[ModelLine]
    failures: Sequence[FailureLine]
    times: Times
    under_way: UnderWay
    being_counted: frozenset[str]
    before_counted: bool
    behind: bool
    rolled_at: datetime | None
    any_generation: bool

    @property
    def counts(self) -> Counts:
        """The chosen window's."""
        return self.windows[self.filter.window]

    @property
    def incomplete(self) -> bool:
        """Whether a window is still being counted."""
        return bool(self.being_counted)

    def known(self, window: str) -> Counts | None:
        """A window's counts; None while it is being counted."""
        return None if window in self.being_counted else self.windows[window]


@dataclass
class _Cells:
    """The sums of one span: by key, by bar and key, by kind and model and key; how many rows were read."""

    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    bars: dict[datetime, dict[str, int]] = field(default_factory=dict)
    models: dict[tuple[str, str], dict[str, dict[str, int]]] = field(default_factory=dict)
    rows: int = 0

    def add(self, row: RowMapping) -> None:
        measure, key, n = row["measure"], row["key"], row["n"]
        if measure == "rows":
            self.rows = n
        elif row["model"] is not None:
            of_model = self.models.setdefault((row["kind"], row["model"]), {})
            of_model.setdefault(measure, {})[key] = n
        elif row["bar"] is not None:
            self.bars.setdefault(row["bar"], {})[key] = n
        else:
            self.totals.setdefault(measure, {})[key] = n


def look(actor: Actor | None, wanted: Filter, now: datetime) -> Health:
    """Everything on the page for the filter's window, kind and model."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return look_by(connection, wanted, now, counted_now(connection, now))


def look_by(connection: Connection, wanted: Filter, now: datetime, counted: Counted) -> Health:
    """The same within a snapshot that shows more."""
    chosen = _cells(connection, wanted.but(at=None), wanted.but(at=None).span(now), counted, MEASURES)
    length, until = WINDOWS[wanted.window], now + timedelta(microseconds=1)
    before = _cells(connection, wanted, (now - 2 * length, now - length), counted, ("state",))
    others = {
        name: _cells(connection, wanted, (now - span, until), counted, ("state",))
        for name, span in WINDOWS.items()
        if name != wanted.window
    }
    under_way = _under_way(connection, wanted, now)
    found = bool(SQL["any_generation"].one(connection)["found"])
    each = {wanted.window: chosen} | others
    return Health(
        as_of=now,
        filter=wanted,
        windows={name: counts_of(cells.totals.get("state", {})) for name, cells in each.items()},
        before=counts_of(before.totals.get("state", {})),
        bars=_bars(wanted.but(at=None), now, chosen),
        models=_models(chosen),
        failures=_failures(chosen),
        times=_times(chosen.totals.get("time", {})),
        under_way=under_way,
        being_counted=frozenset(name for name, cells in each.items() if cells.rows >= MOST_ROWS),
        before_counted=before.rows < MOST_ROWS,
        behind=counted.rolled_at is not None and now - counted.rolled_at > BEHIND_AFTER,
        rolled_at=counted.rolled_at,
        any_generation=found,
    )


def matching(connection: Connection, wanted: Filter, now: datetime, counted: Counted) -> int | None:
    """How many generations begun in the filter's span match all of it; None while they are being counted."""
    of_time, of_failure = wanted.state == "timed", wanted.signature is not None
    measures = MEASURES if of_time or of_failure else ("state",)
    cells = _cells(connection, wanted, wanted.span(now), counted, measures)
    if cells.rows >= MOST_ROWS:
        return None
    if of_failure:
        return sum(
            line.n
            for line in _failures(cells)
            if line.signature == wanted.signature and wanted.state in (None, "begun", line.state)
        )
    if of_time:
        return sum(cells.totals.get("time", {}).values())
    by_key = cells.totals.get("state", {})
    return sum(by_key.get(key, 0) for key in KEYS[wanted.state or "begun"])


def last_day(actor: Actor | None, now: datetime) -> tuple[Counts | None, Sequence[Bar]]:
    """The last 24 hours and their course by the hour, the same on every page; None while being counted."""
    access.check(actor, Action.VIEW)
    wanted = Filter()
    with database.reading() as connection:
        counted = counted_now(connection, now)
        cells = _cells(connection, wanted, wanted.span(now), counted, MEASURES)
    if cells.rows >= MOST_ROWS:
        return None, ()
    return counts_of(cells.totals.get("state", {})), _bars(wanted, now, cells)


def sql_of(definition: str) -> str:
    """The SQL that counts a number."""
    return SQL["under_way" if definition in windows.NOW_STATES else "cells"].sql


def counted_now(connection: Connection, now: datetime) -> Counted:
    """What the job has counted so far, and what has changed since."""
    state = ROLLUPS["rollup_state"].one(connection)
    since = windows.day_of(now - 2 * WINDOWS["30d"]) - windows.DAY
    marked = ROLLUPS["dirty_hours"].all(connection, since=since, until=now + windows.HOUR)
    hours = {row["hour"] for row in marked}
    if any(hour < since for hour in hours):
        return Counted(None)
    return Counted(state["covered_from"], frozenset(hours), state["rolled_at"])


def _cells(
    connection: Connection,
    wanted: Filter,
    span: tuple[datetime, datetime],
    counted: Counted,
    measures: Sequence[str],
) -> _Cells:
    bar, every = BARS[wanted.window], len(measures) > 1
    whole = windows.cover(*span, counted, days=True)
    cover = windows.cover(*span, counted, days=False) if every and bar < windows.DAY else whole
    found = _Cells()
    for row in SQL["cells"].all(
        connection,
        every=every,
        days=list(cover.days),
        hours=list(cover.hours),
        whole_days=list(whole.days),
        other_hours=list(whole.hours),
        froms=[begin for begin, _ in cover.rows],
        untils=[end for _, end in cover.rows],
        most=MOST_ROWS,
        bar=bar,
        kind=wanted.kind,
        model=wanted.model,
    ):
        found.add(row)
    return found


def counts_of(by_key: Mapping[str, int]) -> Counts:
    """Counts of what stands where."""
    return Counts(**{stand: by_key.get(stand, 0) for stand in STANDS})


def _bars(wanted: Filter, now: datetime, cells: _Cells) -> Sequence[Bar]:
    """Every bar of the chosen span, empty ones included, oldest first."""
    step, (since, until) = BARS[wanted.window], wanted.span(now)
    epoch = windows.day_of(since).replace(month=1, day=1)
    start = epoch + (since - epoch) // step * step
    bars = []
    while start < until:
        bars.append(Bar(start, counts_of(cells.bars.get(start, {}))))
        start += step
    return bars


def _models(cells: _Cells) -> Sequence[ModelLine]:
    lines = [
        ModelLine(kind, model, counts_of(measures.get("state", {})), _times(measures.get("time", {})))
        for (kind, model), measures in cells.models.items()
    ]
    return sorted(lines, key=lambda line: (-line.counts.total, line.kind, line.model))


def _failures(cells: _Cells) -> Sequence[FailureLine]:
    lines = [
        FailureLine(_signature(model, key), *_failure_parts(key), kind, model, n)
        for (kind, model), measures in cells.models.items()
        for key, n in measures.get("failure", {}).items()
    ]
    return sorted(lines, key=lambda line: (-line.n, line.model, line.signature))


def _signature(model: str, failure: str) -> str:
    """As generation_signature of 0013_delivery_rollups.sql names it."""
    return hashlib.md5(f"{model}\x1f{failure}".encode(), usedforsecurity=False).hexdigest()[:12]


def _failure_parts(key: str) -> tuple[str, str, str, str]:
    state, category, code, message = (*key.split("\x1f", 3), "", "", "")[:4]
    return state, category, code, message


def _times(buckets: Mapping[str, int]) -> Times:
    by_bucket = sorted((int(bucket), n) for bucket, n in buckets.items())
    samples = sum(n for _, n in by_bucket)
    return Times(_percentile(by_bucket, samples, 0.5), _percentile(by_bucket, samples, 0.95), samples)


def _percentile(buckets: Sequence[tuple[int, int]], samples: int, part: float) -> float | None:
    """The middle of the bucket in which the `part`-th sample lies, in seconds."""
    left = part * samples
    for bucket, n in buckets:
        left -= n
        if left <= 0:
            return float(BUCKET_FIRST_S * BUCKET_GROWTH ** (bucket + 0.5))
    return None


def limits() -> dict[str, Any]:
    """How many minutes each model and each kind may take, for the queries that tell what is stuck."""
    return {
        "models": [model.id for model in kie_models.MODELS],
        "minutes": [model.stuck_minutes for model in kie_models.MODELS],
        "image_minutes": kie_models.timing("", "image").stuck_minutes,
        "video_minutes": kie_models.timing("", "video").stuck_minutes,
    }


def _under_way(connection: Connection, wanted: Filter, now: datetime) -> UnderWay:
    row = SQL["under_way"].one(connection, now=now, kind=wanted.kind, model=wanted.model, **limits())
    return UnderWay(row["in_flight"], row["stuck"], row["rescue"], row["expires_at"])


def number_of(found: Health) -> int | None:
    """How many rows the look's own filter opens; None for one that no number of the page counts."""
    wanted = found.filter
    if wanted.state is not None and wanted.state in windows.NOW_STATES:
        return int(getattr(found.under_way, wanted.state))
    if wanted.signature is not None:
        matching = [line for line in found.failures if line.signature == wanted.signature]
        return sum(line.n for line in matching if wanted.state in {None, line.state})
    if wanted.state == "timed":
        return found.times.samples
    counts = found.counts
    if wanted.at is not None:
        counts = next((bar.counts for bar in found.bars if bar.start == wanted.at), Counts())
    return sum(int(getattr(counts, key)) for key in KEYS[wanted.state or "begun"])
