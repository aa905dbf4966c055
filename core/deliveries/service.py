"""What people and the provider ask of deliveries: create, sync, watch, call back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from core import access, audit, database, log
from core.access import Action, Actor
from core.budget import service as budget
from core.budget.models import DELIVERIES
from core.deliveries import creating, policy
from core.deliveries.creating import NewGeneration as NewGeneration
from core.deliveries.models import ENDED, Callback, DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, add_event, find, find_by_task, to_generation
from core.deliveries.tools import BUCKET, Tools
from core.errors import Conflict, InvalidInput, NotFound
from core.loras.models import Way
from core.providers.http import mask
from core.storage.own_path import own_path
from core.work import queue

MAX_REQUEST_KEY = 200
# A request that its own process sends waits this long before the sweep takes it over.
OWN_SENDING_GRACE = timedelta(seconds=10)


def create(
    actor: Actor | None, wanted: NewGeneration, tools: Tools, *, send_later: bool = True
) -> Generation:
    """Write the row of a new generation; nothing is sent in here.

    With `send_later` a worker sends it, otherwise the caller must call `sending.submit` now. With a LoRA its
    use is counted, and where the model takes no weights its first frame is begun as a generation of its own.
    Raises InvalidInput naming the field, NotAllowed, NotFound for a LoRA that the actor may not see, Conflict
    with the reason, BudgetExceeded where generations or everything have a limit that it does not fit into, or
    the database's error; after any of them no provider has been called.
    """
    actor = access.check(actor, Action.CREATE_GENERATION)
    if not 8 <= len(wanted.request_key) <= MAX_REQUEST_KEY:
        raise InvalidInput("request_key", f"request_key must have 8 to {MAX_REQUEST_KEY} characters.")
    made = creating.recipe_of(actor, wanted)
    creating.check_providers(made, tools)
    now = tools.clock()
    with database.transaction() as connection:
        due = now if send_later else now + OWN_SENDING_GRACE
        row = creating.insert(connection, wanted, made, now=now, due=due)
        if row is None:
            known = to_generation(SQL["by_request_key"].one(connection, request_key=wanted.request_key))
            return creating.same_request(known, wanted, made)
        budget.check_fits(connection, DELIVERIES, made.total_usd, now)
        generation = to_generation(row)
        who = {"by": actor.name, "by_id": actor.id}
        add_event(connection, generation.id, now, Event(EventKind.CREATED, detail=who))
        with_lora = {"lora": str(made.lora.id), "way": made.way} if made.lora else {}
        audit.record(
            connection,
            actor,
            "generation.create",
            "generation",
            str(generation.id),
            after={"model": made.model.id, "input": made.input, **with_lora},
        )
        first = creating.begin_with_lora(connection, actor, generation, made, now)
        if send_later or first != generation.id:
            enqueue_delivery(connection, first, queue.URGENT)
    return generation


def make_with_lora(actor: Actor | None, generation_id: UUID, tools: Tools) -> Generation:
    """Make one again that was made from a LoRA's references, now that the LoRA is completed; once, whoever
    asks and how often. Raises NotFound, NotAllowed, or Conflict with the reason.
    """
    with database.reading() as connection:
        before = _existing(connection, generation_id)
    if before.lora_way is not Way.REFERENCES:
        raise Conflict("It was not made from a LoRA's reference images, so there is nothing to make anew.")
    return create(actor, creating.again(before, f"with-lora:{before.id}"), tools)


def make_again(actor: Actor | None, generation_id: UUID, request_key: str, tools: Tools) -> Generation:
    """Make the same once more, with the LoRA that it was made with. Raises what `create` raises."""
    with database.reading() as connection:
        before = _existing(connection, generation_id)
    return create(actor, creating.again(before, request_key), tools)


def enqueue_delivery(
    connection: Any, generation_id: UUID, priority: int = queue.NORMAL, *, at: datetime | None = None
) -> None:
    """Put the next step of a delivery on the queue, not before `at`; once, while it waits there."""
    queue.enqueue(
        connection,
        "deliver",
        priority=priority,
        once=f"deliver:{generation_id}",
        at=at,
        generation_id=str(generation_id),
    )


def request_sync(actor: Actor | None, generation_id: UUID, tools: Tools, *, later: bool = True) -> Generation:
    """Have a delivery looked at now: due at once, before everything else.

    With `later` a worker does it, otherwise the caller must call `following.advance`. A customer's
    question about what is under way is no act: it leaves no line in the audit log.
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
        if actor.kind != "customer" or generation.delivery_state in ENDED:
            _note_sync(connection, actor, generation, row["delivery_state"], now)
        if later:
            enqueue_delivery(connection, generation_id, queue.URGENT)
        return to_generation(row)


def fetch_again(actor: Actor | None, generation_id: UUID, tools: Tools, *, later: bool = True) -> Generation:
    """Have the files of a delivered generation fetched from its provider once more, because storage lost
    them.

    Only after storage itself has said that one is missing; it is stored where it was, so the customer's
    address stays the same. `later` as in `request_sync`. Raises NotFound, NotAllowed, or Conflict with the
    reason; StorageError when storage cannot be asked.
    """
    actor = access.check(actor, Action.SYNC_GENERATION)
    with database.reading() as connection:
        generation = _existing(connection, generation_id)
        files = SQL["files"].all(connection, generation_id=generation_id)
    now = tools.clock()
    if generation.delivery_state is not DeliveryState.DELIVERED:
        policy.check_can_sync(generation, now)
        raise Conflict("It is not delivered any more. Look again.")
    places = [(file["bucket"], file["path"]) for file in files]
    if not places and (own := own_path(tools.storage, BUCKET, generation.asset_url)) is not None:
        # Stored before this product was there, or by another system.
        places = [(BUCKET, own)]
    missing = [path for bucket, path in places if tools.storage.stat(bucket, path) is None]
    if not missing:
        raise Conflict("No file of it is missing in our storage, so there is nothing to fetch again.")
    with database.transaction() as connection:
        row = SQL["fetch_again"].first(connection, id=generation_id, now=now)
        if row is None:
            raise Conflict("Another attempt has just begun. Look again in a moment.")
        _note_sync(connection, actor, generation, row["delivery_state"], now, missing=missing)
        if later:
            enqueue_delivery(connection, generation_id, queue.URGENT)
        return to_generation(row)


def _note_sync(
    connection: Connection,
    actor: Actor,
    generation: Generation,
    state: str,
    now: datetime,
    *,
    missing: Sequence[str] = (),
) -> None:
    why = {"missing": len(missing)} if missing else {}
    event = Event(EventKind.SYNC_REQUESTED, detail={"by": actor.name, "by_id": actor.id, **why})
    add_event(connection, generation.id, now, event)
    audit.record(
        connection,
        actor,
        "generation.fetch_again" if missing else "generation.sync",
        "generation",
        str(generation.id),
        before={"delivery_state": generation.delivery_state},
        after={"delivery_state": state, **({"missing_files": list(missing)} if missing else {})},
    )


def check_may_sync(actor: Actor | None, generation_id: UUID) -> Actor:
    """The actor, when staff with the right role, or the customer whose own generation it is."""
    if actor is None or actor.kind != "customer":
        return access.check(actor, Action.SYNC_GENERATION)
    with database.reading() as connection:
        generation = find(connection, generation_id)
    if generation is None or str(generation.user_id) != actor.id:
        raise NotFound("There is no such task of yours.")
    return actor


def newest_by_task(task_id: str, actor: Actor | None = None) -> Generation:
    """The newest generation with this task id, for a customer the newest of theirs; else NotFound."""
    with database.reading() as connection:
        found = find_by_task(connection, task_id)
    found = [generation for generation in found if _may_see(actor, generation)]
    if not found and actor is not None and actor.kind == "customer":
        raise NotFound("There is no such task of yours.")
    if not found:
        raise NotFound(f"No generation has the task id {task_id[:80]!r}. Check that it was copied whole.")
    return found[0]


def by_id(generation_id: UUID, actor: Actor | None = None) -> Generation | None:
    """The generation with this id; None when there is none, or for a customer none of theirs."""
    with database.reading() as connection:
        found = find(connection, generation_id)
    return found if found is not None and _may_see(actor, found) else None


def _may_see(actor: Actor | None, generation: Generation) -> bool:
    return actor is None or actor.kind != "customer" or str(generation.user_id) == actor.id


def answers_from_row(actor: Actor, generation: Generation, tools: Tools) -> bool:
    """Whether a customer's question is answered by the row as it stands: read a moment ago, or in work.

    Customers' pages ask every few seconds; each of them must not cost a call to the provider.
    """
    return actor.kind == "customer" and policy.was_just_seen_to(generation, tools.clock())


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
    never believed: KIE's signature does not cover it, and the provider's record says the same.
    """
    body = mask(callback.body)
    with database.statement() as connection:
        row = SQL["receive_callback"].first(
            connection,
            generation_id=callback.generation_id,
            task_id=callback.task_id,
            body_sha256=callback.body_sha256,
            body=json.dumps(body),
            detail=json.dumps(
                {"says": mask(callback.says[:40]), "task_id": callback.task_id, "signed": callback.signed}
            ),
            signed=callback.signed,
            says_success=callback.says_success,
            provider=callback.provider,
            now=tools.clock(),
            request_id=log.request_id(),
            job_priority=queue.NORMAL,
        )
    if row is None:
        raise NotFound("No generation of ours belongs to this callback.")
    return Received(row["id"], duplicate=row["duplicates"] > 0)
