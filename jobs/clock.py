"""The clock: APScheduler ticks, and each tick puts its job on the queue, once a slot for all clocks."""

import signal
import threading
import uuid
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from core import database, log
from core.alerts import lookout
from core.work import queue, runs
from core.work.tally import Tally
from jobs.schedule import JOBS, Scheduled, slot_of

_log = log.get(__name__)


def tick(job: Scheduled, now: datetime) -> bool:
    """Put `job` on the queue for the slot of `now`.

    False when it waits there, the slot was fired, or the job is paused.
    """
    slot = slot_of(job, now)
    with database.transaction() as connection:
        added = queue.enqueue(
            connection,
            job.name,
            queue=job.queue,
            priority=queue.HOUSEKEEPING,
            once=f"job:{job.name}",
            slot=slot.isoformat(),
        )
        if added and not runs.claim_slot(connection, job.name, slot, now):
            connection.rollback()
            return False
    return added


def _safe_tick(job: Scheduled) -> None:
    try:
        tick(job, datetime.now(UTC))
    except SQLAlchemyError:
        _log.exception("clock.tick_failed", job=job.name)


def run() -> None:
    """Tick until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    tick_until(stop)


def tick_until(stop: threading.Event) -> None:
    """Tick and beat until `stop` is set."""
    scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(4)})
    for job in JOBS.values():
        # By the slots, not by the clock's own start: once an hour is on the hour, once a day at midnight.
        begins = slot_of(job, datetime.now(UTC))
        trigger = IntervalTrigger(seconds=int(job.every.total_seconds()), start_date=begins)
        scheduler.add_job(_safe_tick, trigger, [job], id=job.name, coalesce=True, max_instances=1)
        _safe_tick(job)
    heart, since = uuid.uuid4(), datetime.now(UTC)
    scheduler.start()
    _log.info("clock.started", jobs=len(JOBS))
    while True:
        beat(heart, "clock", since)
        if stop.wait(runs.BEAT_EVERY.total_seconds()):
            break
    scheduler.shutdown(wait=False)
    end(heart)
    _log.info("clock.stopped")


def end(process_id: uuid.UUID) -> None:
    """Record that this process ends in order; without a database it is taken for one that fell silent."""
    try:
        runs.end(process_id)
    except SQLAlchemyError as error:
        _log.warning("process.end_not_recorded", error=type(error).__name__)


def beat(process_id: uuid.UUID, role: str, since: datetime, tally: Tally | None = None) -> None:
    """Record that this process, up since `since`, is alive, who else is not, and which jobs do badly.

    A database that is away is logged and tried again.
    """
    now = datetime.now(UTC)
    try:
        runs.beat(process_id, role, now, tally.per_minute(now) if tally else None)
        lookout.look(since, now)
    except SQLAlchemyError:
        _log.exception("process.beat_failed", role=role)
