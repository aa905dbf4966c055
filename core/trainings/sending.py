"""The training itself: submitted once, looked for when its answer was lost, followed to its end."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from core import database, log
from core.budget.models import BudgetExceeded
from core.errors import ErrorCategory, InvalidInput, NotFound, ProviderError, StorageError
from core.providers.training import (
    NotFindable,
    PushTargets,
    Submission,
    Trainer,
    TrainingRecord,
    TrainingRequest,
    TrainingState,
)
from core.providers.training_registry import label
from core.trainings import calls, costs, moving, policy, pushing, releasing
from core.trainings.models import Call, CallState, Event, EventKind, Purpose, Run, RunState, Trouble
from core.trainings.repository import SQL, add_event, keep_log, say, training_of, trouble_columns
from core.trainings.tools import Tools
from core.work import queue

# What a trainer answers that has no machine free just now; nothing was begun then.
NO_CAPACITY = "no_capacity"
# In the place of an address: the weights lie in our storage already.
PUSHED = "pushed:"

_log = log.get(__name__)


def advance(run: Run, tools: Tools) -> None:
    """The step of a leased run that stands at its training."""
    trainer = tools.trainers.get(run.trainer)
    if trainer is None:
        moving.try_again(run, _not_configured(run, tools), tools, after=policy.SLOW_POLL)
        return
    call = training_of(calls.of(run.id))
    if call is None or call.state.is_over:
        call = _next_round(run, call, tools)
    match call.state:
        case CallState.INTENT:
            with moving.kept(run, tools):
                _submit(run, call, trainer, tools)
        case CallState.SENDING:
            reconcile(run, call, trainer, tools)
        case _:
            watch(run, call, trainer, tools)


def _not_configured(run: Run, tools: Tools) -> Trouble:
    return Trouble(
        tools.missing.get(run.trainer, f"The trainer {run.trainer} is not configured."),
        ErrorCategory.AUTHENTICATION,
        retryable=True,
        next_action="Set what it names.",
    )


def _next_round(run: Run, before: Call | None, tools: Tools) -> Call:
    now = tools.clock()
    with database.transaction() as connection:
        calls.write(connection, run, Purpose.TRAINING, 0, before.round + 1 if before else 1, now)
    call = training_of(calls.of(run.id))
    assert call is not None
    return call


def _submit(run: Run, call: Call, trainer: Trainer, tools: Tools) -> None:
    try:
        request = _request(run, call, tools)
        trainer.prepare(request)
    except (ProviderError, StorageError, InvalidInput, NotFound) as error:
        moving.try_again(run, _before_sending(error), tools)
        return
    trouble = calls.send(run, call, lambda _: trainer.submit(request), tools)
    if trouble is None:
        moving.release(run, tools.clock() + policy.POLL, tools)
        return
    if not fall_back(run, trouble, tools):
        moving.try_again(run, trouble, tools)


def _request(run: Run, call: Call, tools: Tools) -> TrainingRequest:
    bounds = tools.trainers[run.trainer].bounds
    if run.zip_bucket is None or run.zip_path is None:
        raise NotFound("The ZIP of the images is gone. Start the run again from there.")
    return TrainingRequest(
        run_id=call.id,
        dataset_url=tools.zip_link(run.zip_bucket, run.zip_path),
        images=run.images or 0,
        trigger_word=run.trigger_word,
        steps=run.steps,
        learning_rate=run.learning_rate if bounds.learning_rate else None,
        rank=run.rank if bounds.rank else None,
        webhook_url=tools.webhook_url(run.trainer, call.id),
        push=_push(run, call, tools),
    )


def _push(run: Run, call: Call, tools: Tools) -> PushTargets | None:
    return pushing.targets(call.id, tools) if run.trainer == "runpod" else None


def _before_sending(error: ProviderError | StorageError | InvalidInput | NotFound) -> Trouble:
    """Nothing was sent yet, so that trying again costs nothing."""
    if isinstance(error, ProviderError):
        return calls.trouble_of(error)
    retryable = isinstance(error, StorageError) and error.retryable
    category = (
        ErrorCategory.FILE_ERROR if isinstance(error, StorageError | NotFound) else ErrorCategory.VALIDATION
    )
    return Trouble(error.message, category, retryable, "Mend what it names, then start it again.")


def fall_back(run: Run, trouble: Trouble, tools: Tools) -> bool:
    """Have another trainer do it when this one has no machine free, before anything was paid."""
    other = tools.fallbacks.get(run.trainer)
    if trouble.code != NO_CAPACITY or other is None or other not in tools.trainers:
        return False
    now = tools.clock()
    try:
        with database.transaction() as connection:
            _reserve_for(connection, run, other, now)
            moved = SQL["set_trainer"].run(
                connection, id=run.id, token=run.lease_token, trainer=other, now=now
            )
            if not moved:
                return True
            SQL["drop_intents"].all(connection, run_id=run.id, now=now)
            detail = {"from": run.trainer, "to": other}
            add_event(connection, run, now, Event(EventKind.FELL_BACK, words=trouble.words, detail=detail))
            none_free = f"{label(run.trainer)} has no machine free, and nothing was begun there."
            line = f"{none_free} It goes on at {label(other)}."
            say(connection, run, now, line, level="warning")
            moving.release(run, now, tools, connection)
            moving.enqueue(connection, run.id)
    except BudgetExceeded as error:
        _log.warning("training.no_money_to_fall_back", run_id=str(run.id), reason=error.message)
        return False
    return True


def _reserve_for(connection: Connection, run: Run, other: str, now: datetime) -> None:
    """The same run at another trainer: its reservation is that one's price."""
    amount = costs.quote(connection, other, run.steps, now).total_usd
    costs.close(connection, run, f"falls back to {other}", now)
    costs.reserve(connection, run, amount, now)


def reconcile(run: Run, call: Call, trainer: Trainer, tools: Tools) -> None:
    """The answer of a paid request was lost: it is looked for, and never sent again."""
    if look(run, call, trainer, tools):
        moving.go_on(run, tools)
        return
    calls.wait_for_answer(run, call, tools)


def look(run: Run, call: Call, trainer: Trainer, tools: Tools) -> bool:
    """Whether a lost training was found, and is bound now."""
    return calls.look(
        run, call, lambda lost: _find(lost, trainer), lambda submission: _is_there(submission, trainer), tools
    )


def _find(call: Call, trainer: Trainer) -> Submission | None:
    try:
        return trainer.find(call.id, calls.since(call))
    except NotFindable:
        return None
    except ProviderError as error:
        _log.warning("training.not_looked_for", call_id=str(call.id), error=error.message)
        return None


def _is_there(submission: Submission, trainer: Trainer) -> bool:
    try:
        return trainer.read(submission).state is not TrainingState.NOT_FOUND
    except ProviderError as error:
        _log.warning("training.candidate_unreadable", remote_id=submission.remote_id, error=error.message)
        return False


def watch(run: Run, call: Call, trainer: Trainer, tools: Tools) -> None:
    """Read the provider's record of a leased run's training and do what it says."""
    try:
        record = trainer.read(call.submission)
    except ProviderError as error:
        _unread(run, call, error, trainer, tools)
        return
    decision = policy.next_step(
        run,
        call,
        _with_pushed(call, record, tools),
        costs.ceiling(run, call, record, trainer.ceiling),
        tools.clock(),
        starts_within=trainer.starts_within,
    )
    match decision:
        case policy.Watch():
            _note(run, call, record, decision, tools)
        case policy.Store():
            _succeeded(run, call, record, decision, tools)
        case policy.Fail():
            _failed(run, call, record, decision, tools)
        case policy.Overdue():
            moving.begin_ending(run, RunState.FAILED, decision.trouble, tools)
        case policy.Attention():
            moving.attention(run, decision.trouble, tools)


def _with_pushed(call: Call, record: TrainingRecord, tools: Tools) -> TrainingRecord:
    """A pod's record, with where its weights lie once they are pushed: RunPod knows nothing of them."""
    succeeded = record.state is TrainingState.SUCCEEDED and record.weights_url is None
    if call.provider != "runpod" or not succeeded or not pushing.is_here(call.id, tools):
        return record
    return replace(record, weights_url=PUSHED)


def _unread(run: Run, call: Call, error: ProviderError, trainer: Trainer, tools: Tools) -> None:
    now = tools.clock()
    decision = policy.after_read_error(call, error, trainer.ceiling, now)
    if isinstance(decision, policy.Attention):
        moving.attention(run, decision.trouble, tools)
        return
    trouble = calls.trouble_of(error)
    with database.transaction() as connection:
        _watched(connection, run, None, decision.at, trouble, now)
        event = Event(
            EventKind.POLL_FAILED, error_category=error.category, words=error.words or error.message
        )
        add_event(connection, run, now, event)


def _note(run: Run, call: Call, record: TrainingRecord, decision: policy.Watch, tools: Tools) -> None:
    now = tools.clock()
    with database.transaction() as connection:
        if not _watched(connection, run, record, decision.at, None, now, call):
            return
        SQL["progress_call"].run(
            connection, id=call.id, progress=record.progress or 0, usd_per_hour=record.usd_per_hour
        )
        keep_log(connection, run, call, record.log, now)


def _watched(
    connection: Connection,
    run: Run,
    record: TrainingRecord | None,
    at: datetime,
    trouble: Trouble | None,
    now: datetime,
    call: Call | None = None,
) -> bool:
    progress = (record.progress if record else None) or 0
    left = run.time_left_s
    if call is not None:
        own = costs.own_p50(connection, run.trainer)
        left = policy.time_left(
            run.stage,
            run.trainer,
            publish=run.publish,
            progress=progress,
            elapsed=now - call.begun_at,
            own_p50_s=own,
        )
    columns = trouble_columns(trouble)
    kept = SQL["watched"].first(
        connection,
        id=run.id,
        token=run.lease_token,
        now=now,
        provider_state=record.state_word if record else None,
        queue_position=record.queue_position if record else None,
        usd_per_hour=record.usd_per_hour if record else None,
        progress=policy.overall(run.stage, progress),
        time_left=left,
        next_attempt_at=at,
        seen_next_attempt_at=run.next_attempt_at,
        **columns,
    )
    SQL["progress_stage"].run(
        connection, run_id=run.id, stage=run.stage, progress=progress, time_left=left, **columns
    )
    return kept is not None


def _succeeded(run: Run, call: Call, record: TrainingRecord, decision: policy.Store, tools: Tools) -> None:
    def also(connection: Connection) -> None:
        keep_log(connection, run, call, record.log, tools.clock())
        end_call(
            connection,
            run,
            call,
            record,
            CallState.SUCCEEDED,
            None,
            tools,
            result=(decision.url, decision.kind),
        )

    moving.finish_stage(run, tools, also=also)


def _failed(run: Run, call: Call, record: TrainingRecord, decision: policy.Fail, tools: Tools) -> None:
    """Once more within what is reserved, where the provider says that it makes sense; else the run ends."""
    now = tools.clock()

    def also(connection: Connection) -> None:
        keep_log(connection, run, call, record.log, now)
        end_call(connection, run, call, record, decision.state, decision.trouble, tools)

    with database.reading() as connection:
        line = costs.training_cost(connection, run, call, record, now)
        again = costs.usual(connection, run, costs.own_p50(connection, run.trainer), now)
    known = calls.of(run.id)
    rounds = sum(
        one.purpose is Purpose.TRAINING
        and one.reservation_key == run.reservation_key
        and one.state is not CallState.NOT_SENT
        for one in known
    )
    spent = costs.spent(known, run.reservation_key) + line.amount_usd
    if not policy.may_train_again(decision.trouble, rounds, spent, again, run.quoted_usd):
        moving.begin_ending(run, RunState.FAILED, decision.trouble, tools, also)
        return
    with database.transaction() as connection:
        due = now + policy.pause(rounds)
        if not _watched(connection, run, record, due, decision.trouble, now):
            return
        also(connection)
        words = decision.trouble.words or decision.trouble.message
        add_event(connection, run, now, Event(EventKind.RETRIED, attempt=rounds, words=words))
        say(connection, run, now, f"{decision.trouble.message} It is begun once more.", level="warning")
        SQL["retry_stage"].run(
            connection, run_id=run.id, stage=run.stage, **trouble_columns(decision.trouble)
        )
        moving.enqueue(connection, run.id, at=due)
    releasing.give_back(run, calls.of(run.id), tools)


def end_call(
    connection: Connection,
    run: Run,
    call: Call,
    record: TrainingRecord | None,
    state: CallState,
    trouble: Trouble | None,
    tools: Tools,
    *,
    result: tuple[str, str] | None = None,
) -> Decimal:
    """End an accepted training and settle what it cost, once, in the caller's transaction."""
    now = tools.clock()
    line = costs.training_cost(connection, run, call, record, now)
    columns = trouble_columns(trouble)
    failure = record.failure if record else None
    ended = SQL["end_call"].first(
        connection,
        id=call.id,
        now=now,
        state=state,
        progress=record.progress if record else None,
        result_url=result[0] if result else None,
        result_kind=result[1] if result else None,
        category=columns["category"],
        code=failure.code if failure else None,
        retryable=columns["retryable"],
        words=columns["words"],
        cost_usd=line.amount_usd,
    )
    if ended is None:
        return Decimal(0)
    costs.settle(connection, run, call, line, now)
    add_event(
        connection,
        run,
        now,
        Event(EventKind.SETTLED, detail={"usd": str(line.amount_usd), "call": str(call.id)}),
    )
    return line.amount_usd


def hurry(connection: Connection, run_id: UUID, now: datetime) -> None:
    """Have a run looked at now."""
    if SQL["hurry"].first(connection, id=run_id, now=now) is not None:
        moving.enqueue(connection, run_id, queue.URGENT)
