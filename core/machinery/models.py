"""What is known of a scheduled job, of processes and of queues; times are aware."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Health(StrEnum):
    """How a job does, the worst first."""

    FAILING = "failing"
    LONG = "long"
    OVERLAPPING = "overlapping"
    FAILED = "failed"
    LATE = "late"
    PAUSED = "paused"
    NEVER = "never"
    WELL = "well"


@dataclass(frozen=True)
class Pause:
    """No clock begins the job before `until`, unless somebody ends it sooner."""

    id: UUID
    job: str
    reason: str
    paused_by: str
    paused_by_id: str | None
    paused_at: datetime
    until: datetime
    ended_at: datetime | None
    ended_by: str | None
    ended_by_id: str | None

    def holds(self, now: datetime) -> bool:
        """Whether it holds at `now`."""
        return self.ended_at is None and now < self.until


@dataclass(frozen=True)
class Facts:
    """What the record says of one job: its newest slot of a clock, its last ends, what runs of it now.

    `failures` counts those since the last success. Only runs in the hands of a living worker run.
    """

    job: str
    slot: datetime | None = None
    enqueued_at: datetime | None = None
    started_at: datetime | None = None
    state: str | None = None
    succeeded_at: datetime | None = None
    items: int | None = None
    failed_at: datetime | None = None
    error: str | None = None
    failures: int = 0
    running: int = 0
    running_since: datetime | None = None
    overlap_since: datetime | None = None
    worker: str | None = None
    took_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Run:
    """One run of a job; `asked_by` is who asked for it, None for a clock's."""

    slot: datetime
    state: str
    enqueued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    items: int | None
    error: str | None
    worker: str | None
    asked_by: str | None
    asked_by_id: str | None


@dataclass(frozen=True)
class Process:
    """A clock or worker of the last day; one that has `ended` was stopped in order.

    `per_minute`: how many jobs of each queue it ends in a minute.
    """

    role: str
    host: str
    pid: int
    version: str
    started_at: datetime
    beat_at: datetime
    alive: bool
    ended: bool
    per_minute: Mapping[str, float]


@dataclass(frozen=True)
class Queue:
    """What waits and what is at work; `oldest_at` is since when the first one could have begun."""

    name: str
    waiting: int
    running: int
    oldest_at: datetime | None
    per_minute: float


@dataclass(frozen=True)
class Takeover:
    """Work that a dead worker had in hand; `begun_anew` is false where its twin waited already."""

    at: datetime
    task: str
    queue: str
    subject: str | None
    lost_by: str | None
    found_by: str
    begun_anew: bool
