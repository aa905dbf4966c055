"""What pages and alerts show of the machinery."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from core import access, database
from core.access import Action, Actor
from core.errors import NotFound
from core.machinery import policy
from core.machinery.models import Facts, Health, Pause, Process, Queue, Run, Takeover
from core.machinery.repository import SQL, facts, pauses, processes, queues
from core.machinery.schedule import SCHEDULE, Job

PROCESSES_SINCE, TAKEOVERS_SINCE = timedelta(days=1), timedelta(days=7)
SHOWN_RUNS, SHOWN_TAKEOVERS = 20, 10
# Queues in the order of those who wait for them; those of the schedule and of work that is not scheduled.
QUEUES = ("deliveries", "polls", "follows", "trainings", "housekeeping", "messages", "plans", "long")


@dataclass(frozen=True)
class Standing:
    """A job, what the record says of it, and how it does."""

    job: Job
    facts: Facts
    pause: Pause | None
    health: Health
    lag: timedelta
    next_at: datetime | None


@dataclass(frozen=True)
class Board:
    """Everything of one moment; the jobs worst first."""

    jobs: tuple[Standing, ...]
    processes: tuple[Process, ...]
    queues: tuple[Queue, ...]
    takeovers: tuple[Takeover, ...]

    def alive(self, role: str) -> int:
        """How many play that role now."""
        return sum(process.alive and process.role == role for process in self.processes)


def board(actor: Actor | None, now: datetime) -> Board:
    """Every job, clock, worker and queue as they are now."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        found, holding = facts(connection, list(SCHEDULE), now), pauses(connection, now)
        there = processes(connection, now - PROCESSES_SINCE, now)
        waiting = queues(connection, QUEUES, there, now)
        taken = SQL["takeovers"].all(connection, since=now - TAKEOVERS_SINCE, limit=SHOWN_TAKEOVERS)
    standings = [_standing(job, found[name], holding.get(name), now) for name, job in SCHEDULE.items()]
    order = list(Health)
    return Board(
        tuple(sorted(standings, key=lambda one: order.index(one.health))),
        there,
        waiting,
        tuple(Takeover(**{name: row[name] for name in Takeover.__match_args__}) for row in taken),
    )


def standing(actor: Actor | None, name: str, now: datetime) -> Standing:
    """One job as it is now. Raises NotFound for no job of ours."""
    access.check(actor, Action.VIEW)
    if name not in SCHEDULE:
        raise NotFound(f"There is no job {name[:40]!r}.")
    with database.reading() as connection:
        found, holding = facts(connection, [name], now), pauses(connection, now)
    return _standing(SCHEDULE[name], found[name], holding.get(name), now)


def _standing(job: Job, found: Facts, pause: Pause | None, now: datetime) -> Standing:
    return Standing(
        job,
        found,
        pause,
        policy.health(job, found, pause, now),
        policy.lag(job, found, now),
        policy.next_at(job, found, pause, now),
    )


def recent(actor: Actor | None, name: str) -> tuple[Run, ...]:
    """The newest runs of a job, the newest first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["recent_runs"].all(connection, job=name, limit=SHOWN_RUNS)
    return tuple(Run(**{field: row[field] for field in Run.__match_args__}) for row in rows)


def all_facts(now: datetime) -> dict[str, Facts]:
    """What the record says of every job, by name."""
    with database.reading() as connection:
        return facts(connection, list(SCHEDULE), now)
