"""Giving back what goes on costing money at a provider after its end: confirmed there, noted here."""

from core import database, log
from core.errors import ProviderError
from core.providers.training import Cancelled, TrainingState
from core.trainings import costs, policy
from core.trainings.models import Call, CallState, Event, EventKind, Purpose, Run
from core.trainings.repository import SQL, add_event, find, say, to_call
from core.trainings.tools import Tools

_log = log.get(__name__)


def give_back(run: Run, known: list[Call], tools: Tools) -> bool:
    """Release what ended calls go on costing money for; whether the providers confirmed all of it."""
    confirmed = True
    for call in known:
        if call.remote_id is None or call.released_at is not None or not call.state.is_over:
            continue
        confirmed = _release(run, call, tools) and confirmed
    return confirmed


def _release(run: Run, call: Call, tools: Tools) -> bool:
    trainer = tools.trainers.get(call.provider)
    if trainer is None and call.purpose is Purpose.TRAINING:
        return False
    try:
        if trainer is not None and call.purpose is Purpose.TRAINING:
            trainer.release(call.submission)
    except ProviderError as error:
        _log.warning("training.not_released", run_id=str(run.id), call_id=str(call.id), error=error.message)
        return False
    now = tools.clock()
    with database.transaction() as connection:
        if SQL["released_call"].first(connection, id=call.id, now=now) is not None:
            add_event(connection, run, now, Event(EventKind.RELEASED, detail={"remote_id": call.remote_id}))
    return True


def unreleased(tools: Tools, limit: int = 50) -> int:
    """Give back what calls of runs that are over may still have at a provider; how many."""
    with database.reading() as connection:
        rows = SQL["unreleased"].all(connection, before=tools.clock() - policy.UNKNOWN_GRACE, limit=limit)
        found = [(to_call(row), find(connection, row["run_id"])) for row in rows]
    return sum(_stop_for_good(run, call, tools) for call, run in found if run is not None)


def _stop_for_good(run: Run, call: Call, tools: Tools) -> bool:
    try:
        if not _is_stopped(call, tools):
            return False
        if call.state is CallState.NOT_SENT:
            _settle_taken(run, call, tools)
    except ProviderError as error:
        _log.warning("training.not_stopped", call_id=str(call.id), error=error.message)
        return False
    return _release(run, call, tools)


def _is_stopped(call: Call, tools: Tools) -> bool:
    """Whether the provider confirms that nothing of the call runs any more."""
    asked = tools.images if call.purpose is Purpose.PICTURE else tools.trainers.get(call.provider)
    if asked is None or call.state is CallState.SUCCEEDED:
        return True
    if asked.cancel(call.submission) is not Cancelled.REQUESTED:
        return True
    state = asked.read(call.submission).state
    return state.is_final or state is TrainingState.NOT_FOUND


def _settle_taken(run: Run, call: Call, tools: Tools) -> None:
    """Write what a call has cost that a person said was never taken, and that was taken all the same."""
    now, images, trainer = tools.clock(), tools.images, tools.trainers.get(call.provider)
    picture = images.read(call.submission) if images and call.purpose is Purpose.PICTURE else None
    record = trainer.read(call.submission) if trainer and picture is None else None
    with database.transaction() as connection:
        if picture is not None:
            line = costs.picture_cost(connection, call, picture.state, now)
        else:
            line = costs.training_cost(connection, run, call, record, now)
        SQL["cost_call"].run(connection, id=call.id, cost_usd=line.amount_usd)
        costs.settle(connection, run, call, line, now)
        detail = {"usd": str(line.amount_usd), "call": str(call.id)}
        add_event(connection, run, now, Event(EventKind.SETTLED, detail=detail))
        say(
            connection,
            run,
            now,
            f"{call.remote_id} had been taken all the same; it is stopped.",
            level="warning",
        )
