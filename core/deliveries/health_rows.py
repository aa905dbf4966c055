"""The generations behind a number of Delivery health: a page at a time, or all of them for a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from core import access, log
from core.access import Action, Actor
from core.deliveries import stuck, windows
from core.deliveries.cells import SQL, counted_now, snapshot
from core.deliveries.health import KEYS, Health, look_by, number_of, number_of_bar
from core.deliveries.models import ACTIVE, DeliveryState, Generation
from core.deliveries.repository import to_generation
from core.deliveries.views import MAX_PAGE, Page
from core.deliveries.windows import Counted, Filter, Span

# A generation's place in a list: when it was begun, and its id.
Place = tuple[datetime, UUID]
AT_ONCE = 10 * MAX_PAGE
FIRST_HOURS = 12
RESCUE_SHOWN = 5
PART_WITHIN_MS = 4_000
QUERY_CANCELED = "57014"
T = TypeVar("T")
_log = log.get(__name__)


@dataclass(frozen=True)
class Board:
    """One look with the rows behind its chosen number: `total` of them (None: being counted), a page, and
    those that KIE deletes first. What took too long is None and named in `slow`."""

    health: Health | None
    page: Page | None
    total: int | None
    rescuing: tuple[Generation, ...]
    slow: tuple[str, ...]


# What Delivery health shows; none of them is empty in a product with a history.
PANELS: Mapping[str, Callable[[Board], bool]] = {
    "success rate": lambda board: bool(
        board.health and all(counts.finished for counts in board.health.windows.values())
    ),
    "time to deliver": lambda board: bool(board.health and board.health.times.samples),
    "course": lambda board: bool(board.health and any(bar.counts.finished for bar in board.health.bars)),
    "models": lambda board: bool(board.health and board.health.models),
    "failures": lambda board: bool(board.health and board.health.failures),
    "in flight": lambda board: bool(board.health and board.health.under_way.in_flight),
    "rows": lambda board: bool(board.page and board.page.generations),
}


def soonest_gone(actor: Actor | None, wanted: Filter, now: datetime, limit: int = 5) -> Sequence[Generation]:
    """Those on the rescue clock that KIE deletes first."""
    access.check(actor, Action.VIEW)
    with snapshot() as connection:
        return _rows_under_way(connection, wanted.but(state="rescue"), now, None, limit, soonest=True)


def rows(
    actor: Actor | None,
    wanted: Filter,
    now: datetime,
    before: Place | None = None,
    limit: int = 50,
) -> Page:
    """A page of the generations that the filter's number counts, newest first."""
    access.check(actor, Action.VIEW)
    limit = max(1, min(limit, AT_ONCE))
    with snapshot() as connection:
        return _page(connection, wanted, now, before, limit)


def board(
    actor: Actor | None, wanted: Filter, now: datetime, before: Place | None = None, limit: int = 25
) -> Board:
    """The numbers and a page of the rows behind the chosen one, in one snapshot; a part that takes too long
    is left out."""
    access.check(actor, Action.VIEW)
    slow: list[str] = []
    with snapshot() as connection:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {PART_WITHIN_MS}")
        counted = counted_now(connection, now)
        health = _part(connection, slow, "the numbers", lambda: look_by(connection, wanted, now, counted))
        page = _part(connection, slow, "the rows", lambda: _page(connection, wanted, now, before, limit))
        rescuing: Sequence[Generation] | None = ()
        if health is not None and health.under_way.rescue:
            of = wanted.but(state="rescue")
            rescuing = _part(
                connection,
                slow,
                "the rescue clock",
                lambda: _rows_under_way(connection, of, now, None, RESCUE_SHOWN, soonest=True),
            )
        total = number_of(health) if health is not None and not wanted.counted_by_alert else None
        if wanted.counted_by_alert:
            total = _part(connection, slow, "the count", lambda: _number_counted(connection, wanted))
        elif health is not None and wanted.at is not None and not wanted.of_this_moment:
            total = _part(
                connection, slow, "the count", lambda: number_of_bar(connection, wanted, now, counted)
            )
    return Board(health, page, total, tuple(rescuing or ()), tuple(slow))


def _part(connection: Connection, slow: list[str], name: str, read: Callable[[], T]) -> T | None:
    """One part of a look; what takes too long is left out and named."""
    try:
        with connection.begin_nested():
            return read()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        _log.warning("health.part_too_slow", part=name)
        slow.append(name)
        return None


def _page(connection: Connection, wanted: Filter, now: datetime, before: Place | None, limit: int) -> Page:
    if wanted.counted_by_alert:
        found = _rows_counted(connection, wanted, before, limit + 1)
    elif wanted.of_this_moment or (wanted.state == "open" and wanted.signature is None):
        found = _rows_under_way(connection, wanted, now, before, limit + 1)
    else:
        found = _rows_begun(connection, wanted, now, before, limit + 1)
    page, more = found[:limit], len(found) > limit
    return Page(tuple(page), (page[-1].created_at, page[-1].id) if more else None)


def _rows_counted(
    connection: Connection, wanted: Filter, before: Place | None, limit: int
) -> Sequence[Generation]:
    found = SQL["counted_by_alert"].all(
        connection,
        before_at=before[0] if before else None,
        before_id=before[1] if before else None,
        limit=limit,
        **_counted_by(wanted),
    )
    return [to_generation(row) for row in found]


def _counted_by(wanted: Filter) -> dict[str, Any]:
    names = ("state", "since", "until", "kind", "model", "signature")
    return {name: getattr(wanted, name) for name in names}


def _number_counted(connection: Connection, wanted: Filter) -> int:
    """How many of them there are; the first of a page knows."""
    found = SQL["counted_by_alert"].first(
        connection, before_at=None, before_id=None, limit=1, **_counted_by(wanted)
    )
    return int(found["in_all"]) if found else 0


def _rows_under_way(
    connection: Connection,
    wanted: Filter,
    now: datetime,
    before: Place | None,
    limit: int,
    *,
    soonest: bool = False,
) -> Sequence[Generation]:
    since, until = wanted.span(now)
    found = SQL["under_way_rows"].all(
        connection,
        state=wanted.state,
        now=now,
        since=None if wanted.of_this_moment else since,
        until=until,
        kind=wanted.kind,
        model=wanted.model,
        before_at=before[0] if before else None,
        before_id=before[1] if before else None,
        soonest=soonest,
        limit=limit,
        **stuck.late(now),
    )
    return [to_generation(row) for row in found]


def _rows_begun(
    connection: Connection, wanted: Filter, now: datetime, before: Place | None, limit: int
) -> Sequence[Generation]:
    since, until = wanted.span(now)
    stands = KEYS[wanted.state or "begun"]
    states = [
        state.value
        for state in DeliveryState
        if (state.value in stands) or (state in ACTIVE and "in_flight" in stands)
    ]
    given: dict[str, Any] = {
        "states": states,
        "kind": wanted.kind,
        "model": wanted.model,
        "before_at": before[0] if before else None,
        "before_id": before[1] if before else None,
        "limit": limit,
    }
    if wanted.signature is not None:
        found = SQL["of_a_failure"].all(
            connection, since=since, until=until, signature=wanted.signature, **given
        )
    else:
        if before is not None:
            until = min(until, windows.hour_of(before[0]) + windows.HOUR)
        spans = _spans(connection, wanted, (since, until), counted_now(connection, now), limit, stands)
        found = SQL["matching"].all(
            connection,
            froms=[begin for begin, _ in spans],
            untils=[end for _, end in spans],
            not_delivered=set(states) <= {"failed", "lost", "needs_attention"},
            timed=wanted.state == "timed",
            **given,
        )
    return [to_generation(row) for row in found]


def _spans(
    connection: Connection,
    wanted: Filter,
    within: Span,
    counted: Counted,
    limit: int,
    stands: Sequence[str],
) -> Sequence[Span]:
    """Where the next `limit` matching rows lie, newest span first: counted hours without any are left out."""
    cover = windows.cover(*within, counted, days=False)
    spans, enough = list(cover.rows), limit
    for hours in _newest_first(cover.hours):
        for place in SQL["places"].all(
            connection,
            hours=list(hours),
            timed=wanted.state == "timed",
            keys=list(stands),
            kind=wanted.kind,
            model=wanted.model,
        ):
            oldest = place["start"]
            spans.append((oldest, oldest + windows.HOUR))
            enough -= place["n"]
            if enough <= 0:
                return sorted((span for span in spans if span[1] > oldest), reverse=True)
    return sorted(spans, reverse=True)


def _newest_first(hours: Sequence[datetime]) -> Iterator[Sequence[datetime]]:
    """The hours in parts from the newest on, each four times as many: mostly the first few are enough."""
    end, size = len(hours), FIRST_HOURS
    while end > 0:
        yield hours[max(0, end - size) : end]
        end, size = end - size, 4 * size


def every_row(actor: Actor | None, wanted: Filter, now: datetime) -> Iterator[Generation]:
    """All generations that the filter counts, read a thousand at a time: for a file of any length."""
    before = None
    while True:
        page = rows(actor, wanted, now, before, limit=AT_ONCE)
        yield from page.generations
        before = page.next_before
        if before is None:
            return
