"""A run's end: stopped at the provider, given back, settled to what it cost, and only then over."""

from sqlalchemy import Connection

from core import database, log
from core.errors import ProviderError
from core.providers.training import Cancelled, TrainingRecord, TrainingState
from core.providers.training_registry import label
from core.trainings import calls, costs, moving, policy, releasing, sending, validating
from core.trainings.models import Call, CallState, Event, EventKind, Purpose, Run, RunState, Trouble
from core.trainings.repository import SQL, add_event, say, trouble_columns, trouble_of_run
from core.trainings.tools import Tools
from core.work import queue

STOP_POLL = policy.PICTURE_POLL
_log = log.get(__name__)
_STATE_OF = {
    TrainingState.SUCCEEDED: CallState.SUCCEEDED,
    TrainingState.FAILED: CallState.FAILED,
}


def advance(run: Run, tools: Tools) -> None:
    """The step of a leased run that is being ended: what runs is stopped, what costs is given back."""
    with database.transaction() as connection:
        SQL["drop_intents"].all(connection, run_id=run.id, now=tools.clock())
    with moving.kept(run, tools):
        for call in calls.in_flight(calls.of(run.id)):
            try:
                stopped = _stop(run, call, tools)
            except ProviderError as error:
                _later(run, error, tools)
                return
            if not stopped:
                return
        if not releasing.give_back(run, calls.of(run.id), tools):
            _later(run, None, tools)
            return
    _finish(run, tools)


def _stop(run: Run, call: Call, tools: Tools) -> bool:
    """Whether nothing of the call runs any more; otherwise the run was given back until later."""
    if call.state is CallState.SENDING:
        _find_lost(run, call, tools)
        return False
    if call.purpose is Purpose.PICTURE:
        return _stop_picture(run, call, tools)
    return _stop_training(run, call, tools)


def _find_lost(run: Run, call: Call, tools: Tools) -> None:
    trainer = tools.trainers.get(call.provider)
    if trainer and call.purpose is Purpose.TRAINING and sending.look(run, call, trainer, tools):
        moving.go_on(run, tools)
        return
    calls.wait_for_answer(run, call, tools)


def _stop_training(run: Run, call: Call, tools: Tools) -> bool:
    trainer = tools.trainers.get(call.provider)
    if trainer is None:
        moving.release(run, tools.clock() + policy.SLOW_POLL, tools)
        return False
    outcome = trainer.cancel(call.submission)
    record = trainer.read(call.submission)
    if outcome is Cancelled.REQUESTED and not _is_over(record):
        moving.release(run, tools.clock() + STOP_POLL, tools)
        return False
    state = _STATE_OF.get(record.state, CallState.CANCELLED)
    now = tools.clock()
    with database.transaction() as connection:
        result = (record.weights_url, record.weights_kind) if record.weights_url else None
        cost = sending.end_call(connection, run, call, record, state, None, tools, result=result)
        detail = {"call": str(call.id), "outcome": outcome, "usd": str(cost)}
        add_event(connection, run, now, Event(EventKind.CANCELLED_AT_PROVIDER, detail=detail))
        say(connection, run, now, f"{label(call.provider)} confirms: {call.remote_id} runs no more")
    return True


def _is_over(record: TrainingRecord) -> bool:
    return record.state.is_final or record.state is TrainingState.NOT_FOUND


def _stop_picture(run: Run, call: Call, tools: Tools) -> bool:
    if tools.images is None:
        moving.release(run, tools.clock() + policy.SLOW_POLL, tools)
        return False
    outcome = tools.images.cancel(call.submission)
    state = tools.images.read(call.submission).state
    if outcome is Cancelled.REQUESTED and not (state.is_final or state is TrainingState.NOT_FOUND):
        moving.release(run, tools.clock() + STOP_POLL, tools)
        return False
    validating.end_call(run, call, _STATE_OF.get(state, CallState.CANCELLED), state, None, tools)
    return True


def _later(run: Run, error: ProviderError | None, tools: Tools) -> None:
    """The provider did not do it now. It may be costing money, so that this is never given up."""
    now = tools.clock()
    if error is not None:
        with database.transaction() as connection:
            say(connection, run, now, f"It could not be stopped yet: {error.message}", level="error")
            event = Event(
                EventKind.POLL_FAILED, error_category=error.category, words=error.words or error.message
            )
            add_event(connection, run, now, event)
    moving.release(run, now + policy.POLL, tools)


def _finish(run: Run, tools: Tools) -> None:
    now = tools.clock()
    state = run.ends_as or RunState.FAILED
    with database.transaction() as connection:
        costs.close(connection, run, f"the run is {state}", now)
        if not moving.over(connection, run, state, now, trouble_of_run(run)):
            connection.rollback()
            return
    _log.info("training.over", run_id=str(run.id), state=state)


def begin(connection: Connection, run: Run, ends_as: RunState, trouble: Trouble | None, tools: Tools) -> bool:
    """A run ends by a person's word, whoever holds it; False when it has moved meanwhile."""
    now = tools.clock()
    columns = trouble_columns(trouble)
    moved = SQL["seize"].first(
        connection,
        id=run.id,
        now=now,
        state=RunState.ENDING,
        stage=run.stage,
        from_state=run.state,
        from_stage=run.stage,
        ends_as=ends_as,
        progress=None,
        **columns,
    )
    if moved is None:
        return False
    moving.end_stage(connection, run, str(ends_as), now, trouble)
    moving.enqueue(connection, run.id, queue.URGENT)
    return True
