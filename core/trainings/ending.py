"""A run's end: stopped at the provider, given back, settled to what it cost, and only then over.

A provider that does not confirm it in time leaves the run to a person, its money still reserved; the sweep
goes on trying, and once it is confirmed after all the run ends by itself.
"""

from datetime import timedelta

from sqlalchemy import Connection

from core import database, log
from core.errors import ProviderError
from core.providers.training import Cancelled, TrainingState
from core.providers.training_registry import label
from core.trainings import calls, costs, moving, policy, releasing, sending, validating
from core.trainings.models import Call, CallState, Event, EventKind, Purpose, Run, RunState, Trouble
from core.trainings.repository import SQL, add_event, say, to_run, trouble_columns, trouble_of_run
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
            if call.state is CallState.SENDING:
                _find_lost(run, call, tools)
                return
            try:
                stopped = _stop(run, call, tools)
            except ProviderError as error:
                _not_yet(run, label(call.provider), error, policy.POLL, tools)
                return
            if not stopped:
                _not_yet(run, label(call.provider), None, STOP_POLL, tools)
                return
        if not releasing.give_back(run, calls.of(run.id), tools):
            _not_yet(run, label(run.trainer), None, policy.POLL, tools)
            return
    _finish(run, tools)


def _stop(run: Run, call: Call, tools: Tools) -> bool:
    """Whether the provider confirms that nothing of the call runs any more; what it cost is settled then."""
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
        return False
    outcome = trainer.cancel(call.submission)
    record = trainer.read(call.submission)
    if outcome is Cancelled.REQUESTED and not _is_over(record.state):
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


def _is_over(state: TrainingState) -> bool:
    return state.is_final or state is TrainingState.NOT_FOUND


def _stop_picture(run: Run, call: Call, tools: Tools) -> bool:
    if tools.images is None:
        return False
    outcome = tools.images.cancel(call.submission)
    state = tools.images.read(call.submission).state
    if outcome is Cancelled.REQUESTED and not _is_over(state):
        return False
    validating.end_call(run, call, _STATE_OF.get(state, CallState.CANCELLED), state, None, tools)
    return True


def _not_yet(run: Run, who: str, error: ProviderError | None, pause: timedelta, tools: Tools) -> None:
    """The provider has not confirmed it: once more after the pause, and in the end a person is told."""
    now = tools.clock()
    if policy.stop_is_overdue(run, now):
        moving.attention(run, policy.not_stopped(who, error), tools)
        return
    if error is not None:
        with database.transaction() as connection:
            say(connection, run, now, f"It could not be stopped yet: {error.message}", level="error")
            event = Event(
                EventKind.POLL_FAILED, error_category=error.category, words=error.words or error.message
            )
            add_event(connection, run, now, event)
    moving.release(run, now + pause, tools)


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


def try_unconfirmed(tools: Tools, limit: int = 50) -> int:
    """Have what a person was told of stopped after all; how many runs end now, by a job of their own."""
    with database.reading() as connection:
        runs = [to_run(row) for row in SQL["unconfirmed_ends"].all(connection, limit=limit)]
    return sum(_is_confirmed(run, tools) and _go_on(run, tools) for run in runs)


def _is_confirmed(run: Run, tools: Tools) -> bool:
    known = calls.of(run.id)
    try:
        stopped = all(_stop(run, call, tools) for call in known if call.state is CallState.ACCEPTED)
    except ProviderError as error:
        _log.warning("training.end_not_confirmed", run_id=str(run.id), error=error.message)
        return False
    in_doubt = any(call.state in {CallState.SENDING, CallState.UNKNOWN} for call in known)
    return stopped and not in_doubt and releasing.give_back(run, calls.of(run.id), tools)


def _go_on(run: Run, tools: Tools) -> bool:
    with database.transaction() as connection:
        return calls.wake(connection, run, tools.clock())
