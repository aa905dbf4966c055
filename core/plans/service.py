"""What people do with plans: try one dry, start it, pause it, have it go on, abort it."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from core import access, audit, database, said
from core.access import Action, Actor
from core.deliveries.models import Generation
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput
from core.plans import policy, sources
from core.plans.models import STARTED, TRANSITIONS, Group, Judged, Plan, PlanState, Source
from core.plans.repository import SQL, Sorted, find, progress, to_plan, write_items
from core.work import limiter, queue

QUEUE = "plans"
MAX_REQUEST_KEY = 200


def prepare(actor: Actor | None, source: Source, tools: Tools, *, request_key: str, name: str = "") -> Plan:
    """Try a list dry: every generation of it is sorted and frozen as it is now; nothing is asked or changed.

    The same `request_key` twice makes one. Raises InvalidInput for a list that is everything, nothing or too
    much, NotAllowed.
    """
    actor = access.check(actor, Action.RUN_PLAN)
    if not 8 <= len(request_key) <= MAX_REQUEST_KEY:
        raise InvalidInput("request_key", f"request_key must have 8 to {MAX_REQUEST_KEY} characters.")
    called = said.text("name", name, policy.LONGEST_PLAN_NAME) or policy.words(source)
    policy.check_source(source)
    now = tools.clock()
    with database.transaction() as connection:
        plan_id = uuid.uuid4()
        made = SQL["insert"].first(
            connection,
            id=plan_id,
            request_key=request_key,
            name=called,
            source=json.dumps(source.query()),
            by=actor.name,
            by_id=actor.id,
            now=now,
        )
        if made is None:
            return to_plan(SQL["by_key"].one(connection, request_key=request_key))
        return _freeze(connection, plan_id, _sorted(actor, source, tools, now))


def _sorted(actor: Actor, source: Source, tools: Tools, now: datetime) -> Iterator[list[Sorted]]:
    for chunk in sources.chunks(actor, source, now):
        yield [one if isinstance(one, Sorted) else _judged(one, source.user_id, tools, now) for one in chunk]


def _judged(generation: Generation, user_id: UUID | None, tools: Tools, now: datetime) -> Sorted:
    return Sorted(
        policy.judge(generation, now, tools.providers.keys(), user_id=user_id),
        generation_id=generation.id,
        provider=generation.provider.lower(),
        stood=generation.delivery_state or "not_followed",
        version=policy.version(generation),
    )


def _freeze(connection: Connection, plan_id: UUID, found: Iterator[list[Sorted]]) -> Plan:
    counts: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    items: Counter[str] = Counter()
    first, seen = 1, set[UUID]()
    for chunk in found:
        fresh = [one for one in _elsewhere(connection, plan_id, chunk) if one.generation_id not in seen]
        seen |= {one.generation_id for one in fresh if one.generation_id is not None}
        write_items(connection, plan_id, first, fresh)
        first += len(fresh)
        policy.check_size(first - 1)
        for one in fresh:
            counts[one.judged.group] += 1
            if one.judged.group is Group.ELIGIBLE and one.provider is not None:
                items[one.provider] += 1
                reads[one.provider] += one.judged.calls
    rates = {provider: limiter.per_second(limiter.READS[provider]) for provider in items}
    row = SQL["freeze"].one(
        connection,
        id=plan_id,
        counts=json.dumps(counts),
        reads=json.dumps(reads),
        expected_s=policy.expected_s(items, rates),
    )
    return to_plan(row)


def _elsewhere(connection: Connection, plan_id: UUID, chunk: Sequence[Sorted]) -> list[Sorted]:
    """The chunk, with what another plan has in hand sorted as in flight."""
    ids = [one.generation_id for one in chunk if one.judged.group is Group.ELIGIBLE]
    held = {
        row["generation_id"]: row["name"]
        for row in SQL["in_other_plans"].all(connection, ids=ids, plan_id=plan_id)
    }
    return [_of_another(one, held[one.generation_id]) if one.generation_id in held else one for one in chunk]


def _of_another(one: Sorted, plan: str) -> Sorted:
    judged = Judged(Group.IN_FLIGHT, f"The plan “{plan}” has it in hand.")
    return Sorted(judged, one.generation_id, one.named, one.provider, one.stood, one.version)


def start(
    actor: Actor | None,
    plan_id: UUID,
    tools: Tools,
    *,
    typed: int | None = None,
    reason: str = "",
    name: str = "",
) -> Plan:
    """Start a dry run; `typed` is the number of resyncs, which has to be given above TYPED_ABOVE.

    Whoever starts what they have started already gets it as it is. Raises NotFound, InvalidInput at its
    field, or Conflict with the reason.
    """
    actor = access.check(actor, Action.RUN_PLAN)
    why = said.text("reason", reason, policy.LONGEST_REASON)
    called = said.text("name", name, policy.LONGEST_PLAN_NAME)
    now = tools.clock()
    with database.transaction() as connection:
        plan = find(connection, plan_id)
        if plan.state is not PlanState.DRAFT and plan.started_by_id == actor.id:
            return plan
        policy.check_can_start(plan, typed, now)
        who = {"by": actor.name, "by_id": actor.id}
        row = SQL["start"].first(connection, id=plan_id, reason=why, name=called, now=now, **who)
        if row is None:
            plan = find(connection, plan_id)
            if plan.started_by_id == actor.id:
                return plan
            policy.check_can_start(plan, typed, now)
            raise Conflict("It has changed since you saw it. Look again.")
        started = to_plan(row)
        _audit(connection, actor, "plan.start", PlanState.DRAFT, started, why)
        enqueue(connection, plan_id)
    return started


def pause(actor: Actor | None, plan_id: UUID, tools: Tools) -> Plan:
    """Begin no further item until `resume`; those in hand are finished, and what waits other plans may take.

    Raises NotFound or Conflict.
    """
    return _change(actor, plan_id, PlanState.PAUSED, "plan.pause", tools)


def resume(actor: Actor | None, plan_id: UUID, tools: Tools) -> Plan:
    """Have a paused plan go on. Raises NotFound or Conflict."""
    return _change(actor, plan_id, PlanState.RUNNING, "plan.resume", tools)


def abort(actor: Actor | None, plan_id: UUID, tools: Tools, reason: str = "") -> Plan:
    """Begin no further item, ever; those in hand are finished. Raises NotFound, InvalidInput or Conflict."""
    return _change(actor, plan_id, PlanState.ABORTED, "plan.abort", tools, reason)


def _change(
    actor: Actor | None, plan_id: UUID, state: PlanState, action: str, tools: Tools, reason: str = ""
) -> Plan:
    actor = access.check(actor, Action.RUN_PLAN)
    why = said.text("reason", reason, policy.LONGEST_REASON)
    now = tools.clock()
    with database.transaction() as connection:
        before = find(connection, plan_id)
        if before.state is state:
            return before
        row = SQL["change"].first(
            connection,
            id=plan_id,
            state=state,
            by=actor.name,
            by_id=actor.id,
            now=now,
            from_states=[origin for origin in STARTED if state in TRANSITIONS[origin]],
        )
        if row is None:
            raise Conflict(f"It is {find(connection, plan_id).state} now, so that is not possible any more.")
        if state is PlanState.ABORTED:
            SQL["drop_waiting"].run(
                connection, id=plan_id, now=now, sentence=f"Not begun: {actor.name} aborted the plan."
            )
            keep_results(connection, plan_id, now)
        if state is PlanState.RUNNING:
            enqueue(connection, plan_id)
        changed = to_plan(row)
        _audit(connection, actor, action, before.state, changed, why)
    return changed


def keep_results(connection: Connection, plan_id: UUID, now: datetime) -> None:
    """Keep what became of the items of a plan that is over."""
    known = progress(connection, plan_id, now).known()
    SQL["keep_results"].run(connection, id=plan_id, results=json.dumps(known))


def enqueue(connection: Connection, plan_id: UUID) -> None:
    """Have a worker go on with the plan; once, while that waits."""
    queue.enqueue(connection, "run_plan", queue=QUEUE, once=f"plan:{plan_id}", plan_id=str(plan_id))


def _audit(
    connection: Connection, actor: Actor, action: str, before: PlanState, after: Plan, reason: str | None
) -> None:
    audit.record(
        connection,
        actor,
        action,
        "plan",
        str(after.id),
        before={"state": before},
        after={"state": after.state, "name": after.name, "eligible": after.eligible},
        reason=reason,
    )
