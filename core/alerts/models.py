"""An alert, and the facts from which one follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


class Kind(StrEnum):
    """What is wrong."""

    LOST_RESULTS = "lost_results"
    RESCUE_CLOCK = "rescue_clock"
    STORAGE_REFUSING = "storage_refusing"
    DEAD_CLOCK = "dead_clock"
    DEAD_WORKER = "dead_worker"
    SUCCESS_RATE = "success_rate"
    STUCK = "stuck"
    UNEQUAL_TOTALS = "unequal_totals"
    WRONG_WEIGHTS = "wrong_weights"
    DEAR_LIBRARY = "dear_library"


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True)
class Cause:
    """Something that is wrong now. `subject` tells causes of one kind apart, `count` is how many rows it is
    about, `evidence` what a person sees of it."""

    kind: Kind
    severity: Severity
    subject: str = ""
    count: int = 1
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Rows of one kind: how many, some of their ids, and the moment that matters about them.

    `subject` is what they have in common, in words; `at` the newest loss, or the next deletion.
    """

    count: int
    ids: tuple[UUID, ...] = ()
    at: datetime | None = None
    subject: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of all deliveries at one moment; `delivered` and `finished` of the newest of a day."""

    lost: Group
    expiring: Group
    stuck: Group
    storage: tuple[Group, ...]
    delivered: int
    finished: int


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
    note: str | None
    resolved_at: datetime | None

    @property
    def ids(self) -> tuple[str, ...]:
        """The generations that it names."""
        return tuple(str(one) for one in self.evidence.get("ids", ()))
