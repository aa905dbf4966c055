"""Tells those who asked for it how a training of theirs ended."""

from datetime import datetime

from core import database, settings
from core.notifications import service as notifications
from core.trainings.models import RunState
from core.trainings.spending import SQL

AT_ONCE = 50
_HOW = {
    RunState.COMPLETED: "is completed",
    RunState.FAILED: "has failed",
    RunState.CANCELLED: "was cancelled",
}


def tell_ends(now: datetime) -> int:
    """Write a mail for each run that ended and whose creator wants one, once a run and end; how many."""
    base = settings.current().public_base_url.rstrip("/")
    written = 0
    with database.transaction() as connection:
        for row in SQL["ended_for"].all(connection, now=now, limit=AT_ONCE):
            state = RunState(row["state"])
            title = f"Your LoRA “{row['name'][:80]}” {_HOW[state]}"
            why = f"{row['error_message']}\n" if state is RunState.FAILED and row["error_message"] else ""
            cost = f"It has cost ${row['training_cost'] or 0:.2f}.\n"
            body = f"{title}.\n{why}{cost}{base}/training_runs?run={row['id']}"
            key = f"training:{row['id']}:{state}"
            written += notifications.write_to(connection, row["email"], key, title, body, now)
    return written
