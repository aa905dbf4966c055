"""What a trainer of LoRAs does for us, and what it promises.

A trainer speaks one vendor's wire protocol. It makes one call at a time, never sleeps, never repeats, and
knows no table of ours: when to call is policy, calling again is a job's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from core.errors import ErrorCategory


class TrainingState(StrEnum):
    """How far a training is, in our words; `TrainingRecord.state_word` keeps the provider's own."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # The provider answers that it knows no such training.
    NOT_FOUND = "not_found"
    # A word that nobody here knows: something to find out, never taken for "running".
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in {TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED}


@dataclass(frozen=True)
class Bounds:
    """What the trainer takes, both ends included; a parameter that it does not take is None."""

    images: tuple[int, int]
    steps: tuple[int, int]
    learning_rate: tuple[Decimal, Decimal] | None = None
    rank: tuple[int, int] | None = None


@dataclass(frozen=True)
class PushTargets:
    """Signed addresses that a pod of ours writes to by PUT: weights, and progress as a small JSON file."""

    weights_url: str = field(repr=False)
    progress_url: str = field(repr=False)


@dataclass(frozen=True)
class TrainingRequest:
    """One training. `dataset_url` is one address of one ZIP; `learning_rate` and `rank` only where the
    trainer's bounds name them; `webhook_url` carries our run's id; `push` for pods of ours alone."""

    run_id: UUID
    dataset_url: str = field(repr=False)
    images: int
    trigger_word: str
    steps: int
    learning_rate: Decimal | None = None
    rank: int | None = None
    webhook_url: str | None = field(default=None, repr=False)
    push: PushTargets | None = None


@dataclass(frozen=True)
class Submission:
    """What asks for one training again: the provider's id, and what else its API gave for it (addresses
    to use as they are); plain JSON, kept in the run's row."""

    remote_id: str
    handle: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LogLine:
    """A line of the trainer's log; `at` is aware UTC, None when not told."""

    message: str
    at: datetime | None = None


@dataclass(frozen=True)
class Failure:
    """Why a training failed: the provider's own words, redacted, and whether the same again makes sense."""

    category: ErrorCategory
    retryable: bool
    words: str
    code: str | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """One training as the provider tells it at this moment.

    Times are aware UTC, `progress` is 0 to 100, `cost_usd` what it has cost so far where the provider tells.
    A malformed part never raises: it is None. SUCCEEDED without usable weights names why in
    `result_problem`.
    """

    remote_id: str
    state: TrainingState
    state_word: str = ""
    progress: int | None = None
    queue_position: int | None = None
    log: tuple[LogLine, ...] = ()
    weights_url: str | None = field(default=None, repr=False)
    weights_kind: Literal["safetensors", "tar"] = "safetensors"
    result_problem: str | None = None
    failure: Failure | None = None
    cost_usd: Decimal | None = None
    usd_per_hour: Decimal | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    # When what trains has last told of itself, where it does that.
    heard_at: datetime | None = None
    # The provider's whole answer with every secret masked; JSON values only.
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Cancelled(StrEnum):
    """What became of a wish to cancel."""

    CONFIRMED = "confirmed"  # it runs no more, and nothing is added to its price
    REQUESTED = "requested"  # accepted; reading it tells when it is over
    TOO_LATE = "too_late"  # it had ended before
    NOT_FOUND = "not_found"


@dataclass(frozen=True)
class WebhookEvent:
    """A verified message of a provider: which training it speaks of. Its contents are never believed: it
    only hurries the next look. `delivery_id` is the same for a message sent again."""

    remote_id: str
    delivery_id: str
    says: str


class Trainer(Protocol):
    """One vendor of LoRA trainings. Safe to share between threads.

    Every method raises `core.errors.ProviderError` and nothing else of the network's: `category`,
    `retryable`, a sentence for people, the provider's own redacted `words`, `sent` and `refused`.
    """

    @property
    def bounds(self) -> Bounds:
        """What may be asked of it."""
        ...

    @property
    def ceiling(self) -> timedelta:
        """A training that has run for so long is cancelled."""
        ...

    @property
    def starts_within(self) -> timedelta | None:
        """One that is not training by then is cancelled; None where waiting costs nothing."""
        ...

    def prepare(self, request: TrainingRequest) -> None:
        """Whatever must be there before a submission and costs nothing (Replicate's destination).

        Idempotent.
        """
        ...

    def submit(self, request: TrainingRequest) -> Submission:
        """Begin one paid training.

        Steps: 1. one POST; 2. the ids from the answer.

        NOT idempotent: every call may cost money, so the caller owns the one attempt.
        Errors: `sent=False` is certain not to have reached the provider; `refused=True` is a definite
        no, nothing was begun. In both cases `retryable` says whether the same request makes sense
        again later. Anything else is an unknown outcome: only `find` or a webhook can tell.
        """
        ...

    def find(self, run_id: UUID, since: datetime) -> Submission | None:
        """The training of this run at the provider, looked for by the run's own id; None when the provider
        has none. Idempotent, free.

        Errors: `NotFindable` where the provider's API has no way to look.
        """
        ...

    def read(self, submission: Submission) -> TrainingRecord:
        """The training as it stands now. Idempotent, without effect, free.

        One that the provider does not know is a record with NOT_FOUND, not an error.
        """
        ...

    def cancel(self, submission: Submission) -> Cancelled:
        """Have it stopped. Idempotent."""
        ...

    def release(self, submission: Submission) -> None:
        """Give back what goes on costing money after the end (a pod). Idempotent; elsewhere nothing.

        Returns only when the provider has confirmed it, or knows no such thing.
        """
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
        """The event of a webhook's signed message. Raises NotSignedIn for a wrong or stale signature,
        NotFound where the provider sends none, InvalidInput for a body that is none of its own."""
        ...

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        ...


class NotFindable(Exception):
    """The provider's API cannot be asked by an id of ours."""
