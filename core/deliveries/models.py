"""A generation and its delivery: states, transitions, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.loras.models import Way


class Status(StrEnum):
    """The column `generations.status`, as the company's application reads and writes it."""

    QUEUED = "queued"
    GENERATING = "generating"
    SUCCESS = "success"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """Where a generation stands on its way to the customer."""

    INTENT = "intent"
    SENDING = "sending"
    AWAITING_PROVIDER = "awaiting_provider"
    AWAITING_DELIVERY = "awaiting_delivery"
    DELIVERED = "delivered"
    FAILED = "failed"
    LOST = "lost"
    NEEDS_ATTENTION = "needs_attention"


S = DeliveryState
# Every move that a delivery may make; an update that is not listed here is refused by the service.
TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    S.INTENT: frozenset({S.SENDING, S.FAILED}),
    # Back to intent only when it is certain that the provider never took the request.
    S.SENDING: frozenset({S.INTENT, S.AWAITING_PROVIDER, S.FAILED, S.NEEDS_ATTENTION}),
    S.AWAITING_PROVIDER: frozenset({S.AWAITING_DELIVERY, S.DELIVERED, S.FAILED, S.NEEDS_ATTENTION, S.LOST}),
    S.AWAITING_DELIVERY: frozenset({S.AWAITING_PROVIDER, S.DELIVERED, S.LOST, S.NEEDS_ATTENTION, S.FAILED}),
    # The provider's record may still change its mind (a success after a failure), so a callback or
    # a person can have these looked at again.
    S.FAILED: frozenset({S.AWAITING_PROVIDER}),
    S.LOST: frozenset({S.AWAITING_PROVIDER}),
    S.NEEDS_ATTENTION: frozenset({S.AWAITING_PROVIDER}),
    # Only after storage said that its file is missing: it is fetched again while the provider has it.
    S.DELIVERED: frozenset({S.AWAITING_PROVIDER}),
}
ACTIVE = frozenset({S.INTENT, S.SENDING, S.AWAITING_PROVIDER, S.AWAITING_DELIVERY})
ENDED = frozenset(DeliveryState) - ACTIVE

# `failure_code` of a delivery whose file our own storage did not take, for good or for now, and of one
# whose file the provider no longer gives.
STORAGE_REFUSED, STORAGE_FAILED, RESULT_GONE = "storage_refused", "storage_failed", "result_gone"

# What the customers' column says in each state; None leaves it as it is.
STATUS_OF: dict[DeliveryState, Status | None] = {
    S.INTENT: Status.QUEUED,
    S.SENDING: Status.QUEUED,
    S.AWAITING_PROVIDER: None,
    S.AWAITING_DELIVERY: Status.GENERATING,
    S.DELIVERED: Status.SUCCESS,
    S.FAILED: Status.FAILED,
    S.LOST: Status.FAILED,
    S.NEEDS_ATTENTION: None,
}


class EventKind(StrEnum):
    """A step on a delivery's timeline."""

    CREATED = "created"
    FRAME_AGAIN = "frame_again"
    FRAME_READY = "frame_ready"
    FRAME_FAILED = "frame_failed"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    ANSWER_LOST = "answer_lost"
    BOUND = "bound"
    CALLBACK = "callback"
    POLLED = "polled"
    POLL_FAILED = "poll_failed"
    RESULT_READY = "result_ready"
    STORED = "stored"
    DOWNLOAD_FAILED = "download_failed"
    DELIVERED = "delivered"
    PROVIDER_FAILED = "provider_failed"
    LOST = "lost"
    NEEDS_ATTENTION = "needs_attention"
    SYNC_REQUESTED = "sync_requested"
    STATUS_RESTORED = "status_restored"


@dataclass(frozen=True)
class Generation:
    """One row of `generations`; times are aware, `result_urls` are the provider's temporary ones."""

    id: UUID
    user_id: UUID | None
    provider: str
    kind: str
    model: str | None
    prompt: str | None
    input: Mapping[str, Any]
    status: str | None
    delivery_state: DeliveryState | None
    task_id: str | None
    result_urls: tuple[str, ...]
    asset_url: str | None
    preview_url: str | None
    created_at: datetime
    submitted_at: datetime | None
    delivered_at: datetime | None
    next_attempt_at: datetime | None
    attempt_priority: int
    attempt: int
    lease_until: datetime | None
    lease_token: UUID | None
    provider_state: str | None
    provider_read_at: datetime | None
    result_expires_at: datetime | None
    failure_category: str | None
    failure_code: str | None
    failure_message: str | None
    watched_until: datetime | None
    link_renewed_at: datetime | None = None
    task_addresses: Mapping[str, str] = field(default_factory=dict, repr=False)
    lora_id: UUID | None = None
    lora_way: Way | None = None
    frame_id: UUID | None = None
    frame_for: UUID | None = None
    frame_size: str | None = None
    frame_ready_at: datetime | None = None
    task_number: int = 0

    @property
    def shown_url(self) -> str | None:
        """The URL that a person is shown: the permanent file, else the provider's, else the preview."""
        return self.asset_url or (self.result_urls[0] if self.result_urls else None) or self.preview_url

    @property
    def waits_for_frame(self) -> bool:
        """Whether it cannot be sent before its first frame has been made."""
        return self.frame_id is not None and self.frame_ready_at is None

    @property
    def ours(self) -> bool:
        """Whether this product sent the paid call; the company's application sends others."""
        return self.submitted_at is not None

    @property
    def begun_at(self) -> datetime:
        """When the provider's clock started, as far as we know."""
        return self.submitted_at or self.created_at


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
class StoredFile:
    """A file in our storage that belongs to a generation; `n` counts from 0, the first is `asset_url`."""

    bucket: str
    path: str
    n: int
    bytes: int
    sha256: str
    content_type: str
    url: str


@dataclass(frozen=True)
class Callback:
    """What a verified callback said; none of it is believed before the provider's record is read."""

    task_id: str
    generation_id: UUID | None
    body_sha256: str
    body: Mapping[str, Any]
    signed: bool
    provider: str = "kie"
    says: str = ""
    says_success: bool = False
