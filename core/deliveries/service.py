"""What people and the provider ask of deliveries: create, sync, watch, call back."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from core import access, audit, database, log
from core.access import Action, Actor
from core.deliveries import policy
from core.deliveries.models import Callback, DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, add_event, find, find_by_task, to_generation
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.providers import kie_models
from core.work import queue

MAX_REQUEST_KEY = 200
# A request that its own process sends waits this long before the sweep takes it over.
OWN_SENDING_GRACE = timedelta(seconds=10)


@dataclass(frozen=True)
class NewGeneration:
    """What somebody wants made. `request_key` is the form's nonce: the same one twice makes one generation."""

    model: str
    input: Mapping[str, Any]
    request_key: str
    user_id: UUID | None = None


def create(
    actor: Actor | None, wanted: NewGeneration, tools: Tools, *, send_later: bool = True
) -> Generation:
    """Write the row of a new generation; nothing is sent in here.

    With `send_later` a worker sends it, otherwise the caller must call `sending.submit` now.
    Raises InvalidInput naming the field, NotAllowed, or the database's error; after any of them
    no provider has been called.
    """
    actor = access.check(actor, Action.CREATE_GENERATION)
    if not 8 <= len(wanted.request_key) <= MAX_REQUEST_KEY:
        raise InvalidInput("request_key", f"request_key must have 8 to {MAX_REQUEST_KEY} characters.")
    model = kie_models.require(wanted.model)
    cleaned = kie_models.validate(model.id, wanted.input)
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["insert"].first(
            connection,
            id=uuid.uuid4(),
            user_id=wanted.user_id,
            provider="kie",
            kind=model.kind,
            model=model.id,
            prompt=cleaned.get("prompt"),
            input=json.dumps(cleaned),
            request_key=wanted.request_key,
            now=now if send_later else now + OWN_SENDING_GRACE,
        )
        if row is None:
            return to_generation(SQL["by_request_key"].one(connection, request_key=wanted.request_key))
        generation = to_generation(row)
        add_event(connection, generation.id, now, Event(EventKind.CREATED, detail={"by": actor.name}))
        audit.record(
            connection,
            actor,
            "generation.create",
            "generation",
            str(generation.id),
            after={"model": model.id, "input": cleaned},
        )
        if send_later:
            enqueue_delivery(connection, generation.id, queue.URGENT)
    return generation


def enqueue_delivery(connection: Any, generation_id: UUID, priority: int = queue.NORMAL) -> None:
    """Put the next step of a delivery on the queue; once, while it waits there."""
    queue.enqueue(
        connection,
        "deliver",
        priority=priority,
        once=f"deliver:{generation_id}",
        generation_id=str(generation_id),
    )


def request_sync(actor: Actor | None, generation_id: UUID, tools: Tools, *, later: bool = True) -> Generation:
    """Have a delivery looked at now: due at once, before everything else.

    With `later` a worker does it, otherwise the caller must call `following.advance`.
    Raises NotFound, NotAllowed, or Conflict with the reason while another attempt is in flight.
    A delivered one is returned as it is.
    """
    actor = check_may_sync(actor, generation_id)
    now = tools.clock()
    with database.transaction() as connection:
        generation = _existing(connection, generation_id)
        if generation.delivery_state is DeliveryState.DELIVERED:
            return generation
        policy.check_can_sync(generation, now)
        row = SQL["hurry"].first(connection, id=generation_id, now=now)
        if row is None:
            raise Conflict("Another attempt has just begun. Look again in a moment.")
        add_event(connection, generation_id, now, Event(EventKind.SYNC_REQUESTED, detail={"by": actor.name}))
        audit.record(
            connection,
            actor,
            "generation.sync",
            "generation",
            str(generation_id),
            before={"delivery_state": generation.delivery_state},
            after={"delivery_state": row["delivery_state"]},
        )
        if later:
            enqueue_delivery(connection, generation_id, queue.URGENT)
        return to_generation(row)


def check_may_sync(actor: Actor | None, generation_id: UUID) -> Actor:
    """The actor, when staff with the right role, or the customer whose own generation it is."""
    if actor is None or actor.kind != "customer":
        return access.check(actor, Action.SYNC_GENERATION)
    with database.reading() as connection:
        generation = find(connection, generation_id)
    if generation is None or str(generation.user_id) != actor.id:
        raise NotFound("There is no such task of yours.")
    return actor


def newest_by_task(task_id: str) -> Generation:
    """The newest generation with this task id; NotFound names the id."""
    with database.reading() as connection:
        found = find_by_task(connection, task_id)
    if not found:
        raise NotFound(f"No generation has the task id {task_id[:80]!r}. Check that it was copied whole.")
    return found[0]


def _existing(connection: Any, generation_id: UUID) -> Generation:
    generation = find(connection, generation_id)
    if generation is None:
        raise NotFound(f"There is no generation {generation_id}.")
    return generation


def watch(actor: Actor | None, generation_ids: Sequence[UUID], tools: Tools) -> None:
    """A person looks at these: they are polled every few seconds for the next quarter of a minute."""
    access.check(actor, Action.VIEW)
    now = tools.clock()
    with database.transaction() as connection:
        SQL["watch"].run(
            connection,
            ids=list(generation_ids),
            until=now + timedelta(seconds=15),
            next_attempt_at=now + policy.WATCHED_POLL,
        )


@dataclass(frozen=True)
class Received:
    """What became of a callback."""

    generation_id: UUID
    duplicate: bool


def receive_callback(callback: Callback, tools: Tools) -> Received:
    """Record a verified callback and make its delivery due now, in one statement.

    NotFound when neither the generation nor the task is known. The body is kept as evidence and
    never believed: KIE's signature does not cover it.
    """
    state = callback.body.get("data", callback.body)
    says = str(state.get("state", "")) if isinstance(state, Mapping) else ""
    with database.statement() as connection:
        row = SQL["receive_callback"].first(
            connection,
            generation_id=callback.generation_id,
            task_id=callback.task_id,
            body_sha256=callback.body_sha256,
            body=json.dumps(log.redact(callback.body)),
            detail=json.dumps({"says": says[:40], "task_id": callback.task_id, "signed": callback.signed}),
            signed=callback.signed,
            says_success=says == "success",
            now=tools.clock(),
            request_id=log.request_id(),
            job_priority=queue.NORMAL,
        )
    if row is None:
        raise NotFound("No generation of ours belongs to this callback.")
    return Received(row["id"], duplicate=row["duplicates"] > 0)


def check_owner(actor: Actor, generation: Generation) -> None:
    """NotAllowed unless the actor is staff or the generation's own user."""
    if actor.kind == "customer" and str(generation.user_id) != actor.id:
        raise NotAllowed("This task belongs to somebody else.")
