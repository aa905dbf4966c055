"""A run of a LoRA's training: stages, states, transitions, its paid calls, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.errors import ErrorCategory, StudioOpsError
from core.providers.training import Submission


class Stage(StrEnum):
    """Where a run stands, or stood when it ended."""

    INITIALIZING = "initializing"
    ZIP_CREATION = "zip_creation"
    TRAINING = "training"
    STORING = "storing"
    HUGGINGFACE_UPLOAD = "huggingface_upload"
    VALIDATION = "validation"
    COMPLETION = "completion"

    @property
    def label(self) -> str:
        """What people call it, on pages and in the log."""
        return _LABELS[self]


_LABELS = {
    Stage.INITIALIZING: "Checks",
    Stage.ZIP_CREATION: "ZIP",
    Stage.TRAINING: "Training",
    Stage.STORING: "Weights",
    Stage.HUGGINGFACE_UPLOAD: "Hugging Face",
    Stage.VALIDATION: "Test images",
    Stage.COMPLETION: "Completion",
}


class RunState(StrEnum):
    """Who has the next word on a run: we, a person, or nobody."""

    RUNNING = "running"
    AWAITING_VERDICT = "awaiting_verdict"  # three test pictures wait for a person's judgement
    ENDING = "ending"  # stopped at the provider, given back and settled; then it is what `ends_as` says
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEEDS_ATTENTION = "needs_attention"


class Status(StrEnum):
    """The column `lora_models.training_status`, as the company's application reads and writes it."""

    PENDING = "pending"
    TRAINING = "training"
    VALIDATING = "validating"
    COMPLETED = "completed"
    FAILED = "failed"


R = RunState
# Every move that a run may make; an update that is not listed here is refused by the service.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    R.RUNNING: frozenset({R.RUNNING, R.AWAITING_VERDICT, R.ENDING, R.COMPLETED, R.NEEDS_ATTENTION}),
    R.AWAITING_VERDICT: frozenset({R.RUNNING, R.ENDING}),
    R.ENDING: frozenset({R.FAILED, R.CANCELLED, R.NEEDS_ATTENTION}),
    R.NEEDS_ATTENTION: frozenset({R.RUNNING, R.ENDING}),
    # By a person's button, at the stage where it failed.
    R.FAILED: frozenset({R.RUNNING}),
    R.CANCELLED: frozenset(),
    R.COMPLETED: frozenset(),
}
ACTIVE = frozenset({R.RUNNING, R.ENDING})
ENDED = frozenset({R.COMPLETED, R.FAILED, R.CANCELLED})

_STATUS_AT: dict[Stage, Status] = {
    Stage.INITIALIZING: Status.PENDING,
    Stage.ZIP_CREATION: Status.PENDING,
    Stage.TRAINING: Status.TRAINING,
    Stage.STORING: Status.TRAINING,
    Stage.HUGGINGFACE_UPLOAD: Status.TRAINING,
    Stage.VALIDATION: Status.VALIDATING,
    Stage.COMPLETION: Status.VALIDATING,
}


def status_of(state: RunState, stage: Stage) -> Status:
    """What the customers' column says of a run at this state and stage."""
    if state is RunState.COMPLETED:
        return Status.COMPLETED
    return Status.FAILED if state in {RunState.FAILED, RunState.CANCELLED} else _STATUS_AT[stage]


class Purpose(StrEnum):
    """What a paid call is for."""

    TRAINING = "training"
    PICTURE = "picture"


class CallState(StrEnum):
    """How far a paid call is."""

    INTENT = "intent"
    SENDING = "sending"
    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_SENT = "not_sent"  # it is certain that the provider never took it
    UNKNOWN = "unknown"  # its answer was lost, and nothing could tell in time

    @property
    def is_over(self) -> bool:
        return self not in {CallState.INTENT, CallState.SENDING, CallState.ACCEPTED}


C = CallState
CALL_TRANSITIONS: dict[CallState, frozenset[CallState]] = {
    C.INTENT: frozenset({C.SENDING, C.CANCELLED, C.NOT_SENT}),
    # Back to intent only when it is certain that the provider never took the request.
    C.SENDING: frozenset({C.INTENT, C.ACCEPTED, C.NOT_SENT, C.UNKNOWN}),
    C.ACCEPTED: frozenset({C.SUCCEEDED, C.FAILED, C.CANCELLED}),
    # The answer may still come, and a person may have looked at the provider's own list.
    C.UNKNOWN: frozenset({C.SENDING, C.ACCEPTED, C.NOT_SENT}),
    C.SUCCEEDED: frozenset(),
    C.FAILED: frozenset(),
    C.CANCELLED: frozenset(),
    C.NOT_SENT: frozenset(),
}


class EventKind(StrEnum):
    """A step on a run's timeline."""

    LAUNCHED = "launched"
    STAGE_STARTED = "stage_started"
    STAGE_ENDED = "stage_ended"
    STAGE_FAILED = "stage_failed"
    TAKEN_UP = "taken_up"
    ZIP_STORED = "zip_stored"
    ZIP_REMOVED = "zip_removed"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    ANSWER_LOST = "answer_lost"
    BOUND = "bound"
    WEBHOOK = "webhook"
    POLL_FAILED = "poll_failed"
    FELL_BACK = "fell_back"
    WEIGHTS_STORED = "weights_stored"
    PUBLISHED = "published"
    SAMPLES_PUBLISHED = "samples_published"
    PICTURE_STORED = "picture_stored"
    JUDGED = "judged"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED_AT_PROVIDER = "cancelled_at_provider"
    RELEASED = "released"
    SETTLED = "settled"
    RESUMED = "resumed"
    RETRIED = "retried"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEEDS_ATTENTION = "needs_attention"


@dataclass(frozen=True)
class Trouble:
    """Why something went wrong: a sentence of ours, the provider's words, and what a person does next."""

    message: str
    category: ErrorCategory
    retryable: bool
    next_action: str
    words: str = ""
    code: str | None = None


@dataclass(frozen=True)
class Run:
    """One row of `lora_training_jobs` that we drive, with the name of its LoRA; times are aware."""

    id: UUID
    lora_id: UUID
    lora_name: str
    description: str | None
    user_id: UUID | None
    creator_key: str
    creator_name: str | None
    state: RunState
    stage: Stage
    trainer: str
    steps: int
    learning_rate: Decimal | None
    rank: int | None
    trigger_word: str
    publish: bool
    images: int | None
    attempt: int
    created_at: datetime
    started_at: datetime
    completed_at: datetime | None
    next_attempt_at: datetime | None
    lease_until: datetime | None
    lease_token: UUID | None
    heartbeat_at: datetime | None
    ends_as: RunState | None
    ending_since: datetime | None
    progress: int
    time_left_s: int | None
    provider_state: str | None
    provider_read_at: datetime | None
    queue_position: int | None
    pod_id: str | None
    usd_per_hour: Decimal | None
    error_message: str | None
    failure_category: str | None
    failure_retryable: bool | None
    failure_words: str | None
    next_action: str | None
    quoted_usd: Decimal | None
    reservation_key: str | None
    reservations: int
    zip_bucket: str | None
    zip_path: str | None
    zip_bytes: int | None
    zip_sha256: str | None
    weights_path: str | None
    weights_sha256: str | None
    weights_bytes: int | None
    huggingface_url: str | None
    training_cost: Decimal | None
    card_due_at: datetime | None = None
    card_attempt: int = 0
    card_error: str | None = None
    card_samples: int | None = None

    @property
    def is_over(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Call:
    """One row of `training_calls`: something that costs money, sent once."""

    id: UUID
    run_id: UUID
    purpose: Purpose
    n: int
    round: int
    provider: str
    reservation_key: str | None
    state: CallState
    prompt: str | None
    seed: int | None
    tries: int
    remote_id: str | None
    handle: Mapping[str, str] = field(repr=False)
    created_at: datetime
    submitted_at: datetime | None
    accepted_at: datetime | None
    ended_at: datetime | None
    released_at: datetime | None
    progress: int | None
    usd_per_hour: Decimal | None
    result_url: str | None = field(repr=False)
    result_kind: str | None
    bucket: str | None
    path: str | None
    url: str | None
    failure_category: str | None
    failure_code: str | None
    failure_retryable: bool | None
    failure_words: str | None
    cost_usd: Decimal | None
    shows: bool | None
    judged_by: str | None
    judged_by_id: str | None

    @property
    def submission(self) -> Submission:
        """What asks the provider for it again; only of one that was accepted."""
        assert self.remote_id is not None
        return Submission(self.remote_id, self.handle)

    @property
    def begun_at(self) -> datetime:
        """When the provider's clock started, as far as we know."""
        return self.accepted_at or self.submitted_at or self.created_at


@dataclass(frozen=True)
class Event:
    """One step of a timeline. `words` are the provider's own; `bytes` and `duration_ms` where measured."""

    kind: EventKind
    attempt: int | None = None
    duration_ms: int | None = None
    bytes: int | None = None
    error_category: str | None = None
    words: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parameters:
    """What is asked of a trainer; a rule says whether its bounds allow it."""

    steps: int
    learning_rate: Decimal | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Launch:
    """A training that somebody wants; the same `request_key`, the form's nonce, twice makes one run.

    `draft_id` is that of its images, and becomes the LoRA's. With `filled_up` three or four images of one's
    own do not stand alone. `job_id` is the job of the company's application whose references they are, at
    `reference_urls`.
    """

    request_key: str
    draft_id: UUID
    name: str
    trigger_word: str
    trainer: str
    steps: int
    description: str | None = None
    learning_rate: Decimal | None = None
    rank: int | None = None
    publish: bool = False
    filled_up: bool = False
    job_id: UUID | None = None
    reference_urls: tuple[str, ...] = field(default=(), repr=False)


class NameTaken(StudioOpsError):
    """The creator has a LoRA of that name."""

    code = "name_taken"
    http_status = 409


class QuotaExceeded(StudioOpsError):
    """The creator's LoRAs of this month are used up."""

    code = "quota_exceeded"
    http_status = 429
