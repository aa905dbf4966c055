"""Paid calls: written before they are sent, sent once by one process, bound to the provider's id."""

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from core import database, log
from core.errors import ErrorCategory, InvalidInput, ProviderError
from core.providers.training import Submission
from core.providers.training_registry import label
from core.trainings import moving, policy
from core.trainings.models import (
    Call,
    CallState,
    Event,
    EventKind,
    Purpose,
    Run,
    RunState,
    Stage,
    Trouble,
    status_of,
)
from core.trainings.repository import SQL, add_event, calls_of, find, say, to_call
from core.trainings.tools import Tools
from core.work import queue

_log = log.get(__name__)


def write(
    connection: Connection,
    run: Run,
    purpose: Purpose,
    n: int,
    round_: int,
    now: datetime,
    *,
    prompt: str | None = None,
) -> None:
    """Write the intent of a paid call; nothing when it is there already."""
    first = purpose is Purpose.TRAINING and round_ == 1
    call_id = run.id if first else uuid.uuid4()
    SQL["insert_call"].first(
        connection,
        id=call_id,
        run_id=run.id,
        purpose=purpose,
        n=n,
        round=round_,
        provider=run.trainer if purpose is Purpose.TRAINING else "fal",
        reservation_key=run.reservation_key,
        prompt=prompt,
        seed=None if purpose is Purpose.TRAINING else call_id.int % 2**31,
        now=now,
    )


def of(run_id: UUID) -> list[Call]:
    """Every paid call of a run."""
    with database.reading() as connection:
        return calls_of(connection, run_id)


def send(run: Run, call: Call, post: Callable[[Call], Submission], tools: Tools) -> Trouble | None:
    """Send a paid call that stands at intent: once, by the one process that wins the guarded move.

    Steps: 1. intent → sending; 2. the one POST; 3. what came of it. A crash or a lost answer between 1 and 3
    leaves `sending`, from where nobody sends again. The trouble when it is certain that nothing was begun;
    its call is back at intent when the same may be tried again, else over.
    """
    begun = _begin(run, call, tools)
    if begun is None:
        return None
    if not policy.may_send(begun, tools.clock()):
        _unsend(begun)
        return Trouble(
            "The worker slept before it sent the request.",
            ErrorCategory.TIMEOUT,
            retryable=True,
            next_action="Nothing: it is sent by the next worker.",
        )
    started = tools.clock()
    try:
        submission = post(begun)
    except InvalidInput as error:
        return _refused(run, begun, _of_input(error), tools)
    except ProviderError as error:
        return _not_accepted(run, begun, error, tools)
    duration_ms = int((tools.clock() - started).total_seconds() * 1000)
    bind(run.id, begun, submission, Event(EventKind.ACCEPTED, duration_ms=duration_ms), tools)
    return None


def _begin(run: Run, call: Call, tools: Tools) -> Call | None:
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["begin_sending"].first(connection, id=call.id, now=now)
        if row is None:
            return None
        detail = {"call": str(call.id), "for": call.purpose, "n": call.n, "provider": call.provider}
        add_event(connection, run, now, Event(EventKind.SUBMITTED, attempt=row["tries"], detail=detail))
        return to_call(row)


def _unsend(call: Call) -> bool:
    with database.statement() as connection:
        row = SQL["unsend"].first(connection, id=call.id, submitted_at=call.submitted_at)
    return row is not None


def _of_input(error: InvalidInput) -> Trouble:
    return Trouble(
        error.message,
        ErrorCategory.VALIDATION,
        retryable=False,
        next_action="Mend what it names, then start it again.",
    )


def trouble_of(error: ProviderError) -> Trouble:
    """A provider's error as trouble of a run's."""
    action = (
        "Nothing: it is tried again by itself."
        if error.retryable
        else "Mend what it names (key, balance or input), then start it again."
    )
    return Trouble(error.message, error.category, error.retryable, action, error.words, error.provider_code)


def _not_accepted(run: Run, call: Call, error: ProviderError, tools: Tools) -> Trouble | None:
    """No id came back: refused for good, refused for now, never sent, or nobody knows."""
    if error.refused or not error.sent:
        return _refused(run, call, trouble_of(error), tools)
    now = tools.clock()
    event = Event(
        EventKind.ANSWER_LOST,
        error_category=error.category,
        words=error.words or error.message,
        detail={"call": str(call.id), "http_status": error.status},
    )
    with database.transaction() as connection:
        add_event(connection, run, now, event)
        say(
            connection,
            run,
            now,
            f"{error.message} It may have been taken; it is looked for, never sent again.",
            level="warning",
        )
    _log.warning("training.answer_lost", run_id=str(run.id), call_id=str(call.id))
    return None


def _refused(run: Run, call: Call, trouble: Trouble, tools: Tools) -> Trouble:
    """Certainly nothing was begun: back to intent while the same may help later, else over."""
    now = tools.clock()
    detail = {"call": str(call.id), "code": trouble.code}
    event = Event(
        EventKind.REFUSED,
        error_category=trouble.category,
        words=trouble.words or trouble.message,
        detail=detail,
    )
    with database.transaction() as connection:
        add_event(connection, run, now, event)
        if trouble.retryable and call.tries < policy.MAX_TRIES:
            SQL["unsend"].first(connection, id=call.id, submitted_at=call.submitted_at)
        else:
            SQL["refuse_call"].first(
                connection,
                id=call.id,
                submitted_at=call.submitted_at,
                now=now,
                category=trouble.category,
                code=trouble.code,
                retryable=trouble.retryable,
                words=trouble.words or trouble.message,
            )
    return trouble


def bind(run_id: UUID, call: Call, submission: Submission, event: Event, tools: Tools) -> bool:
    """Record the provider's id of a call that was sent; False when one was bound already.

    Whoever holds the run: a paid training must be known. A run that had been given up to a person goes on.
    """
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["bind_call"].first(
            connection,
            id=call.id,
            remote_id=submission.remote_id,
            handle=json.dumps(dict(submission.handle)),
            now=now,
        )
        run = find(connection, run_id)
        if row is None or run is None:
            return False
        bound = to_call(row)
        detail = {"call": str(call.id), "remote_id": submission.remote_id, **event.detail}
        add_event(connection, run, now, Event(event.kind, duration_ms=event.duration_ms, detail=detail))
        say(connection, run, now, f"{label(call.provider)} took the request: {submission.remote_id}")
        if call.provider == "runpod":
            SQL["set_pod"].run(connection, id=run_id, pod_id=submission.remote_id, now=now)
        if bound.state is not CallState.ACCEPTED:
            _log.error("training.bound_too_late", run_id=str(run_id), remote_id=submission.remote_id)
        elif run.state is RunState.NEEDS_ATTENTION:
            wake(connection, run, now)
    return True


def wake(connection: Connection, run: Run, now: datetime, *, stage: Stage | None = None) -> bool:
    """A run that waited for a person goes on: at `stage`, else where it stood, or with its end."""
    if stage is None and run.ends_as is not None:
        return _wake_to_end(connection, run, now)
    stage = stage or run.stage
    moved = SQL["seize"].first(
        connection,
        id=run.id,
        now=now,
        state=RunState.RUNNING,
        stage=stage,
        from_state=run.state,
        from_stage=run.stage,
        ends_as=None,
        progress=policy.SPAN[stage][0],
        error_message=None,
        category=None,
        retryable=None,
        words=None,
        next_action=None,
    )
    if moved is None:
        return False
    status = status_of(RunState.RUNNING, stage)
    SQL["set_status"].run(connection, lora_id=run.lora_id, status=status, now=now)
    moving.begin_stage(connection, run.id, stage, now)
    moving.enqueue(connection, run.id)
    return True


def _wake_to_end(connection: Connection, run: Run, now: datetime) -> bool:
    """What ended it, and not what it waited for, is its error again."""
    failed = run.ends_as is RunState.FAILED
    why = SQL["stage"].first(connection, run_id=run.id, stage=run.stage) if failed else None
    moved = SQL["seize"].first(
        connection,
        id=run.id,
        now=now,
        state=RunState.ENDING,
        stage=run.stage,
        from_state=run.state,
        from_stage=run.stage,
        ends_as=run.ends_as,
        progress=None,
        error_message=why["error_message"] if why else None,
        category=why["failure_category"] if why else None,
        retryable=why["failure_retryable"] if why else None,
        words=why["failure_words"] if why else None,
        next_action=why["next_action"] if why else None,
    )
    if moved is not None:
        moving.enqueue(connection, run.id, queue.URGENT)
    return moved is not None


def look(
    run: Run,
    call: Call,
    find_there: Callable[[Call], Submission | None],
    is_there: Callable[[Submission], bool],
    tools: Tools,
) -> bool:
    """Look for a call whose answer was lost: by what a webhook named, then at the provider; True when bound.

    A webhook's word is proved by reading what it names with our own key.
    """
    with database.reading() as connection:
        named = [row["remote_id"] for row in SQL["named_by_webhooks"].all(connection, call_id=call.id)]
    for remote_id in named:
        submission = Submission(remote_id)
        if is_there(submission):
            return bind(run.id, call, submission, Event(EventKind.BOUND, detail={"by": "webhook"}), tools)
    found = find_there(call)
    if found is None:
        return False
    return bind(run.id, call, found, Event(EventKind.BOUND, detail={"by": "look-up"}), tools)


def wait_for_answer(run: Run, call: Call, tools: Tools) -> None:
    """Nothing told of a lost answer yet: wait, or leave it to a person when the time is over."""
    decision = policy.after_lost_answer(call, label(call.provider), tools.clock())
    if isinstance(decision, policy.Watch):
        moving.release(run, decision.at, tools)
        return
    moving.attention(
        run,
        decision.trouble,
        tools,
        also=lambda connection: SQL["lose_call"].first(connection, id=call.id),
    )


def in_flight(calls: Sequence[Call]) -> list[Call]:
    """The calls that are not over."""
    return [call for call in calls if not call.state.is_over]


def since(call: Call) -> datetime:
    """From when on a look at the provider makes sense: clocks may differ a little."""
    return (call.submitted_at or call.created_at) - timedelta(minutes=2)
