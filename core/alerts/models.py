"""An alert, and the facts from which one follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.budget.policy import Due
from core.budget.views import Credits, Unpriced


class Kind(StrEnum):
    """What is wrong."""

    LOST_RESULTS = "lost_results"
    RESCUE_CLOCK = "rescue_clock"
    STORAGE_REFUSING = "storage_refusing"
    DEAD_CLOCK = "dead_clock"
    DEAD_WORKER = "dead_worker"
    SUCCESS_RATE = "success_rate"
    VIDEO_SUCCESS = "video_success"
    STUCK = "stuck"
    UNEQUAL_TOTALS = "unequal_totals"
    WRONG_WEIGHTS = "wrong_weights"
    DEAR_LIBRARY = "dear_library"
    BUDGET_HALF = "budget_half"
    BUDGET_ALERT = "budget_alert"
    BUDGET_FULL = "budget_full"
    BUDGET_FORECAST = "budget_forecast"
    FAILURE_COST = "failure_cost"
    UNKNOWN_PRICE = "unknown_price"
    LOW_CREDITS = "low_credits"
    TRAINING_SUCCESS = "training_success"
    TRAININGS_SILENT = "trainings_silent"
    VERDICT_WAITING = "verdict_waiting"
    IMAGE_DOWNLOADS = "image_downloads"
    ORPHAN_PODS = "orphan_pods"
    STORAGE_GROWTH = "storage_growth"
    BROKEN_CHANNEL = "broken_channel"
    JOB_FAILING = "job_failing"
    JOB_LONG = "job_long"
    JOB_OVERLAPPING = "job_overlapping"


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True)
class Cause:
    """Something that is wrong now. `subject` tells causes of one kind apart, `count` is how many rows it is
    about, `evidence` what a person sees of it. One that is told `once` never opens a second alert of its
    subject."""

    kind: Kind
    severity: Severity
    subject: str = ""
    count: int = 1
    evidence: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False


@dataclass(frozen=True)
class Group:
    """Rows of one kind: how many, some of their ids, and the moment that matters about them.

    `subject` is what they have in common, in words; `at` the newest loss, or the next deletion. `since` (not
    included) and `until` are the moments between which they were counted, where they were.
    """

    count: int
    ids: tuple[UUID, ...] = ()
    at: datetime | None = None
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of all deliveries at one moment; `delivered` and `finished` of the newest of a day, the
    films among them apart, begun from `since` to `until`, both included."""

    lost: Group
    expiring: Group
    stuck: Group
    storage: tuple[Group, ...]
    delivered: int
    finished: int
    films_delivered: int = 0
    films_finished: int = 0
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Money:
    """What is known of a month's money: thresholds that were reached, how many runs failed and what they cost
    of all that are over, models without a price, each with the newest month that has lines of it, and KIE's
    balance."""

    dues: tuple[Due, ...]
    failures: int
    failures_usd: Decimal
    ended_usd: Decimal
    month: date
    unpriced: tuple[Unpriced, ...] = ()
    credits: Credits | None = None


@dataclass(frozen=True)
class Orphan:
    """A pod that belonged to no run; `ended_at` None: it still runs, and costs money."""

    pod_id: str
    usd_per_hour: Decimal | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Training:
    """What is known of trainings: those launched from `since` on that ended, silent ones now, images fetched,
    pods of nobody, and those whose test images wait for a verdict."""

    completed: int
    failed: int
    silent: Group
    images_came: int
    images_lost: int
    orphans: tuple[Orphan, ...] = ()
    since: datetime | None = None
    unjudged: Group = Group(0)


@dataclass(frozen=True)
class LibraryFacts:
    """What is known of the library of LoRAs: wrong weights, of them `missing` ones, and the first one's name;
    what all of it and what of it is idle costs a month, in USD."""

    wrong: Group
    missing: int
    name: str
    monthly_usd: Decimal
    idle_loras: int
    idle_usd: Decimal


@dataclass(frozen=True)
class Alert:
    """One row of `alerts`; times are aware."""

    id: UUID
    kind: Kind
    subject: str
    severity: Severity
    count: int
    evidence: Mapping[str, Any]
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledged_by_id: str | None
    note: str | None
    resolved_at: datetime | None
    notified_at: datetime | None
    message_key: str | None
    once: bool

    @property
    def ids(self) -> tuple[str, ...]:
        """The generations that it names."""
        return tuple(str(one) for one in self.evidence.get("ids", ()))
