"""Scheduled jobs' slots and processes' heartbeats: what ran, when, and who is alive."""

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from core import database, queries, version

_SQL = queries.load("work")

# A process that has been silent for so long counts as dead; it beats every BEAT_EVERY.
BEAT_EVERY = timedelta(seconds=10)
DEAD_AFTER = timedelta(seconds=60)
ROLES = ("clock", "worker")


@dataclass(frozen=True)
class Process:
    """A clock or worker that has been heard of; times are aware."""

    role: str
    host: str
    pid: int
    version: str
    started_at: datetime
    beat_at: datetime


@dataclass(frozen=True)
class Liveness:
    """Whether a clock and a worker are alive, and when each was last heard of (None: never)."""

    processes: tuple[Process, ...]
    last_beat: dict[str, datetime | None]

    @property
    def missing(self) -> tuple[str, ...]:
        """The roles that nobody plays at the moment."""
        alive = {process.role for process in self.processes}
        return tuple(role for role in ROLES if role not in alive)


def claim_slot(connection: Connection, job: str, slot: datetime, now: datetime) -> bool:
    """Claim one slot of a job, so that several clocks fire it once.

    False when it was claimed before, and while the job is paused.
    """
    return _SQL["claim_slot"].first(connection, job=job, slot=slot, now=now) is not None


def start(job: str, slot: datetime, now: datetime) -> None:
    """Record that a worker has begun the slot's run."""
    with database.transaction() as connection:
        _SQL["start_run"].run(connection, job=job, slot=slot, now=now, worker=here())


def finish(job: str, slot: datetime, now: datetime, *, items: int | None, error: str | None) -> None:
    """Record how the slot's run ended; `items` is how many things it handled."""
    with database.transaction() as connection:
        _SQL["finish_run"].run(
            connection,
            job=job,
            slot=slot,
            now=now,
            items=items,
            error=error,
            state="failed" if error else "succeeded",
        )


def here() -> str:
    """This process, as people look for it: host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def beat(
    process_id: uuid.UUID, role: str, now: datetime, per_minute: Mapping[str, float] | None = None
) -> None:
    """Record that this process is alive, and how many jobs of each queue it does in a minute."""
    with database.transaction() as connection:
        _SQL["beat"].run(
            connection,
            id=process_id,
            role=role,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version.VERSION,
            now=now,
            detail=json.dumps({"per_minute": per_minute} if per_minute else {}),
        )


def end(process_id: uuid.UUID) -> None:
    """Record that this process ends in order, with nothing in its hands."""
    with database.statement() as connection:
        _SQL["end_process"].run(connection, id=process_id)


def liveness(now: datetime) -> Liveness:
    """Who is alive now."""
    with database.reading() as connection:
        rows = _SQL["processes"].all(connection, since=now - DEAD_AFTER)
        last = {row["role"]: row["beat_at"] for row in _SQL["last_beats"].all(connection)}
    processes = tuple(Process(**{key: row[key] for key in Process.__match_args__}) for row in rows)
    return Liveness(processes, {role: last.get(role) for role in ROLES})


def queue_depth() -> Sequence[dict[str, object]]:
    """Jobs waiting and running, a mapping a queue."""
    with database.reading() as connection:
        return [dict(row) for row in _SQL["queue_depth"].all(connection)]


def known_jobs() -> list[str]:
    """The scheduled jobs that have ever been due here, by name."""
    with database.reading() as connection:
        return [row["job"] for row in _SQL["known_jobs"].all(connection)]


def last_runs(jobs: Sequence[str]) -> Sequence[dict[str, object]]:
    """For each job its newest slot, last success and last failure; a mapping a job, None for never."""
    with database.reading() as connection:
        return [dict(row) for row in _SQL["last_runs"].all(connection, jobs=list(jobs))]


def prune(now: datetime) -> int:
    """Forget slots older than two days, processes silent for a day, and finished jobs; how many rows went."""
    with database.transaction() as connection:
        newest = _SQL["newest_job"].one(connection)["id"]
        return (
            _SQL["prune_runs"].run(connection, before=now - timedelta(days=2))
            + _SQL["prune_beats"].run(connection, before=now - timedelta(days=1))
            + _SQL["prune_jobs"].run(connection, keep_from=newest - 20_000)
        )
