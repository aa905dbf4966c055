"""What Delivery health shows: each number with its definition, and exactly the rows that it counts.

A window counts the generations begun in it, by whole hours: what a job has counted (`rollups`), what marks
say has changed since, and the rows of hours that are not counted, all in one snapshot, so that a number
equals the rows that it opens.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from core import access
from core.access import Action, Actor
from core.deliveries import cells, moments, stuck, windows
from core.deliveries.cells import SQL, STANDS, Cells, Counts, counted_now, counts_of
from core.deliveries.moments import Moment
from core.deliveries.windows import BARS, WINDOWS, Counted, Filter, Span
from core.queries import Figure

TARGET = 0.98
# The job runs every ten seconds; hours that are still waiting after this long say that it does not.
BEHIND_AFTER = timedelta(minutes=5)
# A bucket of the time to deliver is so much wider than the one before (0013_delivery_rollups.sql).
BUCKET_GROWTH, BUCKET_FIRST_S = 1.15, 0.1
KEYS: dict[str, tuple[str, ...]] = {
    "begun": STANDS,
    "finished": ("delivered", "failed", "lost"),
    "open": ("in_flight",),
    "timed": ("delivered",),
} | {stand: (stand,) for stand in STANDS if stand != "in_flight"}

DEFINITIONS: Mapping[str, str] = {
    "window": "Whole bars of the chart: 24 hours begin with the full hour, 7 days with the quarter of a day"
    " (UTC), 30 days with the day (UTC) that lies so far back. All reach to now.",
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
    "trend": "Against the same length of time before the window. Of what is on its way now: against what was"
    " on its way when the window began, written down at each full hour.",
    "begun": "All that were begun in the window.",
    "finished": "Delivered, failed or lost, of those begun in the window.",
    "open": "Begun in the window and still on its way.",
    "timed": "Delivered, and it is known when.",
}


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

    `windows` holds the counts of each window; `before` those of the same length of time before it, where
    they are known: of the longest window only when it is the chosen one. `times_before` are those before the
    chosen one, as last counted; None when not all of it is counted. `moment_before` is what was on its way
    when the chosen window began, or as soon afterwards as somebody looked. Windows in `being_counted` reach
    into a time of which too little is counted yet: their counts are too low to be shown. `behind`: the
    counting stands still.
    """

    as_of: datetime
    filter: Filter
    windows: Mapping[str, Counts]
    before: Mapping[str, Counts]
    bars: Sequence[Bar]
    models: Sequence[ModelLine]
    failures: Sequence[FailureLine]
    times: Times
    times_before: Times | None
    under_way: UnderWay
    moment_before: Moment | None
    being_counted: frozenset[str]
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


def look(actor: Actor | None, wanted: Filter, now: datetime) -> Health:
    """Everything on the page for the filter's window, kind and model."""
    access.check(actor, Action.VIEW)
    with cells.snapshot() as connection:
        return look_by(connection, wanted, now, counted_now(connection, now))


def look_by(connection: Connection, wanted: Filter, now: datetime, counted: Counted) -> Health:
    """The same within a snapshot that shows more."""
    spans = {name: wanted.but(window=name, at=None).span(now) for name in WINDOWS}
    chosen = spans[wanted.window]
    before = {name: (since - WINDOWS[name], since) for name, (since, _) in spans.items()}
    # What came before the longest window lies in no other.
    near = [span for name, span in before.items() if name in {wanted.window, "24h", "7d"}]
    found = cells.read(
        connection,
        wanted,
        counted,
        [*spans.values(), *near],
        hourly=chosen if BARS[wanted.window] < windows.DAY else cells.NOTHING,
        parts=chosen,
    )
    return Health(
        as_of=now,
        filter=wanted,
        windows={name: found.within(span) for name, span in spans.items()},
        before={
            name: found.within(span) for name, span in before.items() if span in near and found.knows(span)
        },
        bars=_bars(wanted.window, chosen, found),
        models=_models(found),
        failures=_failures(found),
        times=_times(found.times()),
        times_before=_times_counted(connection, wanted, before[wanted.window], counted),
        under_way=_under_way(connection, wanted, now),
        moment_before=moments.before(connection, wanted, now),
        being_counted=frozenset(name for name, span in spans.items() if not found.knows(span)),
        behind=counted.rolled_at is not None and now - counted.rolled_at > BEHIND_AFTER,
        rolled_at=counted.rolled_at,
        any_generation=bool(SQL["any_generation"].one(connection)["found"]),
    )


def number_of(found: Health) -> int | None:
    """How many rows the look's own filter opens, whatever bar it names; None while they are being counted."""
    wanted = found.filter
    if wanted.state is not None and wanted.of_this_moment:
        return int(getattr(found.under_way, wanted.state))
    counts = found.known(wanted.window)
    return None if counts is None else _number(wanted, counts, found.times, found.failures)


def number_of_bar(connection: Connection, wanted: Filter, now: datetime, counted: Counted) -> int | None:
    """The same of the bar that the filter names."""
    span = wanted.span(now)
    found = cells.read(connection, wanted, counted, [span], parts=span)
    if not found.knows(span):
        return None
    return _number(wanted, found.within(span), _times(found.times()), _failures(found))


def _number(wanted: Filter, counts: Counts, times: Times, failures: Sequence[FailureLine]) -> int:
    stands = KEYS[wanted.state or "begun"]
    if wanted.signature is not None:
        matching = [line for line in failures if line.signature == wanted.signature]
        return sum(line.n for line in matching if line.state in stands)
    if wanted.state == "timed":
        return times.samples
    return sum(int(getattr(counts, stand)) for stand in stands)


def last_day(actor: Actor | None, now: datetime) -> tuple[Counts | None, Sequence[Bar]]:
    """The last 24 hours and their course by the hour, the same on every page; None while being counted."""
    access.check(actor, Action.VIEW)
    span = Filter().span(now)
    with cells.snapshot() as connection:
        found = cells.read(connection, Filter(), counted_now(connection, now), [span], hourly=span)
    if not found.knows(span):
        return None, ()
    return found.within(span), _bars("24h", span, found)


def figure(definition: str) -> Figure:
    """A number's definition with the SQL that counts it."""
    query = "under_way" if definition in windows.NOW_STATES else "cells"
    return Figure(DEFINITIONS[definition], SQL[query].sql)


def _bars(window: str, span: Span, found: Cells) -> Sequence[Bar]:
    """Every bar of the window, empty ones included, oldest first."""
    step, (start, until) = BARS[window], span
    return [
        Bar(at, found.within((at, at + step)))
        for at in (start + n * step for n in range(-((start - until) // step)))
    ]


def _models(found: Cells) -> Sequence[ModelLine]:
    lines = [
        ModelLine(kind, model, counts_of(measures.get("state", {})), _times(measures.get("time", {})))
        for (kind, model), measures in found.parts.items()
    ]
    return sorted(lines, key=lambda line: (-line.counts.total, line.kind, line.model))


def _failures(found: Cells) -> Sequence[FailureLine]:
    lines = [
        FailureLine(_signature(model, key), *_failure_parts(key), kind, model, n)
        for (kind, model), measures in found.parts.items()
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


def _times_counted(connection: Connection, wanted: Filter, span: Span, counted: Counted) -> Times | None:
    """Of a span that has been counted as a whole."""
    cover = windows.cover(*span, counted, days=True)
    if cover.rows:
        return None
    found = SQL["times_counted"].all(
        connection, days=list(cover.days), hours=list(cover.hours), kind=wanted.kind, model=wanted.model
    )
    return _times({row["key"]: row["n"] for row in found})


def _percentile(buckets: Sequence[tuple[int, int]], samples: int, part: float) -> float | None:
    """The middle of the bucket in which the `part`-th sample lies, in seconds."""
    left = part * samples
    for bucket, n in buckets:
        left -= n
        if left <= 0:
            return float(BUCKET_FIRST_S * BUCKET_GROWTH ** (bucket + 0.5))
    return None


def _under_way(connection: Connection, wanted: Filter, now: datetime) -> UnderWay:
    row = SQL["under_way"].one(connection, now=now, kind=wanted.kind, model=wanted.model, **stuck.late(now))
    return UnderWay(row["in_flight"], row["stuck"], row["rescue"], row["expires_at"])
