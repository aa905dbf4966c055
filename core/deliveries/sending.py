"""Sending the paid request: once, by one process, whatever happens in between."""

import json
import uuid
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from core import database, log
from core.deliveries import moving, policy, with_lora
from core.deliveries.models import DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, add_event, find, to_generation
from core.deliveries.tools import Tools
from core.errors import ErrorCategory, InvalidInput, NotFound, ProviderError, StorageError
from core.providers.contract import Task
from core.work import limiter
from core.work.limiter import Priority

BUSY_PAUSE = timedelta(seconds=2)
REFUSED_PAUSE = timedelta(seconds=10)
# A request that never leaves this machine is tried again this often before it fails.
MAX_UNSENT_TRIES = 8

_log = log.get(__name__)


def submit(generation_id: UUID, tools: Tools) -> Generation | None:
    """Send the paid request of a row that stands at `intent`; the row as it stands afterwards.

    Steps: 1. a place under the provider's create limit; 2. the guarded move intent → sending, which
    only one process ever wins; 3. the one POST; 4. what came of it. A crash or a lost answer
    between 2 and 4 leaves `sending`, from where nobody sends again: its callback binds the task.
    None when there is no such row.
    """
    with database.statement() as connection:
        waiting = find(connection, generation_id)
    if waiting is None or waiting.delivery_state is not DeliveryState.INTENT:
        return waiting
    if waiting.waits_for_frame:
        return waiting
    provider = tools.provider(waiting)
    try:
        sent = with_lora.outgoing(waiting, tools)
    except (StorageError, NotFound) as error:
        _log.warning("delivery.no_link", generation_id=str(generation_id), error=error.message)
        return _postpone(generation_id, tools, REFUSED_PAUSE)
    places = limiter.reserve(limiter.CREATES[waiting.provider.lower()], 1, Priority.SYNC)
    if not places:
        return _postpone(generation_id, tools)
    tools.sleep(places.delays_s[0])
    generation = _begin(generation_id, tools)
    if generation is None:
        with database.reading() as connection:
            return find(connection, generation_id)
    started = tools.clock()
    try:
        task = provider.create(
            generation.model or "", sent, tools.callback_url(generation.id, generation.provider)
        )
    except ProviderError as error:
        _not_accepted(generation, error, tools)
    except InvalidInput as error:
        _not_accepted(generation, _unsendable(error), tools)
    else:
        duration_ms = int((tools.clock() - started).total_seconds() * 1000)
        bind(generation, task, Event(EventKind.ACCEPTED, duration_ms=duration_ms), tools)
    with database.reading() as connection:
        return find(connection, generation_id)


def _unsendable(error: InvalidInput) -> ProviderError:
    """An input that could not be written as a request: it never left."""
    return ProviderError(
        error.message, category=ErrorCategory.VALIDATION, retryable=False, sent=False, refused=True
    )


def _postpone(generation_id: UUID, tools: Tools, pause: timedelta = BUSY_PAUSE) -> Generation | None:
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["postpone_intent"].first(connection, id=generation_id, next_attempt_at=now + pause)
        return to_generation(row) if row else find(connection, generation_id)


def _begin(generation_id: UUID, tools: Tools) -> Generation | None:
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["begin_sending"].first(
            connection,
            id=generation_id,
            now=now,
            token=uuid.uuid4(),
            lease_until=now + policy.LEASE,
            next_attempt_at=now + policy.LEASE,
        )
        if row is None:
            return None
        add_event(connection, generation_id, now, Event(EventKind.SUBMITTED, attempt=row["attempt"] + 1))
        return to_generation(row)


def bind(generation: Generation, task: Task, event: Event, tools: Tools) -> Generation | None:
    """Record the provider's task of a request that was sent; None when one was bound already."""
    now = tools.clock()
    with database.transaction() as connection:
        p50 = _own_p50(connection, generation.model)
        first = policy.first_poll_after(generation, p50)
        row = SQL["bind_task"].first(
            connection,
            id=generation.id,
            task_id=task.id,
            task_addresses=json.dumps(dict(task.addresses)) if task.addresses else None,
            now=now,
            next_attempt_at=now + first,
        )
        if row is None:
            known = find(connection, generation.id)
            if known is not None and known.task_id != task.id:
                _log.error("delivery.two_tasks", generation_id=str(generation.id), task_id=task.id)
            return None
        detail = {"task_id": task.id, **event.detail}
        add_event(
            connection,
            generation.id,
            now,
            Event(event.kind, duration_ms=event.duration_ms, detail=detail),
        )
        return to_generation(row)


def _own_p50(connection: Connection, model: str | None) -> float | None:
    """The model's own median seconds to delivery, once twenty deliveries say so."""
    row = SQL["own_p50"].one(connection, model=model)
    return row["p50_s"] if row["samples"] >= 20 else None


def _not_accepted(generation: Generation, error: ProviderError, tools: Tools) -> None:
    """No task id came back: refused for good, refused for now, never sent, or nobody knows."""
    now = tools.clock()
    certain = error.refused or not error.sent
    fact = Event(
        EventKind.REFUSED if certain else EventKind.ANSWER_LOST,
        error_category=error.category,
        words=error.words or error.message,
        detail={"code": error.provider_code, "http_status": error.status, "sentence": error.message},
    )
    with database.transaction() as connection:
        add_event(connection, generation.id, now, fact)
        if not certain:
            _release_unknown(connection, generation, tools)
        elif error.retryable and generation.attempt < MAX_UNSENT_TRIES:
            SQL["unsend"].run(
                connection,
                id=generation.id,
                submitted_at=generation.submitted_at,
                now=now,
                next_attempt_at=now + REFUSED_PAUSE * (generation.attempt + 1),
                category=error.category,
                message=error.message,
            )
        else:
            SQL["refuse"].run(
                connection,
                id=generation.id,
                submitted_at=generation.submitted_at,
                now=now,
                category=error.category,
                code=error.provider_code,
                message=error.words or error.message,
            )
    _log.warning("delivery.not_accepted", generation_id=str(generation.id), category=error.category)


def _release_unknown(connection: Connection, generation: Generation, tools: Tools) -> None:
    now = tools.clock()
    moving.release(connection, generation, now + timedelta(seconds=30), now)
