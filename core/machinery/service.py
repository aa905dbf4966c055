"""Runs a job at once, pauses it, and keeps what was taken over from dead workers."""

from datetime import datetime, timedelta
from uuid import UUID

from core import access, audit, database
from core.access import Action, Actor
from core.errors import Conflict, NotFound
from core.machinery import policy
from core.machinery.models import Pause
from core.machinery.repository import SQL, pauses, to_pause
from core.machinery.schedule import SCHEDULE, Job
from core.work import queue, runs

KEEP_TAKEOVERS = timedelta(days=30)


def run_now(actor: Actor | None, name: str, asked_id: UUID, now: datetime) -> bool:
    """Put a job on its queue now, once an id however often pressed, also while it is paused.

    False when a run of it waits there already and this adds none. Raises NotFound for no job of ours.
    """
    actor = access.check(actor, Action.STEER_JOBS)
    job = _job(name)
    with database.transaction() as connection:
        if SQL["asked_before"].first(connection, id=asked_id) is not None:
            return True
        added = queue.enqueue(
            connection,
            name,
            queue=job.queue,
            priority=queue.HOUSEKEEPING,
            once=f"job:{name}",
            slot=now.isoformat(),
        )
        if not added:
            return False
        who = {"by": actor.name, "by_id": actor.id}
        if not SQL["ask_for_run"].run(connection, id=asked_id, job=name, now=now, **who):
            # Pressed twice in the same moment: the other one's job is the one.
            connection.rollback()
            return True
        audit.record(connection, actor, "job.run", "job", name, after={"slot": now.isoformat()})
    return True


def pause(actor: Actor | None, name: str, pause_id: UUID, hours: float, reason: str, now: datetime) -> Pause:
    """Let no clock begin a job for so many hours; once an id however often pressed.

    Raises InvalidInput for what is no reason or duration, Conflict while another pause of it holds.
    """
    actor = access.check(actor, Action.STEER_JOBS)
    job = _job(name)
    lasting, why = policy.check_hours(hours), policy.check_reason(reason)
    with database.transaction() as connection:
        SQL["close_expired_pause"].run(connection, job=job.name, now=now)
        row = SQL["add_pause"].first(
            connection,
            id=pause_id,
            job=job.name,
            reason=why,
            by=actor.name,
            by_id=actor.id,
            now=now,
            until=now + lasting,
        )
        if row is None:
            known = SQL["pause"].first(connection, id=pause_id)
            if known is None:
                raise Conflict(f"“{job.title}” is paused already. End that pause first.")
            return to_pause(known)
        made = to_pause(row)
        audit.record(
            connection,
            actor,
            "job.pause",
            "job",
            job.name,
            after={"pause": str(pause_id), "until": made.until.isoformat()},
            reason=why,
        )
    return made


def resume(actor: Actor | None, pause_id: UUID, now: datetime) -> Pause:
    """End a pause before its time. Raises Conflict when it has ended already."""
    actor = access.check(actor, Action.STEER_JOBS)
    with database.transaction() as connection:
        row = SQL["end_pause"].first(connection, id=pause_id, now=now, by=actor.name, by_id=actor.id)
        if row is None:
            raise Conflict("This pause has ended already. Look again.")
        ended = to_pause(row)
        audit.record(
            connection,
            actor,
            "job.resume",
            "job",
            ended.job,
            before={"pause": str(pause_id), "until": ended.until.isoformat()},
        )
    return ended


def paused(now: datetime) -> dict[str, Pause]:
    """The pauses that hold, by job; for clocks."""
    with database.reading() as connection:
        return pauses(connection, now)


def took_over(
    task: str, queue_name: str, arguments: dict[str, object], now: datetime, *, begun_anew: bool
) -> None:
    """Record work that a dead worker had in hand; a run that nobody begins anew has ended with it."""
    slot = arguments.get("slot") if task in SCHEDULE else None
    subject = arguments.get("generation_id") or arguments.get("run_id")
    with database.transaction() as connection:
        SQL["add_takeover"].run(
            connection,
            now=now,
            task=task,
            queue=queue_name,
            subject=None if subject is None else str(subject),
            slot=slot,
            found_by=runs.here(),
            begun_anew=begun_anew,
        )
        if slot is not None and not begun_anew:
            told = "Its worker ended in the middle of it; the next run was waiting already."
            SQL["give_up_run"].run(connection, job=task, slot=slot, now=now, error=told)


def prune(now: datetime) -> int:
    """Forget old takeovers; how many."""
    with database.statement() as connection:
        return SQL["prune_takeovers"].run(connection, before=now - KEEP_TAKEOVERS)


def _job(name: str) -> Job:
    if name not in SCHEDULE:
        raise NotFound(f"There is no job {name[:40]!r}. The page Scheduler lists all of them.")
    return SCHEDULE[name]
