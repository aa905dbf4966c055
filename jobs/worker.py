"""The worker: the only procrastinate app. As many on as many machines as wanted."""

import asyncio
import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from sqlalchemy.exc import SQLAlchemyError

from core import database, log, settings
from core.machinery import service as machinery
from core.plans import service as plans
from core.work import runs
from core.work.tally import Tally
from jobs import clock, deliver, rehearse, run_plan, train
from jobs.schedule import JOBS, Scheduled

# How many jobs of each queue run at once. Deliveries mostly wait for the network; polls, looks at trainings
# and housekeeping have places of their own, so that slow files never hold up the polls, nor a slow provider
# the rest; a step of a training moves files of up to two gigabytes; a plan of a bulk resync has hands of its
# own for its items; what takes minutes has one.
PLACES = {
    "deliveries": 16, "polls": 3, "follows": 2, "housekeeping": 2, "trainings": 4, "messages": 1,
    "plans": 2, "long": 1,
}  # fmt: skip
# A worker that has been silent for this long is dead and its jobs are begun anew.
STALLED_AFTER_S = 30
# How long the jobs in hand may go on after SIGTERM, and the pause before work begins again when the
# database was lost. Seconds.
GRACE_S = 20.0
RESTART_PAUSE_S = 1.0

_log = log.get(__name__)
_tally = Tally()


def make_app(database_url: str) -> App:
    """The procrastinate app over `database_url`, with every task that the product has."""
    app = App(
        connector=PsycopgConnector(
            conninfo=database_url.replace("postgresql+psycopg://", "postgresql://"),
            min_size=2,
            max_size=8,
            kwargs={"application_name": "studio-ops worker"},
            configure=_autocommit,
        )
    )
    retry = RetryStrategy(max_attempts=5, exponential_wait=2)
    app.task(name="deliver", queue="deliveries", retry=retry)(_delivering)
    app.task(name="train", queue="trainings", retry=retry)(_training)
    app.task(name="run_plan", queue=plans.QUEUE, retry=retry)(_planning)
    app.task(name="rehearse", queue="housekeeping", retry=retry)(_rehearsing)
    for job in JOBS.values():
        app.task(name=job.name, queue=job.queue)(_scheduled(job))
    return app


async def _autocommit(connection: psycopg.AsyncConnection) -> None:
    """Each of procrastinate's statements is a transaction of its own: one round trip in place of three."""
    await connection.set_autocommit(True)


async def _delivering(generation_id: str) -> None:
    await asyncio.to_thread(_in_request, "deliveries", deliver.run, generation_id)


async def _training(run_id: str) -> None:
    await asyncio.to_thread(_in_request, "trainings", train.run, run_id)


async def _planning(plan_id: str) -> None:
    await asyncio.to_thread(_in_request, plans.QUEUE, run_plan.run, plan_id)


async def _rehearsing() -> None:
    await asyncio.to_thread(_in_request, "housekeeping", rehearse.run)


def _in_request(queue: str, work: Callable[..., object], *arguments: object) -> None:
    log.new_request_id()
    try:
        work(*arguments)
    finally:
        _tally.count(queue)


def _scheduled(job: Scheduled) -> Callable[[str], Coroutine[None, None, None]]:
    async def run(slot: str) -> None:
        await asyncio.to_thread(_in_request, job.queue, run_slot, job, datetime.fromisoformat(slot))

    return run


def run_slot(job: Scheduled, slot: datetime) -> int:
    """Run a scheduled job for one slot, and record how it went; its error is recorded and raised."""
    runs.start(job.name, slot, datetime.now(UTC))
    try:
        items = job.run()
    except Exception as error:
        words = log.redact(f"{type(error).__name__}: {error}")[:2000]
        runs.finish(job.name, slot, datetime.now(UTC), items=None, error=words)
        raise
    runs.finish(job.name, slot, datetime.now(UTC), items=items, error=None)
    return items


async def rescue(app: App) -> int:
    """Begin the jobs of dead workers anew; how many.

    A job whose twin waits already is ended instead: its queueing lock admits one.
    """
    rescued = 0
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_S):
        begun_anew = True
        try:
            await app.job_manager.retry_job(job)
            rescued += 1
        except ConnectorException:
            begun_anew = False
            await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
        _log.warning("worker.rescued", task=job.task_name, job_id=job.id, begun_anew=begun_anew)
        await asyncio.to_thread(_note_takeover, job, begun_anew=begun_anew)
    return rescued


def _note_takeover(job: Job, *, begun_anew: bool) -> None:
    """For the page alone: the work goes on although it could not be written down."""
    try:
        machinery.took_over(
            job.task_name, job.queue, dict(job.task_kwargs), datetime.now(UTC), begun_anew=begun_anew
        )
    except SQLAlchemyError:
        _log.exception("worker.takeover_not_recorded", task=job.task_name)


async def _work(url: str, stop: asyncio.Event) -> None:
    """Work until `stop` is set or the database is lost; the jobs in hand are finished first."""
    app = make_app(url)
    async with app.open_async():
        stopping = asyncio.create_task(stop.wait())
        parts = [asyncio.create_task(_serve(app, queue, places)) for queue, places in PLACES.items()]
        parts.append(asyncio.create_task(_rescue_forever(app)))
        await asyncio.wait([stopping, *parts], return_when=asyncio.FIRST_COMPLETED)
        for part in [stopping, *parts]:
            part.cancel()
        for ended in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _serve(app: App, queue: str, places: int) -> None:
    await app.run_worker_async(
        queues=[queue],
        name=queue,
        concurrency=places,
        fetch_job_polling_interval=2.0,
        stalled_worker_timeout=STALLED_AFTER_S,
        shutdown_graceful_timeout=GRACE_S,
        delete_jobs="successful",
        install_signal_handlers=False,
    )


async def _rescue_forever(app: App) -> None:
    """Looks for jobs of dead workers; not itself a job, so that a full queue never delays it."""
    while True:
        await asyncio.sleep(STALLED_AFTER_S / 3)
        try:
            await rescue(app)
        except ConnectorException:
            _log.exception("worker.rescue_failed")


async def _work_until_stopped(url: str) -> None:
    """Work until SIGTERM or SIGINT; a database that goes away and comes back only interrupts it."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(ThreadPoolExecutor(sum(PLACES.values()), thread_name_prefix="job"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_in_any_case, stop)
    while not stop.is_set():
        try:
            await _work(url, stop)
        except (psycopg.OperationalError, ConnectorException) as error:
            _log.warning("worker.interrupted", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RESTART_PAUSE_S)


def _stop_in_any_case(stop: asyncio.Event) -> None:
    """Ask for the end, and end the process when a job, a thread that nobody can stop, takes too long."""
    stop.set()
    timer = threading.Timer(GRACE_S + 2, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    _log.warning("worker.left_jobs_behind")
    os._exit(0)


def run() -> None:
    """Work until SIGTERM or SIGINT; the jobs in hand are finished first, for at most about 20 seconds.

    What takes longer is left to the next worker, as after a crash.
    """
    url = settings.current().require("DATABASE_URL")
    heart, stop = uuid.uuid4(), threading.Event()
    threading.Thread(target=_beat_until, args=(heart, stop), name="heartbeat", daemon=True).start()
    _log.info("worker.started", places=PLACES)
    asyncio.run(_work_until_stopped(url))
    stop.set()
    clock.end(heart)
    database.close()
    _log.info("worker.stopped")


def _beat_until(process_id: uuid.UUID, stop: threading.Event) -> None:
    since = datetime.now(UTC)
    while True:
        clock.beat(process_id, "worker", since, _tally)
        if stop.wait(runs.BEAT_EVERY.total_seconds()):
            return
