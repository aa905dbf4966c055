"""What each scheduled job runs; core/machinery/schedule.py says when."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.machinery import schedule
from jobs import (
    adopt,
    adopt_trainings,
    alerts,
    balances,
    clean_trainings,
    draw_training_images,
    failure_groups,
    fold_costs,
    follow_trainings,
    heal,
    library,
    notify,
    pod_bills,
    poll,
    prove_totals,
    prove_weights,
    prune,
    publish_samples,
    rollups,
    storage_usage,
    sweep,
    sweep_trainings,
    training_counts,
)


@dataclass(frozen=True)
class Scheduled:
    """A job that runs every `every`, in its queue's places; `run` answers how many things it handled."""

    name: str
    every: timedelta
    run: Callable[[], int]
    queue: str = "housekeeping"


_RUNS: dict[str, Callable[[], int]] = {
    "adopt": adopt.run,
    "adopt_trainings": adopt_trainings.run,
    "alerts": alerts.run,
    "balances": balances.run,
    "clean_trainings": clean_trainings.run,
    "draw_training_images": draw_training_images.run,
    "failure_groups": failure_groups.run,
    "fold_costs": fold_costs.run,
    "follow_trainings": follow_trainings.run,
    "heal": heal.run,
    "library": library.run,
    "notify": notify.run,
    "pod_bills": pod_bills.run,
    "poll": poll.run,
    "prove_totals": prove_totals.run,
    "prove_weights": prove_weights.run,
    "prune": prune.run,
    "publish_samples": publish_samples.run,
    "rollups": rollups.run,
    "storage_usage": storage_usage.run,
    "sweep": sweep.run,
    "sweep_trainings": sweep_trainings.run,
    "training_counts": training_counts.run,
}
JOBS: dict[str, Scheduled] = {
    name: Scheduled(name, job.every, _RUNS[name], job.queue) for name, job in schedule.SCHEDULE.items()
}


def slot_of(job: Scheduled, now: datetime) -> datetime:
    """The start of the slot that `now` lies in, the same for every clock."""
    return schedule.slot_of(job.every, now)
