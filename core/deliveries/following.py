"""The one step that every delivery takes, whoever asks: read the record, decide, deliver, record."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping

from core import database, log
from core.budget import rates
from core.deliveries import frames, moving, policy, sending
from core.deliveries.costs import USUAL_RATE, cost_json, own_rate
from core.deliveries.models import ACTIVE, DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, events_json, find, find_by_task, to_generation
from core.deliveries.service import enqueue_delivery
from core.deliveries.tools import Tools
from core.errors import InvalidInput, ProviderError
from core.providers import registry
from core.providers.contract import ProviderState, Task, TaskRecord
from core.work import limiter
from core.work.limiter import Priority

POLL_CHUNK = 50
# A poll goes on while there is more to read, but stays a short job.
POLL_FOR = timedelta(seconds=5)
_THREADS = 16
_LEASABLE = [*ACTIVE, DeliveryState.NEEDS_ATTENTION]

_log = log.get(__name__)


def advance(generation_id: UUID, tools: Tools, priority: Priority | None = None) -> Generation | None:
    """Bring one delivery as far as it gets now; the row as it stands afterwards, None when unknown.

    Takes the row's lease first: while another worker holds it, nothing happens. Without a
    `priority` the row's own counts.
    """
    step(generation_id, tools, priority)
    with database.reading() as connection:
        return find(connection, generation_id)


def step(generation_id: UUID, tools: Tools, priority: Priority | None = None) -> None:
    """`advance` for those who do not ask what became of it."""
    generation = _lease(generation_id, tools)
    if generation is not None:
        own = Priority(generation.attempt_priority)
        _advance_leased(generation, tools, own if priority is None else priority)
        frames.wake(generation, tools)


def _lease(generation_id: UUID, tools: Tools) -> Generation | None:
    now = tools.clock()
    with database.statement() as connection:
        row = SQL["lease"].first(
            connection,
            id=generation_id,
            now=now,
            token=uuid.uuid4(),
            lease_until=now + policy.LEASE,
            states=_LEASABLE,
        )
    return to_generation(row) if row else None


def _advance_leased(generation: Generation, tools: Tools, priority: Priority) -> None:
    current: Generation | None = generation
    if generation.provider.lower() not in tools.providers:
        _log.warning("delivery.provider_not_set", generation_id=str(generation.id))
        _release(generation, tools.clock() + 5 * policy.SLOWEST_POLL, tools)
        return
    match generation.delivery_state:
        case DeliveryState.INTENT if generation.waits_for_frame and not frames.is_ready(generation, tools):
            return
        case DeliveryState.INTENT:
            _release(generation, tools.clock(), tools)
            sending.submit(generation.id, tools)
            return
        case DeliveryState.SENDING | DeliveryState.NEEDS_ATTENTION:
            _reconcile(generation, tools, priority)
            return
        case DeliveryState.AWAITING_DELIVERY if generation.result_urls:
            pass
        case _:
            places = limiter.reserve(limiter.READS[generation.provider.lower()], 1, priority)
            if not places:
                _release(generation, tools.clock() + timedelta(seconds=1), tools)
                return
            current = read(generation, places.delays_s[0], tools)
    if current is not None and current.delivery_state is DeliveryState.AWAITING_DELIVERY:
        moving.deliver(current, tools)


def carry_on(
    generation: Generation,
    delay_s: float,
    tools: Tools,
    priority: Priority,
    record: TaskRecord | None = None,
) -> None:
    """Bring a row that the caller has leased as far as it gets; `delay_s` from now is its place under its
    provider's limit, unless its `record` was just read. The lease is given back."""
    current: Generation | None = generation
    if generation.delivery_state is DeliveryState.NEEDS_ATTENTION:
        _reconcile(generation, tools, priority)
    elif generation.delivery_state is not DeliveryState.AWAITING_DELIVERY or not generation.result_urls:
        current = read(generation, delay_s, tools, record)
    if current is not None and current.delivery_state is DeliveryState.AWAITING_DELIVERY:
        moving.deliver(current, tools)
    frames.wake(generation, tools)


def _release(generation: Generation, next_attempt_at: datetime | None, tools: Tools) -> None:
    with database.statement() as connection:
        moving.release(connection, generation, next_attempt_at, tools.clock())


def poll_due(tools: Tools, limit: int = POLL_CHUNK) -> int:
    """Read the records of due deliveries, as many as the provider's limit grants now; how many.

    Rows are leased and committed first, then asked for concurrently. What has finished becomes a
    job of its own, so that a big file never holds up the polls.
    """
    until, read, waiting = tools.clock() + POLL_FOR, 0, list(tools.providers)
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        while waiting:
            for provider in [*waiting]:
                chunk = _poll_chunk(pool, provider, tools, limit)
                read += chunk
                if chunk < limit or tools.clock() >= until:
                    waiting.remove(provider)
    return read


def _poll_chunk(pool: ThreadPoolExecutor, provider: str, tools: Tools, limit: int) -> int:
    """One round of at most `limit` reads; fewer when no more is due or the limit grants no more."""
    now = tools.clock()
    with database.reading() as connection:
        due = SQL["count_due"].one(connection, provider=provider, now=now, limit=limit)["due"]
    places = limiter.reserve(limiter.READS[provider], due, Priority.POLL)
    if not places:
        return 0
    with database.transaction() as connection:
        rows = SQL["lease_due"].all(
            connection, provider=provider, now=now, lease_until=now + policy.LEASE, limit=len(places)
        )
    polls = [
        pool.submit(_poll_one, row, delay, tools) for row, delay in zip(rows, places.delays_s, strict=False)
    ]
    faults = [fault for poll in polls if (fault := poll.exception()) is not None]
    for fault in faults:
        _log.error("delivery.poll_crashed", exc_info=fault)
    if faults:
        raise faults[0]
    return len(rows)


def _poll_one(row: RowMapping, delay_s: float, tools: Tools) -> None:
    polled = to_generation(row)
    ready = read(polled, delay_s, tools)
    if ready is None or ready.delivery_state is not DeliveryState.AWAITING_DELIVERY:
        frames.wake(polled, tools)
        return
    now = tools.clock()
    with database.transaction() as connection:
        moving.release(connection, ready, now, now)
        enqueue_delivery(connection, ready.id)


def read(
    generation: Generation, delay_s: float, tools: Tools, known: TaskRecord | None = None
) -> Generation | None:
    """Read the provider's record of a leased row, if not `known`, and do what it says; the row when files
    are ready.

    The lease is kept only then; otherwise it is given back.
    """
    tools.sleep(delay_s)
    started = tools.clock()
    try:
        record = known or ask(generation, generation.task_id or "", tools)
    except (ProviderError, InvalidInput) as error:
        _read_failed(generation, error, tools)
        return None
    decision = policy.next_step(generation, record, tools.clock())
    return _apply(generation, record, decision, started, tools)


def ask(generation: Generation, task_id: str, tools: Tools) -> TaskRecord:
    """The provider's record of a task, which is or may be the generation's."""
    addresses = generation.task_addresses if task_id == generation.task_id else {}
    return tools.provider(generation).record(task_id, generation.model or "", addresses)


def _read_failed(generation: Generation, error: ProviderError | InvalidInput, tools: Tools) -> None:
    now = tools.clock()
    if isinstance(error, InvalidInput):
        moving.end(
            generation,
            DeliveryState.NEEDS_ATTENTION,
            Event(EventKind.NEEDS_ATTENTION, words=error.message),
            tools,
            category="validation",
        )
        return
    decision = policy.after_read_error(generation, error, now)
    event = Event(
        EventKind.POLL_FAILED,
        error_category=error.category,
        words=error.words or error.message,
        detail={"http_status": error.status, "code": error.provider_code},
    )
    if isinstance(decision, policy.Attention):
        moving.end(generation, DeliveryState.NEEDS_ATTENTION, event, tools, message=decision.reason)
        return
    _polled(generation, None, event, decision, now)


def _polled(
    generation: Generation,
    record: TaskRecord | None,
    event: Event,
    decision: policy.PollAt,
    now: datetime,
) -> None:
    """Give the row back until its next look; a callback that came meanwhile keeps it due at once."""
    with database.statement() as connection:
        SQL["polled"].run(
            connection,
            id=generation.id,
            token=generation.lease_token,
            now=now,
            provider_state=record.state_word if record else None,
            status=decision.status,
            next_attempt_at=decision.at,
            seen_next_attempt_at=generation.next_attempt_at,
            events=events_json(event),
            request_id=log.request_id(),
        )


def _apply(
    generation: Generation, record: TaskRecord, decision: policy.Decision, asked_at: datetime, tools: Tools
) -> Generation | None:
    now = tools.clock()
    duration_ms = int((now - asked_at).total_seconds() * 1000)
    says = {"says": record.state_word, "progress": record.progress}
    match decision:
        case policy.PollAt():
            event = Event(EventKind.POLLED, duration_ms=duration_ms, detail=says)
            _polled(generation, record, event, decision, now)
        case policy.Deliver():
            return _ready(generation, record, decision, duration_ms, now)
        case policy.Fail():
            event = Event(
                EventKind.PROVIDER_FAILED,
                duration_ms=duration_ms,
                words=decision.message,
                detail={**says, "code": decision.code},
            )
            category = record.fail_category or "service_error"
            state = DeliveryState.FAILED
            moving.end(
                generation,
                state,
                event,
                tools,
                category=category,
                code=decision.code,
                message=decision.message,
                costs=_charged(generation, record, now) if record.charged else None,
            )
        case policy.Attention():
            event = Event(EventKind.NEEDS_ATTENTION, words=decision.reason, detail=says)
            moving.end(generation, DeliveryState.NEEDS_ATTENTION, event, tools, message=decision.reason)
        case policy.Lost():
            event = Event(EventKind.LOST, words=decision.reason, detail=says)
            moving.end(generation, DeliveryState.LOST, event, tools, message=decision.reason)
    return None


def _charged(generation: Generation, record: TaskRecord, now: datetime) -> str:
    """The cost line of what failed and is paid for all the same."""
    return cost_json(generation, record, own=own_rate(generation, record, now))


def _ready(
    generation: Generation, record: TaskRecord, decision: policy.Deliver, duration_ms: int, now: datetime
) -> Generation | None:
    """The provider has finished: from here on the result is paid for and has to reach the customer."""
    urls = policy.urls_in_order(decision.urls)
    detail = {"files": len(urls), "credits": record.credits_consumed}
    rate = rates.of_kie(now, USUAL_RATE)
    own = own_rate(generation, record, now)
    with database.statement() as connection:
        row = SQL["ready"].first(
            connection,
            id=generation.id,
            token=generation.lease_token,
            now=now,
            provider_state=record.state_word,
            result_expires_at=decision.expires_at,
            provider_ms=record.took_ms,
            result_urls=json.dumps(urls),
            events=events_json(Event(EventKind.RESULT_READY, duration_ms=duration_ms, detail=detail)),
            costs=cost_json(generation, record, rate, own),
            request_id=log.request_id(),
        )
    return to_generation(row) if row else None


def _reconcile(generation: Generation, tools: Tools, priority: Priority) -> None:
    """A request was sent and its answer lost: only a callback can name the task, and only the
    provider's record can prove that it is ours. Nothing is ever sent again.
    """
    with database.reading() as connection:
        named = [row["task_id"] for row in SQL["candidates"].all(connection, generation_id=generation.id)]
    unread = False
    for task_id in named:
        record = _proof(generation, task_id, tools, priority)
        unread = unread or record is None
        if record is not None and _bind_if_ours(generation, record, tools):
            step(generation.id, tools, priority)
            return
    _wait_for_callback(generation, tools)
    if unread:
        _prove_later(generation, tools)


def _wait_for_callback(generation: Generation, tools: Tools) -> None:
    if generation.delivery_state is DeliveryState.NEEDS_ATTENTION:
        _release(generation, None, tools)
        return
    decision = policy.after_lost_answer(generation, tools.clock())
    if isinstance(decision, policy.Attention):
        event = Event(EventKind.NEEDS_ATTENTION, words=decision.reason)
        moving.end(generation, DeliveryState.NEEDS_ATTENTION, event, tools, message=decision.reason)
        return
    _release(generation, decision.at, tools)


def _prove_later(generation: Generation, tools: Tools) -> None:
    """The provider could not be asked about a task that a callback named: a paid result may hang on it."""
    at = policy.prove_again_at(generation, tools.clock())
    if at is not None:
        with database.transaction() as connection:
            enqueue_delivery(connection, generation.id, at=at)


def _proof(generation: Generation, task_id: str, tools: Tools, priority: Priority) -> TaskRecord | None:
    """The record of a task that a callback named; None when it cannot be had at the moment."""
    places = limiter.reserve(limiter.READS[generation.provider.lower()], 1, priority)
    if not places:
        return None
    tools.sleep(places.delays_s[0])
    try:
        record = ask(generation, task_id, tools)
    except (ProviderError, InvalidInput) as error:
        _log.warning("delivery.candidate_unreadable", generation_id=str(generation.id), error=str(error))
        return None
    return None if record.state is ProviderState.NOT_FOUND else record


def _bind_if_ours(generation: Generation, record: TaskRecord, tools: Tools) -> bool:
    """Bind it when it is proved to be this generation's: by a callback whose signature covers what it says,
    or by the provider's own record.
    """
    if registry.PROVIDERS[generation.provider.lower()].callbacks_prove:
        with database.reading() as connection:
            proved = not find_by_task(connection, record.task_id)
        by = "callback, proved by its signature"
    else:
        proved = policy.names_our_callback(record, str(generation.id), tools.callback_url(generation.id))
        by = f"callback, proved by {registry.name_of(generation.provider)}'s record"
    if not proved:
        return False
    event = Event(EventKind.BOUND, detail={"by": by})
    return sending.bind(generation, Task(record.task_id), event, tools) is not None


def sweep(tools: Tools, limit: int = 200) -> int:
    """Put due rows that are no poll's business on the queue, where they have no job; how many."""
    now = tools.clock()
    with database.transaction() as connection:
        rows = SQL["due_without_job"].all(connection, now=now, limit=limit)
        for row in rows:
            enqueue_delivery(connection, row["id"])
    return len(rows)


def adopt(tools: Tools) -> int:
    """Follow rows of the last two days that another system wrote past our trigger; how many.

    A database session that was open while a column's type changed can do that.
    """
    now = tools.clock()
    with database.transaction() as connection:
        return SQL["adopt"].run(connection, now=now, since=now - timedelta(days=2))
