"""One item of a plan: its row judged again and leased, its provider asked, and what came of it in a sentence.

A row that has ended is asked about first, and moved only when its provider's record says something else by
now: what cannot be helped stays as it was, for the customer too.
"""

import uuid
from datetime import datetime

from sqlalchemy import Connection

from core import database
from core.deliveries import following, moving
from core.deliveries import policy as deliveries
from core.deliveries.models import ENDED, Event, EventKind, Generation
from core.deliveries.repository import add_event, find, to_generation
from core.deliveries.tools import Tools
from core.errors import InvalidInput, ProviderError
from core.plans import policy
from core.plans.models import Group, ItemState, Plan, Taken
from core.plans.repository import SQL
from core.providers.contract import TaskRecord
from core.providers.registry import name_of
from core.work.limiter import Priority

Became = tuple[ItemState, str]


def bring_to_end(plan: Plan, item: Taken, delay_s: float, tools: Tools) -> Became:
    """What became of the item; `delay_s` from now is its place under its provider's limit."""
    begun = tools.clock()
    ready = _judge_again(plan, item, tools)
    if not isinstance(ready, Generation):
        return ready
    if ready.delivery_state not in ENDED or ready.task_id is None:
        following.carry_on(ready, delay_s, tools, Priority.PLAN)
        return _what_became(item, begun)
    record = _ask(ready, delay_s, tools)
    if not isinstance(record, TaskRecord):
        return record
    decision = deliveries.next_step(ready, record, tools.clock())
    if not policy.moves(ready, record, decision):
        _leave(ready, Event(EventKind.POLLED, detail={"says": record.state_word}), tools)
        return policy.stays(ready, decision)
    revived = _revive(ready, tools)
    if revived is not None:
        following.carry_on(revived, 0.0, tools, Priority.PLAN, record)
    return _what_became(item, begun)


def _judge_again(plan: Plan, item: Taken, tools: Tools) -> Generation | Became:
    """The row, leased, when it still is what the plan may act on; else why the item is over."""
    with database.transaction() as connection:
        done = SQL["done_elsewhere"].first(connection, generation_id=item.generation_id, plan_id=item.plan_id)
        # Of what was begun here before only what another plan has done after that is the other's.
        if done is not None and (item.tries == 1 or done["ended_at"] > item.begun_at):
            at = f"{done['ended_at']:%H:%M:%S} UTC"
            return ItemState.SKIPPED, f"Skipped: the plan “{done['name']}” did it at {at}."
        row = SQL["hold_row"].first(connection, id=item.generation_id)
        if row is None:
            return ItemState.SKIPPED, "Skipped: its row is not there any more."
        generation = to_generation(row)
        judged = policy.judge(generation, tools.clock(), tools.providers.keys(), begun=item.tries > 1)
        if judged.group is Group.ELIGIBLE:
            return _lease(connection, plan, item, generation, tools)
    if item.tries > 1 and judged.group is Group.DELIVERED:
        return ItemState.DELIVERED, "Delivered, after the worker that had begun with it was stopped."
    return ItemState.SKIPPED, policy.moved_on(item.stood, judged, generation)


def _lease(
    connection: Connection, plan: Plan, item: Taken, generation: Generation, tools: Tools
) -> Generation:
    now = tools.clock()
    taken = SQL["take_row"].one(
        connection,
        id=generation.id,
        now=now,
        priority=Priority.PLAN,
        lease_until=now + deliveries.LEASE,
        token=uuid.uuid4(),
    )
    detail = {"by": plan.started_by, "by_id": plan.started_by_id, "plan": str(plan.id)}
    add_event(connection, generation.id, now, Event(EventKind.SYNC_REQUESTED, detail=detail))
    if policy.version(generation) != item.version:
        SQL["note_change"].run(connection, plan_id=item.plan_id, n=item.n)
    return to_generation(taken)


def _ask(generation: Generation, delay_s: float, tools: Tools) -> TaskRecord | Became:
    """The provider's record of a row that has ended; a failure leaves the row as it was."""
    tools.sleep(delay_s)
    try:
        return following.ask(generation, generation.task_id or "", tools)
    except (ProviderError, InvalidInput) as error:
        words = getattr(error, "words", "") or error.message
        category = getattr(error, "category", "validation")
        _leave(generation, Event(EventKind.POLL_FAILED, error_category=category, words=words), tools)
        return ItemState.FAILED, f"{name_of(generation.provider)} could not be asked: {words}"


def _leave(generation: Generation, event: Event, tools: Tools) -> None:
    """Give a row that has ended back as it was, with what was heard of it."""
    now = tools.clock()
    with database.transaction() as connection:
        moving.release(connection, generation, None, now)
        add_event(connection, generation.id, now, event)


def _revive(generation: Generation, tools: Tools) -> Generation | None:
    """The row, on its way again; None when a callback was first."""
    with database.statement() as connection:
        row = SQL["revive"].first(
            connection,
            id=generation.id,
            token=generation.lease_token,
            now=tools.clock(),
            priority=Priority.PLAN,
            states=list(ENDED),
        )
    return to_generation(row) if row else None


def _what_became(item: Taken, begun: datetime) -> Became:
    with database.reading() as connection:
        after = find(connection, item.generation_id)
        step = SQL["last_step"].first(connection, generation_id=item.generation_id, since=begun)
    kind = EventKind(step["kind"]) if step else None
    return policy.result_of(after, kind, step["words"] if step else None)
