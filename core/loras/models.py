"""A LoRA of the library as lists and details know it, and what the library is searched for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from core.errors import StudioOpsError

# Where the weights of all LoRAs lie in storage.
WEIGHTS_BUCKET = "lora-models"
STATUSES = ("pending", "training", "validating", "completed", "failed")


class Sort(StrEnum):
    """The ways in which the library is sorted."""

    POPULAR = "popular"
    RECENT = "recent"
    NAME = "name"
    RATING = "rating"
    LEAST_USED = "least_used"


class Way(StrEnum):
    """How a generation uses a LoRA."""

    DIRECT = "direct"
    FIRST_FRAME = "first_frame"
    REFERENCES = "references"


class Reason(StrEnum):
    """What somebody finds wrong with a LoRA."""

    REAL_PERSON = "real_person"
    OFFENSIVE = "offensive"
    COPYRIGHT = "copyright"
    POOR = "poor"
    OTHER = "other"


class InvalidCursor(StudioOpsError):
    """A cursor that is none of ours, or one of another list."""

    code = "invalid_cursor"
    http_status = 400


class OffsetTooLarge(StudioOpsError):
    """An offset beyond what is counted; the text says to go on by cursor."""

    code = "offset_too_large"
    http_status = 400


@dataclass(frozen=True)
class Sight:
    """Who looks: what is shared and not hidden they see in any case, their own too, or everything."""

    viewer: UUID | None
    viewer_key: str
    sees_all: bool

    def owns(self, user_id: UUID | None, creator_key: str | None) -> bool:
        """Whether a LoRA with this creator is the viewer's own."""
        return (user_id is not None and user_id == self.viewer) or creator_key == self.viewer_key


@dataclass(frozen=True)
class Search:
    """What the library is asked for; None and False: not by that.

    `text`: words of name, description or trigger word; `creator`: the beginning of a creator's name; `mine`:
    the viewer's own; `rating`: at least so many stars on average; `archived`: those out of use in place of
    those in use; `restricted`: private or hidden ones alone; `wrong`: whose weights are missing or not what
    they were, in use or not; `counted`: those that count in the quotas of the month with this first day, in
    use or not.
    """

    text: str | None = None
    status: str | None = None
    creator: str | None = None
    mine: bool = False
    since: datetime | None = None
    until: datetime | None = None
    base_model: str | None = None
    tag: str | None = None
    rating: Decimal | None = None
    published: bool | None = None
    archived: bool = False
    restricted: bool = False
    wrong: bool = False
    counted: date | None = None
    sort: Sort = Sort.POPULAR


@dataclass(frozen=True)
class Place:
    """A row's place in a sorted list: its value there as text, and its id."""

    value: str
    id: UUID


@dataclass(frozen=True)
class Card:
    """A LoRA as a list shows it; times are aware, bytes the weights' size."""

    id: UUID
    name: str
    creator_name: str | None
    creator_key: str | None
    user_id: UUID | None
    description: str | None
    training_status: str
    base_model: str | None
    trigger_word: str | None
    validation_image_urls: Sequence[str] | None = field(repr=False)
    file_size: int | None
    huggingface_url: str | None
    tags: Sequence[str]
    is_private: bool
    hidden_at: datetime | None
    archived_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    completed_at: datetime | None
    uses: int
    rating_count: int
    rating_average: Decimal | None
    rating_score: Decimal
    is_popular: bool
    recent_uses: int
    last_used_at: datetime | None

    @property
    def creator(self) -> str:
        """Whom people know as its creator."""
        return self.creator_name or "unknown"

    @property
    def named(self) -> str:
        """`Name (by creator)`, as a LoRA is named everywhere."""
        return f"{self.name} (by {self.creator})"

    @property
    def pictures(self) -> tuple[str, ...]:
        """The addresses of its test pictures."""
        return tuple(url for url in self.validation_image_urls or () if url)


@dataclass(frozen=True)
class Lora(Card):
    """Everything that is known of one LoRA itself."""

    validation_passed: bool | None
    huggingface_commit: str | None
    storage_path: str | None
    storage_url: str | None = field(repr=False)
    weights_sha256: str | None
    training_cost: Decimal | None
    reference_image_urls: Sequence[str] | None = field(repr=False)
    character_description: str | None
    triggered_by_job_id: UUID | None
    hidden_reason: str | None
    hidden_by: str | None
    hidden_by_id: str | None
    archived_reason: str | None
    archived_by: str | None
    archived_by_id: str | None
    parent_id: UUID | None
    character_id: UUID | None
    proof_state: str | None
    proof_checked_at: datetime | None
    proof_sha256: str | None
    training_progress: int | None
    estimated_remaining: int | None
    error_message: str | None


@dataclass(frozen=True)
class Found:
    """What a search found, in its order. `total` is exact where `total_is_exact`, else there are more; `next`
    continues the list, None at its end."""

    ids: tuple[UUID, ...]
    total: int
    total_is_exact: bool
    next: Place | None


@dataclass(frozen=True)
class Page:
    """Cards in their order; the rest as of `Found`."""

    cards: tuple[Card, ...]
    total: int
    total_is_exact: bool
    next: Place | None


@dataclass(frozen=True)
class Standing:
    """How far a LoRA is: `progress` 0 to 100, `remaining_s` seconds; and who may see it."""

    id: UUID
    status: str
    progress: int
    remaining_s: int | None
    error: str | None
    user_id: UUID | None
    creator_key: str | None
    is_listed: bool

    @property
    def is_over(self) -> bool:
        return self.status in {"completed", "failed"}

    def is_seen_by(self, sight: Sight) -> bool:
        """Whether who looks so may know of the LoRA at all."""
        return sight.sees_all or self.is_listed or sight.owns(self.user_id, self.creator_key)


@dataclass(frozen=True)
class Version:
    """A LoRA among those of its character."""

    id: UUID
    name: str
    creator_name: str | None
    training_status: str
    created_at: datetime | None
    rating_average: Decimal | None
    rating_count: int
    uses: int
    parent_id: UUID | None


@dataclass(frozen=True)
class Use:
    """A generation that was made with a LoRA; `status` None: its row is gone."""

    generation_id: UUID
    way: str
    used_at: datetime
    status: str | None
    model: str | None
    prompt: str | None
    asset_url: str | None
    kind: str | None


@dataclass(frozen=True)
class Quality:
    """What speaks for a LoRA: a day's uses, and how its newest uses ended."""

    by_day: tuple[tuple[date, int], ...]
    newest: tuple[Use, ...]
    succeeded: int
    failed: int

    @property
    def success(self) -> float | None:
        """Succeeded ÷ (succeeded + failed), 0 to 1; None when none has ended."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None


@dataclass(frozen=True)
class Reported:
    """A LoRA in the moderation queue, with what each report says."""

    id: UUID
    name: str
    creator_name: str | None
    hidden_at: datetime | None
    reports: int
    since: datetime
    reasons: Sequence[str]
    notes: Sequence[str]
    reporters: Sequence[str]
