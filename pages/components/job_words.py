"""Scheduled jobs, processes and queues in the words of those who run them."""

from datetime import timedelta

from core.machinery import policy
from core.machinery.models import Health
from core.machinery.schedule import SCHEDULE
from core.machinery.views import Standing
from pages.components import formats
from pages.components.states import Look

LOOKS: dict[Health, Look] = {
    Health.FAILING: Look("Failing", "error", "bad", "At least its last three runs have failed."),
    Health.LONG: Look("Too long", "hourglass_bottom", "bad", "A run of it goes on for longer than it may."),
    Health.OVERLAPPING: Look(
        "Overlapping", "layers", "attention", "A run began before the one before had ended, and both go on."
    ),
    Health.FAILED: Look("Failed", "cancel", "attention", "Its last run failed; the next one may succeed."),
    Health.LATE: Look("Late", "schedule", "attention", "It should have begun by now."),
    Health.PAUSED: Look("Paused", "pause_circle", "waiting", "Somebody paused it; it goes on by itself."),
    Health.NEVER: Look("Not yet", "hourglass_empty", "waiting", "It has not been due here yet."),
    Health.WELL: Look("Well", "check_circle", "good", "Its last run succeeded, and it is on time."),
}
ALIVE = Look("Alive", "check_circle", "good", "It was heard of within the last minute.")
ENDED = Look("Ended", "stop_circle", "waiting", "It was stopped, and has finished what it had in hand.")
SILENT = Look("Silent", "heart_broken", "bad", "It has not been heard of for more than a minute.")
QUEUES: dict[str, str] = {
    "deliveries": "Deliveries",
    "polls": "Questions to providers",
    "follows": "Looks at trainings",
    "trainings": "Steps of trainings",
    "housekeeping": "Housekeeping",
    "messages": "Messages",
    "plans": "Bulk resyncs",
    "long": "What takes minutes",
}
TASKS = {
    "deliver": "A delivery",
    "train": "A step of a training",
    "rehearse": "A step of a rehearsal",
    "run_plan": "A bulk resync",
}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def every(step: timedelta) -> str:
    """`every second`, `every 5 seconds`, `every hour, on the hour`, `every day at midnight (UTC)`."""
    seconds = int(step.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    number = seconds // size
    said = f"every {unit}" if number == 1 else f"every {number} {unit}s"
    aside = {"hour": ", on the hour", "day": " at midnight (UTC)"}.get(unit, "") if number == 1 else ""
    return said + aside


def lag(one: Standing) -> str:
    """How far behind its schedule it is; a moment in the queue is none."""
    if one.facts.slot is None or one.health is Health.PAUSED:
        return formats.NO_DATA
    seconds = one.lag.total_seconds()
    return "on time" if seconds < 5 else f"{formats.duration(seconds)} late"


def trend(took_s: tuple[float, ...]) -> str:
    """How its newer runs compare with the older ones, in a sign and a few words."""
    times = policy.slower(took_s)
    if times is None:
        return "too few runs to compare"
    if 1 / 1.5 < times < 1.5:
        return "→ as before"
    return f"↗ {times:.1f} times as long as before" if times > 1 else f"↘ {1 / times:.1f} times as quick"


def task(name: str) -> str:
    """What a piece of work is called."""
    return SCHEDULE[name].title if name in SCHEDULE else TASKS.get(name, name)


def queue(name: str) -> str:
    """What a queue is called."""
    return QUEUES.get(name, name)
