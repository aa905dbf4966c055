"""The generations behind a list, some hundred at a time: a list of any length takes the same memory."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from core import access, database
from core.access import Action, Actor
from core.deliveries import health, health_rows, views
from core.deliveries.models import ACTIVE, DeliveryState, Generation
from core.deliveries.repository import to_generation
from core.deliveries.windows import Filter
from core.errors import NotFound
from core.plans import policy
from core.plans.models import Group, Judged, Source
from core.plans.repository import SQL, Sorted

AT_ONCE = health_rows.AT_ONCE
Chunk = Sequence[Generation | Sorted]


def chunks(actor: Actor | None, source: Source, now: datetime) -> Iterator[Chunk]:
    """The generations of the list, and pasted ids that name none, in its order."""
    access.check(actor, Action.RUN_PLAN)
    if source.names:
        yield _named(source.names)
    elif source.failed_of is not None:
        yield from _failed_of(source.failed_of)
    elif source.user_id is not None:
        wanted = source.filter or Filter(window="30d", state="begun")
        if wanted.counted_by_alert:
            for page in _listed(actor, wanted, now):
                yield [one for one in page if one.user_id == source.user_id]
        else:
            yield from _of_user(source.user_id, wanted, now)
    else:
        yield from _listed(actor, source.filter or Filter(), now)


def _listed(actor: Actor | None, wanted: Filter, now: datetime) -> Iterator[Sequence[Generation]]:
    before = None
    while True:
        page = health_rows.rows(actor, wanted, now, before, limit=AT_ONCE)
        yield page.generations
        before = page.next_before
        if before is None:
            return


def _of_user(user_id: UUID, wanted: Filter, now: datetime) -> Iterator[Chunk]:
    since, until = Filter(window="30d").span(now) if wanted.of_this_moment else wanted.span(now)
    before: tuple[datetime, UUID] | None = None
    while True:
        with database.reading() as connection:
            rows = SQL["of_user"].all(
                connection,
                user_id=user_id,
                states=_states(wanted),
                since=since,
                until=until,
                kind=wanted.kind,
                model=wanted.model,
                signature=wanted.signature,
                before_at=before[0] if before else None,
                before_id=before[1] if before else None,
                limit=AT_ONCE,
            )
        found = [to_generation(row) for row in rows]
        yield [one for one in found if wanted.state != "stuck" or views.is_stuck(one, now)]
        if len(found) < AT_ONCE:
            return
        before = (found[-1].created_at, found[-1].id)


def _states(wanted: Filter) -> list[str]:
    """Where those stand that the filter means."""
    if wanted.state == "rescue":
        return [DeliveryState.AWAITING_DELIVERY]
    if wanted.of_this_moment:
        return list(ACTIVE)
    stands = health.KEYS[wanted.state or "begun"]
    return [
        state for state in DeliveryState if state in stands or (state in ACTIVE and "in_flight" in stands)
    ]


def _named(names: Sequence[str]) -> Chunk:
    ids = {name: one for name in names if (one := _uuid(name)) is not None}
    with database.reading() as connection:
        rows = SQL["named"].all(
            connection, ids=list(ids.values()), tasks=list(names), limit=2 * policy.MOST_NAMES
        )
    found = [to_generation(row) for row in rows]
    known = {str(one.id) for one in found} | {one.task_id for one in found}
    missing = [name for name in names if name not in known and str(ids.get(name, "")) not in known]
    said = "No generation and no task of ours has this id. Check that it was copied whole."
    return [*found, *(Sorted(Judged(Group.UNKNOWN, said), named=name) for name in missing)]


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _failed_of(plan_id: UUID) -> Iterator[Chunk]:
    with database.reading() as connection:
        if SQL["get"].first(connection, id=plan_id) is None:
            raise NotFound(f"There is no plan {plan_id}.")
    after = -1
    while True:
        with database.reading() as connection:
            rows = SQL["failed_of"].all(connection, plan_id=plan_id, after=after, limit=AT_ONCE)
        yield [to_generation(row) for row in rows]
        if len(rows) < AT_ONCE:
            return
        after = rows[-1]["item"]
