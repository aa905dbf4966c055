"""What a look at the deliveries is limited to, as the address says it, and how a span is put together."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from core import said

# From when to (not with) when.
Span = tuple[datetime, datetime]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Bars begin at whole multiples of their length from here on, whatever the window: days are those of UTC.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
# A bar of the chart, by window.
BARS = {"24h": HOUR, "7d": 6 * HOUR, "30d": DAY}
KINDS = ("image", "video")
# Where a generation stands, in the address; the last three are of this moment, whenever it was begun.
BEGUN_STATES = ("begun", "finished", "delivered", "timed", "failed", "lost", "needs_attention", "open")
NOW_STATES = ("in_flight", "stuck", "rescue")
# What an alert has counted, between two moments: failed or lost ones by when they were begun, lost ones by
# when that was seen, results by when KIE deletes them, and files that storage refuses with the same words.
COUNTED_STATES = ("missed", "lost_lately", "expiring", "refused")
STATES = (*BEGUN_STATES, *NOW_STATES, *COUNTED_STATES)
# Few, and a person may come for one of long ago: these open the longest window unless another is asked for.
RARE_STATES = frozenset({"lost", "needs_attention"})
LONGEST_MODEL = 120
PARAMETERS = ("window", "kind", "model", "state", "signature", "at", "since", "until")


@dataclass(frozen=True)
class Filter:
    """What is looked at: begun within `window`; of `kind` and `model`; standing at `state`; a failure's
    `signature`; begun within the chart's bar that starts `at`. None: all of them.

    `since` and `until` belong to what an alert counted, and `signature` is that of storage's words there.
    """

    window: str = "24h"
    kind: str | None = None
    model: str | None = None
    state: str | None = None
    signature: str | None = None
    at: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def counted_by_alert(self) -> bool:
        """Whether it is what an alert has counted, whatever window is looked at."""
        return self.state in COUNTED_STATES

    @property
    def of_this_moment(self) -> bool:
        """Whether it is about what is under way now, whenever it was begun."""
        return self.state in NOW_STATES

    @property
    def narrowed(self) -> bool:
        """Whether it names more than a window and a kind."""
        return (self.model, self.state, self.signature, self.at) != (None, None, None, None)

    def but(self, **changes: object) -> "Filter":
        """The same with other values; another state is not bound to the moments of an alert."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        return changed if changed.counted_by_alert else replace(changed, since=None, until=None)

    def query(self) -> dict[str, str]:
        """Its parameters for an address."""
        given = {
            "window": self.window,
            "kind": self.kind,
            "model": self.model,
            "state": self.state,
            "signature": self.signature,
            "at": self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ") if self.at else None,
            "since": said.exactly(self.since),
            "until": said.exactly(self.until),
        }
        return {name: value for name, value in given.items() if value is not None}

    def span(self, now: datetime) -> Span:
        """From when to (not with) when its generations were begun: whole bars, from the one that lies the
        window's length back, to the end of the hour that has begun."""
        bar = BARS[self.window]
        since, until = start_of(now - WINDOWS[self.window], bar), hour_of(now) + HOUR
        if self.at is None:
            return since, until
        return max(since, self.at), max(since, min(until, self.at + bar))


def read(parameters: Mapping[str, str]) -> tuple[Filter, list[str]]:
    """The filter that an address asks for, and a sentence for each parameter that cannot be used."""
    faults: list[str] = []

    def one_of(name: str, allowed: Sequence[str]) -> str | None:
        value = parameters.get(name)
        if value is None or value in allowed:
            return value
        faults.append(said.no_choice(name, value, allowed))
        return None

    state = one_of("state", STATES)
    window = one_of("window", list(WINDOWS)) or ("30d" if state in RARE_STATES else "24h")
    kind = one_of("kind", KINDS)
    model = parameters.get("model")
    if model is not None and (len(model) > LONGEST_MODEL or not model.isprintable()):
        faults.append(f"“model” is no model's name: {said.cut(model)}. It is left out.")
        model = None
    signature = parameters.get("signature")
    if signature is not None and not re.fullmatch(r"[0-9a-f]{12}", signature):
        faults.append(f"“signature” is none of a failure group: {said.cut(signature)}. It is left out.")
        signature = None
    at = parameters.get("at")
    moment = _moment(at)
    if at is not None and moment is None:
        faults.append(f"“at” must be a time such as 2026-11-24T13:00Z, not {said.cut(at)}. It is left out.")
    begun_at = start_of(moment, BARS[window]) if moment else None
    wanted = Filter(window, kind, model, state, signature, begun_at)
    if not wanted.counted_by_alert:
        return wanted, faults
    between: dict[str, object] = {}
    for name in ("since", "until"):
        value = parameters.get(name)
        between[name] = said.exact(value)
        if value is not None and between[name] is None:
            faults.append(f"“{name}” is no exact time: {said.cut(value)}. It is left out.")
    return wanted.but(**between), faults


def _moment(text: str | None) -> datetime | None:
    if text is None or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", text, re.ASCII):
        return None
    try:
        found = datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if 2000 < found.year < 3000 else None


def start_of(at: datetime, length: timedelta) -> datetime:
    """The start of the bar, hour or day of this length that `at` lies in."""
    at = at.astimezone(UTC)
    return at - (at - EPOCH) % length


def hour_of(at: datetime) -> datetime:
    """The start of the hour that `at` lies in."""
    return start_of(at, HOUR)


def day_of(at: datetime) -> datetime:
    """The start of the day (UTC) that `at` lies in."""
    return start_of(at, DAY)


@dataclass(frozen=True)
class Counted:
    """What has been counted: every hour from `covered_from` on (None: nothing) but for the `dirty` ones, of
    which is known only that something has changed. Days hold what had been counted of them at `rolled_at`;
    the one that had not ended then only if `today`."""

    covered_from: datetime | None
    dirty: Set[datetime] = frozenset()
    rolled_at: datetime | None = None
    today: bool = True

    def hour(self, hour: datetime) -> bool:
        """Whether this hour has been counted."""
        return self.covered_from is not None and hour >= self.covered_from and hour not in self.dirty

    def day(self, day: datetime, until: datetime) -> bool:
        """Whether this day stands for all of its hours that were begun before `until`, and for no others."""
        if self.rolled_at is None or not all(self.hour(day + n * HOUR) for n in range(24)):
            return False
        if day + DAY <= self.rolled_at:
            return day + DAY <= until
        return self.today and hour_of(self.rolled_at) + HOUR <= until


@dataclass(frozen=True)
class Cover:
    """A span in pieces that touch nowhere: days and hours that have been counted, and `rows`, the spans whose
    rows have to be read."""

    days: tuple[datetime, ...]
    hours: tuple[datetime, ...]
    rows: tuple[Span, ...]


def cover(since: datetime, until: datetime, counted: Counted, *, days: bool) -> Cover:
    """How the span between two full hours is put together; `days` allows whole days at once."""
    whole: list[datetime] = []
    hours: list[datetime] = []
    rows: list[Span] = []
    at = since
    while at < until:
        step = HOUR
        if days and at == day_of(at) and counted.day(at, until):
            whole.append(at)
            step = DAY
        elif counted.hour(at):
            hours.append(at)
        elif rows and rows[-1][1] == at:
            rows[-1] = (rows[-1][0], at + HOUR)
        else:
            rows.append((at, at + HOUR))
        at += step
    return Cover(tuple(whole), tuple(hours), tuple(rows))
