"""Rows of the machinery's tables as dataclasses."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping

from core import queries
from core.machinery.models import Facts, Pause, Process, Queue
from core.machinery.policy import per_minute
from core.work import runs

SQL = queries.load("machinery")
# On how many of a job's runs its trend is told.
TREND = 30


def facts(connection: Connection, jobs: Sequence[str], now: datetime) -> dict[str, Facts]:
    """What the record says of these jobs, by name."""
    rows = SQL["standings"].all(connection, jobs=list(jobs), alive_since=now - runs.DEAD_AFTER, trend=TREND)
    return {row["job"]: _facts(row) for row in rows}


def _facts(row: RowMapping) -> Facts:
    values = {name: row[name] for name in Facts.__match_args__}
    return Facts(**{**values, "took_s": tuple(row["took_s"])})


def pauses(connection: Connection, now: datetime) -> dict[str, Pause]:
    """The pauses that hold, by job."""
    return {row["job"]: to_pause(row) for row in SQL["pauses"].all(connection, now=now)}


def to_pause(row: RowMapping) -> Pause:
    """A row of `job_pauses`."""
    return Pause(**{name: row[name] for name in Pause.__match_args__})


def processes(connection: Connection, since: datetime, now: datetime) -> tuple[Process, ...]:
    """Every clock and worker since then, the living first."""
    rows = SQL["processes"].all(connection, since=since, alive_since=now - runs.DEAD_AFTER)
    return tuple(_process(row) for row in rows)


def _process(row: RowMapping) -> Process:
    told = row["detail"].get("per_minute") if isinstance(row["detail"], dict) else None
    pace = per_minute(told) if isinstance(told, dict) else {}
    values = {name: row[name] for name in Process.__match_args__ if name != "per_minute"}
    return Process(**values, per_minute=pace)


def queues(
    connection: Connection, names: Sequence[str], processes_alive: Sequence[Process], now: datetime
) -> tuple[Queue, ...]:
    """Every queue of these names and whatever else has work, in that order."""
    rows = {row["name"]: row for row in SQL["queues"].all(connection, now=now)}
    found = []
    for name in [*names, *sorted(set(rows) - set(names))]:
        row = rows.get(name)
        pace = sum(process.per_minute.get(name, 0.0) for process in processes_alive if process.alive)
        found.append(
            Queue(
                name,
                waiting=row["waiting"] if row else 0,
                running=row["running"] if row else 0,
                oldest_at=row["oldest_at"] if row else None,
                per_minute=pace,
            )
        )
    return tuple(found)
