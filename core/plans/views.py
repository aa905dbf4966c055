"""What pages and the API show of plans: read only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core import access, database
from core.access import Action, Actor
from core.plans import policy
from core.plans.models import Group, Item, ItemState, Plan, PlanState, Progress
from core.plans.repository import SQL, find, progress, to_item, to_plan

HISTORY_PAGE, ITEMS_PAGE, ITEMS_AT_ONCE = 20, 50, 1_000
Place = tuple[datetime, UUID]


@dataclass(frozen=True)
class Seen:
    """A plan with its progress as of `at`; `left_s` is how long it takes at least from here."""

    at: datetime
    plan: Plan
    progress: Progress

    @property
    def in_hand(self) -> int:
        """Items that a worker has in hand."""
        return self.progress.by_state.get(ItemState.WORKING, 0)

    @property
    def left_s(self) -> float | None:
        """Seconds that what is left takes at least; None for a plan that is over."""
        if self.plan.state in {PlanState.FINISHED, PlanState.ABORTED}:
            return None
        share = self.progress.left / self.plan.eligible if self.plan.eligible else 0.0
        return self.plan.expected_s * share


@dataclass(frozen=True)
class History:
    """Plans, newest first; `next_before` continues them, None at the end."""

    plans: tuple[Seen, ...]
    next_before: Place | None


@dataclass(frozen=True)
class Items:
    """Items in the plan's order; `next_after` continues them, None at the end."""

    items: tuple[Item, ...]
    next_after: int | None


def plan(actor: Actor | None, plan_id: UUID, now: datetime) -> Seen:
    """One plan. Raises NotFound."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        found = find(connection, plan_id)
        return Seen(now, found, progress(connection, plan_id, now - timedelta(minutes=1)))


def history(
    actor: Actor | None, now: datetime, before: Place | None = None, limit: int = HISTORY_PAGE
) -> History:
    """Plans that there were, and dry runs that can still be started; those under way with their progress."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["newest"].all(
            connection,
            drafts_since=now - policy.DRAFT_GOOD_FOR,
            before_at=before[0] if before else None,
            before_id=before[1] if before else None,
            limit=max(1, min(limit, 100)) + 1,
        )
        plans = [to_plan(row) for row in rows[: len(rows) - 1 if len(rows) > limit else len(rows)]]
        seen = []
        for one in plans:
            if one.results is not None:
                known = Progress(one.results)
            else:
                known = progress(connection, one.id, now - timedelta(minutes=1))
            seen.append(Seen(now, one, known))
    more = len(rows) > limit
    last = plans[-1] if plans else None
    return History(tuple(seen), (last.created_at, last.id) if more and last else None)


def under_way(actor: Actor | None) -> Sequence[Plan]:
    """Plans that run or are paused, newest first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [to_plan(row) for row in SQL["under_way"].all(connection)]


def of_failure(actor: Actor | None, signature: str) -> Sequence[Plan]:
    """The newest plans that were made from a failure group."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [to_plan(row) for row in SQL["of_failure"].all(connection, signature=signature)]


def items(
    actor: Actor | None,
    plan_id: UUID,
    *,
    after: int = 0,
    limit: int = ITEMS_PAGE,
    states: Sequence[ItemState] | None = None,
    sorted_as: Sequence[Group] | None = None,
) -> Items:
    """A page of a plan's items, of some states or groups or all."""
    access.check(actor, Action.VIEW)
    limit = max(1, min(limit, ITEMS_AT_ONCE))
    with database.reading() as connection:
        rows = SQL["items"].all(
            connection,
            id=plan_id,
            after=after,
            limit=limit + 1,
            states=list(states) if states is not None else None,
            sorted=list(sorted_as) if sorted_as is not None else None,
        )
    page = tuple(to_item(row) for row in rows[:limit])
    return Items(page, page[-1].n if len(rows) > limit else None)


def every_item(actor: Actor | None, plan_id: UUID) -> Iterator[Item]:
    """All items of a plan, a thousand at a time. Raises NotFound for no plan."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        find(connection, plan_id)
    after: int | None = 0
    while after is not None:
        page = items(actor, plan_id, after=after, limit=ITEMS_AT_ONCE)
        yield from page.items
        after = page.next_after
