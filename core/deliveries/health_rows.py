"""The generations behind a number of Delivery health: a page at a time, or all of them for a file."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from core import access, database
from core.access import Action, Actor
from core.deliveries import windows
from core.deliveries.health import KEYS, SQL, counted_now, limits
from core.deliveries.models import ACTIVE, DeliveryState, Generation
from core.deliveries.repository import to_generation
from core.deliveries.views import MAX_PAGE, Page
from core.deliveries.windows import Filter

# A generation's place in a list: when it was begun, and its id.
Place = tuple[datetime, UUID]
AT_ONCE = 10 * MAX_PAGE


def soonest_gone(actor: Actor | None, wanted: Filter, now: datetime, limit: int = 5) -> Sequence[Generation]:
    """Those on the rescue clock that KIE deletes first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
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
    with database.reading() as connection:
        if wanted.of_this_moment:
            found = _rows_under_way(connection, wanted, now, before, limit + 1)
        else:
            found = _rows_begun(connection, wanted, now, before, limit + 1)
    page, more = found[:limit], len(found) > limit
    return Page(tuple(page), (page[-1].created_at, page[-1].id) if more else None)


def _rows_under_way(
    connection: Connection,
    wanted: Filter,
    now: datetime,
    before: Place | None,
    limit: int,
    *,
    soonest: bool = False,
) -> Sequence[Generation]:
    found = SQL["under_way_rows"].all(
        connection,
        state=wanted.state,
        now=now,
        kind=wanted.kind,
        model=wanted.model,
        before_at=before[0] if before else None,
        before_id=before[1] if before else None,
        soonest=soonest,
        limit=limit,
        **limits(),
    )
    return [to_generation(row) for row in found]


def _rows_begun(
    connection: Connection, wanted: Filter, now: datetime, before: Place | None, limit: int
) -> Sequence[Generation]:
    keys = KEYS.get(wanted.state or "begun", ("delivered",))
    if wanted.signature is not None and wanted.state is None:
        keys = ("failed", "lost", "needs_attention")
    states = [
        state.value
        for state in DeliveryState
        if (state.value in keys) or (state in ACTIVE and "in_flight" in keys)
    ]
    spans = _spans(connection, wanted, now, before, limit, keys)
    found = SQL["matching"].all(
        connection,
        froms=[begin for begin, _ in spans],
        untils=[end for _, end in spans],
        not_delivered=set(states) <= {"failed", "lost", "needs_attention"},
        states=states,
        kind=wanted.kind,
        model=wanted.model,
        signature=wanted.signature,
        timed=wanted.state == "timed",
        before_at=before[0] if before else None,
        before_id=before[1] if before else None,
        limit=limit,
    )
    return [to_generation(row) for row in found]


def _spans(
    connection: Connection,
    wanted: Filter,
    now: datetime,
    before: Place | None,
    limit: int,
    keys: Sequence[str],
) -> Sequence[tuple[datetime, datetime]]:
    """Where the next `limit` matching rows lie, newest span first: counted hours without any are left out."""
    since, until = wanted.span(now)
    if before is not None:
        until = min(until, before[0] + timedelta(microseconds=1))
    cover = windows.cover(since, until, counted_now(connection, now), days=False)
    places = SQL["places"].all(
        connection,
        measure="failure" if wanted.signature else "time" if wanted.state == "timed" else "state",
        hours=list(cover.hours),
        kind=wanted.kind,
        model=wanted.model,
        keys=None if wanted.signature or wanted.state == "timed" else list(keys),
        signature=wanted.signature,
    )
    spans, enough = list(cover.rows), limit
    for place in places:
        spans.append((place["start"], min(place["start"] + windows.HOUR, until)))
        enough -= place["n"]
        if enough <= 0:
            oldest = place["start"]
            spans = [span for span in spans if span[1] > oldest]
            break
    return sorted(spans, reverse=True)


def every_row(actor: Actor | None, wanted: Filter, now: datetime) -> Iterator[Generation]:
    """All generations that the filter counts, read a thousand at a time: for a file of any length."""
    before = None
    while True:
        page = rows(actor, wanted, now, before, limit=AT_ONCE)
        yield from page.generations
        before = page.next_before
        if before is None:
            return
