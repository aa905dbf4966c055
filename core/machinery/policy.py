"""How a job does, and whether it may be paused: pure decisions over facts and the time."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from statistics import median

from core import said
from core.errors import InvalidInput
from core.machinery.models import Facts, Health, Pause
from core.machinery.schedule import Job

# So many failures in a row are no chance.
FAILURES = 3
# Two runs at once for a moment are a slow second; for longer the job takes more time than it has.
OVERLAP = timedelta(seconds=30)
MAX_REASON = 500
PAUSE_LEAST, PAUSE_MOST = timedelta(minutes=1), timedelta(days=7)


def health(job: Job, facts: Facts, pause: Pause | None, now: datetime) -> Health:
    """How the job does, the worst that is true of it."""
    if facts.failures >= FAILURES:
        return Health.FAILING
    if runs_long(job, facts, now):
        return Health.LONG
    if overlaps(facts, now):
        return Health.OVERLAPPING
    if facts.failures:
        return Health.FAILED
    if pause is not None and pause.holds(now):
        return Health.PAUSED
    if facts.slot is None:
        return Health.NEVER
    if lag(job, facts, now) > late_after(job):
        return Health.LATE
    return Health.WELL


def runs_long(job: Job, facts: Facts, now: datetime) -> bool:
    """Whether a run of it goes on for longer than it may."""
    return facts.running_since is not None and now - facts.running_since > job.longest


def overlaps(facts: Facts, now: datetime) -> bool:
    """Whether runs of it have gone on side by side for a while."""
    return facts.running > 1 and facts.overlap_since is not None and now - facts.overlap_since > OVERLAP


def late_after(job: Job) -> timedelta:
    """How late a job may be before it is called late."""
    return max(timedelta(seconds=30), min(job.every, timedelta(minutes=10)))


def lag(job: Job, facts: Facts, now: datetime) -> timedelta:
    """How far it is behind its schedule: waiting in its queue, or not put there by a clock when it was due.

    Nothing waits and nothing is due: how long the newest run waited before it began.
    """
    if facts.slot is None or facts.enqueued_at is None:
        return timedelta()
    if facts.state == "enqueued":
        return max(now - facts.enqueued_at, timedelta())
    overdue = now - (facts.slot + job.every)
    began_late = (facts.started_at or facts.enqueued_at) - facts.enqueued_at
    return max(overdue, began_late, timedelta())


def next_at(job: Job, facts: Facts, pause: Pause | None, now: datetime) -> datetime | None:
    """When a clock begins it next; None while nobody can say, for it has never run."""
    if pause is not None and pause.holds(now):
        return pause.until
    return None if facts.slot is None else facts.slot + job.every


def slower(took_s: tuple[float, ...]) -> float | None:
    """How many times as long the newer half of the runs took as the older half; None for too few."""
    if len(took_s) < 8:
        return None
    half = len(took_s) // 2
    before, after = median(took_s[:half]), median(took_s[half:])
    return after / before if before > 0 else None


def check_reason(text: str) -> str:
    """The reason as it is kept. InvalidInput when there is none, or a novel."""
    kept = said.text("reason", text, MAX_REASON) or ""
    if len(kept) < 3:
        raise InvalidInput("reason", "Say why; it stands in the audit log and on the page.")
    return kept


def check_hours(hours: float) -> timedelta:
    """How long a pause lasts. InvalidInput for none at all, and for more than a week."""
    if not hours * 60 >= 1:  # NaN is no number of hours either
        raise InvalidInput("hours", "A pause lasts at least a minute. Say for how many hours.")
    if hours > PAUSE_MOST / timedelta(hours=1):
        raise InvalidInput("hours", "A pause lasts at most 7 days (168 hours), so that it is not forgotten.")
    return timedelta(hours=hours)


def per_minute(found: Mapping[str, object]) -> dict[str, float]:
    """What a heartbeat tells of a process's pace, by queue; what is no number is left out."""
    return {queue: float(pace) for queue, pace in found.items() if isinstance(pace, int | float)}
