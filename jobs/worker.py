"""The worker: the only procrastinate app. As many on as many machines as wanted."""

import asyncio
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import stamina
from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status

from core import database, log, settings
from core.work import runs
from jobs import clock, deliver
from jobs.schedule import JOBS, Scheduled

CONCURRENCY = 8
# A worker that has been silent for this long is dead and its jobs are begun anew.
STALLED_AFTER_S = 30

_log = log.get(__name__)


def make_app(database_url: str) -> App:
    """The procrastinate app over `database_url`, with every task that the product has."""
    app = App(
        connector=PsycopgConnector(
            conninfo=database_url.replace("postgresql+psycopg://", "postgresql://"),
            min_size=2,
            max_size=CONCURRENCY + 2,
            # Each of procrastinate's statements is a transaction of its own: one round trip, not three.
            kwargs={"application_name": "studio-ops worker", "autocommit": True},
        )
    )
    retry = RetryStrategy(max_attempts=5, exponential_wait=2)
    app.task(name="deliver", queue="deliveries", retry=retry)(_delivering)
    for job in JOBS.values():
        app.task(name=job.name, queue="housekeeping")(_scheduled(job))
    return app


def _delivering(generation_id: str) -> None:
    log.new_request_id()
    deliver.run(generation_id)


def _scheduled(job: Scheduled) -> Callable[[str], None]:
    def run(slot: str) -> None:
        log.new_request_id()
        run_slot(job, datetime.fromisoformat(slot))

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
        try:
            await app.job_manager.retry_job(job)
            rescued += 1
        except ConnectorException:
            await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
        _log.warning("worker.rescued", task=job.task_name, job_id=job.id)
    return rescued


async def _work(app: App) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=CONCURRENCY + 2, thread_name_prefix="job"))
    async with app.open_async():
        rescuing = asyncio.create_task(_rescue_forever(app))
        try:
            await app.run_worker_async(
                concurrency=CONCURRENCY,
                fetch_job_polling_interval=2.0,
                stalled_worker_timeout=STALLED_AFTER_S,
                shutdown_graceful_timeout=20.0,
                delete_jobs="successful",
            )
        finally:
            rescuing.cancel()


async def _rescue_forever(app: App) -> None:
    """Looks for jobs of dead workers; not itself a job, so that a full queue never delays it."""
    while True:
        await asyncio.sleep(STALLED_AFTER_S / 3)
        try:
            await rescue(app)
        except ConnectorException:
            _log.exception("worker.rescue_failed")


def run() -> None:
    """Work until SIGTERM or SIGINT; the jobs in hand are finished first, for at most 20 seconds."""
    url = settings.current().require("DATABASE_URL")
    heart, stop = uuid.uuid4(), threading.Event()
    threading.Thread(target=_beat_until, args=(heart, stop), name="heartbeat", daemon=True).start()
    _log.info("worker.started", concurrency=CONCURRENCY)
    for attempt in stamina.retry_context(
        on=(psycopg.OperationalError, ConnectorException), attempts=10, timeout=120
    ):
        with attempt:
            asyncio.run(_work(make_app(url)))
    stop.set()
    database.close()
    _log.info("worker.stopped")


def _beat_until(process_id: uuid.UUID, stop: threading.Event) -> None:
    while True:
        clock.beat(process_id, "worker")
        if stop.wait(runs.BEAT_EVERY.total_seconds()):
            return
