"""Generations that a bulk resync is for, and its plans, as the journeys make them."""

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from core import access
from core.access import Actor, Role
from core.deliveries import tools
from core.deliveries.windows import Filter
from core.plans import service, views
from core.plans.models import Plan, PlanState, Source
from tests.journeys.world import World

ADA = access.command_line("ada")
BO = Actor("person", "bo", "Bo", frozenset({Role.SUPPORT}), "page")
EYE = Actor("person", "eye", "Eye", frozenset({Role.VIEWER}), "page")
FAILED = Source(Filter(state="failed"))


def nonce() -> str:
    return uuid.uuid4().hex


def broken(world: World, n: int, prompt: str = "a boat", state: str = "failed") -> list[str]:
    """Generations whose results are ready at KIE, and which stand at `state` here."""
    made = [world.create(f"{prompt} [[fault:callback_lost]]") for _ in range(n)]
    for one in made:
        world.finished_at_kie(one["taskId"])
    ids = [one["generationId"] for one in made]
    world.sql(
        "UPDATE generations SET delivery_state = %s, status = 'failed', next_attempt_at = NULL,"
        " lease_until = NULL WHERE id = ANY(%s::uuid[])",
        state,
        ids,
    )
    return ids


def prepared(source: Source = FAILED, actor: Actor = ADA) -> Plan:
    return service.prepare(actor, source, tools.current(), request_key=nonce())


def started(source: Source = FAILED, actor: Actor = ADA) -> Plan:
    plan = prepared(source, actor)
    return service.start(actor, plan.id, tools.current(), typed=plan.eligible)


def results(plan: Plan) -> dict[str, int]:
    found = views.plan(ADA, plan.id, datetime.now(UTC)).plan
    assert found.state is PlanState.FINISHED
    assert found.results is not None
    return {state: n for state, n in found.results.items() if n}


def item_of(plan: Plan, generation_id: str) -> Any:
    [found] = [one for one in views.every_item(ADA, plan.id) if str(one.generation_id) == generation_id]
    return found


def customer(world: World) -> UUID:
    """A customer of the company's."""
    made = uuid.uuid4()
    world.sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", made, f"{made}@customers.example")
    return made


def delivered(world: World, ids: list[str]) -> Counter[str]:
    rows = world.sql(
        "SELECT generation_id::text FROM delivery_events"
        " WHERE kind = 'delivered' AND generation_id = ANY(%s::uuid[])",
        ids,
    )
    return Counter(row[0] for row in rows)
