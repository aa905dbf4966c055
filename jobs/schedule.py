"""Every scheduled job, a line each: what runs, and how often."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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


JOBS: dict[str, Scheduled] = {
    job.name: job
    for job in (
        Scheduled("poll", timedelta(seconds=1), poll.run, queue="polls"),
        Scheduled("sweep", timedelta(seconds=5), sweep.run),
        Scheduled("follow_trainings", timedelta(seconds=5), follow_trainings.run, queue="follows"),
        # Files come with it: it must not stand in the way of the polls.
        Scheduled("draw_training_images", timedelta(seconds=5), draw_training_images.run, queue="trainings"),
        Scheduled("rollups", timedelta(seconds=10), rollups.run),
        Scheduled("failure_groups", timedelta(seconds=15), failure_groups.run),
        Scheduled("alerts", timedelta(seconds=10), alerts.run),
        Scheduled("fold_costs", timedelta(seconds=5), fold_costs.run),
        # Others' servers may be slow to take a message: it has a place of its own.
        Scheduled("notify", timedelta(seconds=5), notify.run, queue="messages"),
        Scheduled("heal", timedelta(minutes=1), heal.run),
        Scheduled("training_counts", timedelta(minutes=1), training_counts.run),
        Scheduled("balances", timedelta(minutes=10), balances.run),
        Scheduled("sweep_trainings", timedelta(minutes=5), sweep_trainings.run),
        Scheduled("adopt", timedelta(hours=1), adopt.run),
        # These take up to minutes: they must not stand in the way of the short ones.
        Scheduled("adopt_trainings", timedelta(minutes=1), adopt_trainings.run, queue="long"),
        Scheduled("publish_samples", timedelta(minutes=1), publish_samples.run, queue="long"),
        Scheduled("clean_trainings", timedelta(hours=1), clean_trainings.run, queue="long"),
        # At midnight (UTC), and at the start of a clock that has slept through it.
        Scheduled("prove_totals", timedelta(days=1), prove_totals.run, queue="long"),
        Scheduled("pod_bills", timedelta(hours=1), pod_bills.run, queue="long"),
        Scheduled("prune", timedelta(hours=1), prune.run, queue="long"),
        Scheduled("storage_usage", timedelta(hours=1), storage_usage.run, queue="long"),
        Scheduled("library", timedelta(hours=1), library.run, queue="long"),
        Scheduled("prove_weights", timedelta(minutes=5), prove_weights.run, queue="long"),
    )
}


def slot_of(job: Scheduled, now: datetime) -> datetime:
    """The start of the slot that `now` lies in, the same for every clock."""
    every = job.every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // every * every, UTC)
