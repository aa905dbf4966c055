"""What only a person can know: that nothing of a run goes on at a provider which does not tell."""

from sqlalchemy import Connection

from core.errors import Conflict
from core.trainings import sending, steering, validating
from core.trainings.models import CallState, Purpose, Run, RunState
from core.trainings.repository import SQL, calls_of, say
from core.trainings.tools import Tools

LOST = "Say first that nothing runs at the provider: its answer was lost, and it may have taken the request."
UNCONFIRMED = "Say first that nothing runs at the provider: it has not confirmed that it was stopped."


def settle(connection: Connection, run: Run, tools: Tools, *, nothing_runs: bool) -> None:
    """End the doubt of a run by a person's word, if there is one. Conflict with the reason without that word.

    What was under way is settled to what it has cost as far as we know. The sweep still ends a pod that bears
    our mark, should the word be wrong.
    """
    known = calls_of(connection, run.id)
    if not steering.in_doubt(run, known):
        return
    if not nothing_runs:
        lost = any(call.state is CallState.UNKNOWN for call in known)
        raise Conflict(LOST if lost else UNCONFIRMED)
    now = tools.clock()
    SQL["declare_unsent"].all(connection, run_id=run.id, now=now)
    if run.state is RunState.NEEDS_ATTENTION and run.ends_as is not None:
        for call in known:
            if call.state is CallState.ACCEPTED and call.purpose is Purpose.TRAINING:
                sending.end_call(connection, run, call, None, CallState.CANCELLED, None, tools)
            elif call.state is CallState.ACCEPTED:
                validating.end_unmade(connection, run, call, tools)
            if call.remote_id is not None:
                SQL["released_call"].first(connection, id=call.id, now=now)
    say(connection, run, now, "A person says that nothing of it runs at the provider.")
