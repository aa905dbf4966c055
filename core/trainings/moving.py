"""A run's lease, and every guarded move that it makes from stage to stage and to its end."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from core import database, log
from core.trainings import policy
from core.trainings.models import (
    ENDED,
    TRANSITIONS,
    Event,
    EventKind,
    Run,
    RunState,
    Stage,
    Trouble,
    status_of,
)
from core.trainings.repository import SQL, add_event, say, to_run, trouble_columns
from core.trainings.tools import Tools
from core.work import queue

RENEW_EVERY = timedelta(seconds=10)

_log = log.get(__name__)
_KIND_OF = {
    RunState.COMPLETED: EventKind.COMPLETED,
    RunState.FAILED: EventKind.FAILED,
    RunState.CANCELLED: EventKind.CANCELLED,
}


def enqueue(
    connection: Connection, run_id: UUID, priority: int = queue.NORMAL, *, at: datetime | None = None
) -> None:
    """Put the next step of a run on the queue, not before `at`; once, while it waits there."""
    queue.enqueue(
        connection,
        "train",
        queue="trainings",
        priority=priority,
        once=f"train:{run_id}",
        at=at,
        run_id=str(run_id),
    )


def lease(run_id: UUID, tools: Tools) -> Run | None:
    """Take a run for this worker; None while another holds it, or there is nothing to do."""
    now = tools.clock()
    with database.statement() as connection:
        row = SQL["lease"].first(
            connection, id=run_id, now=now, token=uuid.uuid4(), lease_until=now + policy.LEASE
        )
    if row is None:
        return None
    run = to_run(row)
    if row["taken_over"]:
        note_taken_over(run, tools)
    return run


def note_taken_over(run: Run, tools: Tools) -> None:
    """Say that the worker before never gave the run back: it crashed, or slept past its lease."""
    now = tools.clock()
    _log.warning("training.taken_over", run_id=str(run.id), stage=run.stage)
    with database.transaction() as connection:
        add_event(connection, run, now, Event(EventKind.TAKEN_UP, detail={"stage": run.stage}))
        say(connection, run, now, "The worker before was lost. It goes on here.", level="warning")


@contextmanager
def kept(run: Run, tools: Tools) -> Iterator[None]:
    """Renews the run's lease while a step works on it, however long that takes.

    Who has lost it all the same records nothing: every move is guarded by the lease's token.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_renew_until, args=(stop, run, tools), daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _renew_until(stop: threading.Event, run: Run, tools: Tools) -> None:
    while not stop.wait(RENEW_EVERY.total_seconds()):
        now = tools.clock()
        try:
            with database.statement() as connection:
                mine = SQL["renew_lease"].first(
                    connection, id=run.id, token=run.lease_token, now=now, lease_until=now + policy.LEASE
                )
        except SQLAlchemyError:
            _log.exception("training.lease_not_renewed", run_id=str(run.id))
            continue
        if mine is None:
            return


def release(run: Run, at: datetime | None, tools: Tools, connection: Connection | None = None) -> None:
    """Give a leased run back, due at `at`, or sooner when somebody hurried it meanwhile."""
    values = {
        "id": run.id,
        "token": run.lease_token,
        "now": tools.clock(),
        "next_attempt_at": at,
        "seen_next_attempt_at": run.next_attempt_at,
    }
    if connection is not None:
        SQL["release"].run(connection, **values)
        return
    with database.statement() as alone:
        SQL["release"].run(alone, **values)


def go_on(run: Run, tools: Tools) -> None:
    """Give a leased run back with a job for its next step at once."""
    with database.transaction() as connection:
        release(run, tools.clock(), tools, connection)
        enqueue(connection, run.id)


def move(
    connection: Connection,
    run: Run,
    state: RunState,
    stage: Stage,
    now: datetime,
    *,
    due: datetime | None = None,
    trouble: Trouble | None = None,
    ends_as: RunState | None = None,
    keep: bool = False,
) -> bool:
    """One guarded move of a leased run, its LoRA's status with it; False when the lease was lost."""
    moved = SQL["move"].first(
        connection,
        id=run.id,
        token=run.lease_token,
        now=now,
        state=state,
        stage=stage,
        from_states=[origin for origin, targets in TRANSITIONS.items() if state in targets],
        from_stage=run.stage,
        next_attempt_at=due,
        ends_as=ends_as,
        progress=100 if state is RunState.COMPLETED else policy.SPAN[stage][0],
        time_left=_time_left(run, stage) if state is RunState.RUNNING else None,
        over=state in ENDED,
        keep=keep,
        **trouble_columns(trouble),
    )
    if moved is None:
        return False
    if state is not RunState.COMPLETED:
        SQL["set_status"].run(connection, lora_id=run.lora_id, status=status_of(state, stage), now=now)
    return True


def _time_left(run: Run, stage: Stage) -> int:
    return policy.time_left(stage, run.trainer, publish=run.publish, progress=None, elapsed=timedelta())


def finish_stage(
    run: Run, tools: Tools, event: Event | None = None, also: Callable[[Connection], Any] | None = None
) -> bool:
    """End a leased run's stage and begin the next, with what `also` writes, in one transaction."""
    now = tools.clock()
    stage = policy.next_stage(run.stage, publish=run.publish)
    with database.transaction() as connection:
        if not move(connection, run, RunState.RUNNING, stage, now, due=now):
            return False
        if also is not None:
            also(connection)
        if event is not None:
            add_event(connection, run, now, event)
        end_stage(connection, run, "succeeded", now)
        begin_stage(connection, run.id, stage, now)
        enqueue(connection, run.id)
    return True


def begin_stage(connection: Connection, run_id: UUID, stage: Stage, now: datetime) -> None:
    """A stage begins, or begins again."""
    SQL["begin_stage"].run(connection, run_id=run_id, stage=stage, now=now)


def end_stage(
    connection: Connection, run: Run, outcome: str, now: datetime, trouble: Trouble | None = None
) -> None:
    """Record how the run's stage ended, on the stage, the timeline and the log."""
    row = SQL["stage"].first(connection, run_id=run.id, stage=run.stage)
    ms = int((now - row["started_at"]).total_seconds() * 1000) if row else None
    SQL["end_stage"].run(
        connection, run_id=run.id, stage=run.stage, now=now, outcome=outcome, **trouble_columns(trouble)
    )
    kind = EventKind.STAGE_ENDED if outcome == "succeeded" else EventKind.STAGE_FAILED
    event = Event(
        kind,
        duration_ms=ms,
        error_category=trouble.category if trouble else None,
        words=trouble.words or trouble.message if trouble else None,
        detail={"outcome": outcome},
    )
    add_event(connection, run, now, event)
    if trouble is None:
        told = {"succeeded": "done", "needs_attention": "needs a person"}.get(outcome, outcome)
        say(connection, run, now, f"{run.stage.label}: {told}")
    else:
        say(connection, run, now, f"{run.stage.label}: {trouble.message}", level="error")


def try_again(run: Run, trouble: Trouble, tools: Tools, *, after: timedelta | None = None) -> None:
    """A step of ours failed: later once more while that may help, else the run ends as failed."""
    if not trouble.retryable or run.attempt + 1 >= policy.MAX_TRIES:
        begin_ending(run, RunState.FAILED, trouble, tools)
        return
    now = tools.clock()
    due = now + (after or policy.pause(run.attempt))
    with database.transaction() as connection:
        columns = trouble_columns(trouble)
        values = {name: columns[name] for name in ("error_message", "category", "words", "next_action")}
        kept_ = SQL["try_again"].first(
            connection, id=run.id, token=run.lease_token, now=now, next_attempt_at=due, **values
        )
        if kept_ is None:
            return
        SQL["retry_stage"].run(connection, run_id=run.id, stage=run.stage, **columns)
        event = Event(
            EventKind.RETRIED,
            attempt=run.attempt + 1,
            error_category=trouble.category,
            words=trouble.words or trouble.message,
            detail={"again_at": due.isoformat()},
        )
        add_event(connection, run, now, event)
        say(connection, run, now, f"{trouble.message} Tried again at {due:%H:%M:%S} UTC.", level="warning")
        enqueue(connection, run.id, at=due)


def begin_ending(
    run: Run,
    ends_as: RunState,
    trouble: Trouble | None,
    tools: Tools,
    also: Callable[[Connection], Any] | None = None,
) -> bool:
    """A leased run ends as `ends_as` once everything is stopped, given back and settled; a job does that."""
    now = tools.clock()
    with database.transaction() as connection:
        if not move(
            connection, run, RunState.ENDING, run.stage, now, due=now, trouble=trouble, ends_as=ends_as
        ):
            return False
        if also is not None:
            also(connection)
        end_stage(connection, run, str(ends_as), now, trouble)
        enqueue(connection, run.id, queue.URGENT)
    return True


def attention(
    run: Run, trouble: Trouble, tools: Tools, also: Callable[[Connection], Any] | None = None
) -> bool:
    """A leased run waits for a person, its money still reserved; one that was to end is to end still."""
    now = tools.clock()
    with database.transaction() as connection:
        waits = RunState.NEEDS_ATTENTION
        if not move(connection, run, waits, run.stage, now, trouble=trouble, ends_as=run.ends_as):
            return False
        if also is not None:
            also(connection)
        end_stage(connection, run, "needs_attention", now, trouble)
        add_event(connection, run, now, Event(EventKind.NEEDS_ATTENTION, words=trouble.message))
    _log.warning("training.needs_attention", run_id=str(run.id), stage=run.stage)
    return True


def over(connection: Connection, run: Run, state: RunState, now: datetime, trouble: Trouble | None) -> bool:
    """A leased run's last move."""
    if not move(connection, run, state, run.stage, now, trouble=trouble):
        return False
    if run.user_id is not None:
        SQL["count_month"].run(connection, user_id=run.user_id, month=policy.month_of(now), now=now)
    words = trouble.words or trouble.message if trouble else None
    add_event(
        connection,
        run,
        now,
        Event(_KIND_OF[state], error_category=trouble.category if trouble else None, words=words),
    )
    say(connection, run, now, f"{run.lora_name}: {state}")
    return True
