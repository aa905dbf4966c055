"""What the API of LoRAs takes and answers, with an example of each, for its document."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from core.loras.models import Lora, Standing
from core.trainings.launch_rules import MAX_DESCRIPTION, MAX_NAME, MAX_TRIGGER

EXAMPLE_ID = "6f1f64a2-58a5-4b8e-9c3c-0c2d3f6f7d11"
_CARD: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "name": "Cyberpunk Girl",
    "description": "Short silver hair, neon jacket",
    "training_status": "completed",
    "created_at": "2026-11-20T10:00:00+00:00",
    "created_by": "ada@example.com",
    "created_by_id": "a0000000-0000-4000-8000-000000000001",
    "usage_count": 42,
    "base_model": "FLUX.1",
    "trigger_word": "cybergirl",
    "tags": ["portrait"],
    "rating": {"average": 4.5, "count": 12},
    "is_private": False,
    "published_url": None,
}


class Rating(BaseModel):
    """The average of its stars, 1 to 5; null while nobody has rated it."""

    average: float | None
    count: int


class LoraInList(BaseModel):
    """A LoRA as lists tell it."""

    model_config = ConfigDict(json_schema_extra={"example": _CARD})

    id: UUID
    name: str
    description: str | None
    training_status: str = Field(description="pending, training, validating, completed or failed")
    created_at: datetime | None
    created_by: str
    created_by_id: UUID | None
    usage_count: int
    base_model: str | None
    trigger_word: str | None
    tags: list[str]
    rating: Rating
    is_private: bool
    published_url: str | None


class LoraDetail(LoraInList):
    """A LoRA with its files; `storage_url` is good for about an hour."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_CARD,
                "storage_url": "https://files.example.com/lora-models/…?token=…",
                "file_size": 52_428_800,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "reference_image_urls": [],
                "validation_image_urls": ["https://files.example.com/lora-validation/…"],
                "completed_at": "2026-11-20T10:40:00+00:00",
                "is_archived": False,
            }
        }
    )

    storage_url: str | None
    file_size: int | None
    sha256: str | None
    reference_image_urls: list[str]
    validation_image_urls: list[str]
    completed_at: datetime | None
    is_archived: bool


class LoraList(BaseModel):
    """A page of LoRAs. `total` is exact up to 10,000; beyond, `total_text` says 10,000+."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "lora_models": [_CARD],
                "total": 10_000,
                "total_is_exact": False,
                "total_text": "10,000+",
                "limit": 50,
                "offset": 0,
                "next_cursor": "Y2Q5M2…",
            }
        }
    )

    lora_models: list[LoraInList]
    total: int
    total_is_exact: bool
    total_text: str
    limit: int
    offset: int
    next_cursor: str | None


class LoraStatus(BaseModel):
    """How far a LoRA is: `progress` 0 to 100, `estimated_remaining` seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": EXAMPLE_ID,
                "training_status": "training",
                "progress": 40,
                "estimated_remaining": 1_260,
                "error": None,
            }
        }
    )

    id: UUID
    training_status: str
    progress: int
    estimated_remaining: int | None
    error: str | None


class NewLora(BaseModel):
    """A LoRA to be trained; `character_images` are https addresses of images of one character, at least five,
    or as few as the trainer takes with `own_images_only`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Cyberpunk Girl",
                "description": "Short silver hair, neon jacket",
                "character_images": [f"https://files.example.com/girl-{n}.jpg" for n in range(1, 7)],
            }
        },
    )

    name: str = Field(min_length=1, max_length=MAX_NAME)
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)
    trigger_word: str | None = Field(
        default=None, max_length=MAX_TRIGGER, description="Made of the name when left out"
    )
    character_images: list[str] = Field(default=[], max_length=24)
    own_images_only: bool = Field(
        default=False, description="Train on three or four images alone, instead of refusing so few"
    )


class Created(BaseModel):
    """A training that has begun; the same Idempotency-Key leads to the same one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "lora_id": EXAMPLE_ID,
                "status": "pending",
                "message": "The training of “Cyberpunk Girl” has begun. It takes 5 to 60 minutes.",
            }
        }
    )

    lora_id: UUID
    status: str
    message: str


_TEXT = {"type": "string"}
_FORM = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {**_TEXT, "minLength": 1, "maxLength": MAX_NAME},
        "description": {**_TEXT, "maxLength": MAX_DESCRIPTION},
        "trigger_word": {**_TEXT, "maxLength": MAX_TRIGGER},
        "own_images_only": {
            "type": "boolean",
            "default": False,
            "description": "Train on three or four images alone, instead of refusing so few",
        },
        "character_images": {
            "type": "array",
            "maxItems": 24,
            "items": {"type": "string", "format": "binary"},
            "description": "Images (JPEG, PNG, WebP), or their addresses as text",
        },
    },
}
NEW_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": NewLora.model_json_schema()},
        "multipart/form-data": {"schema": _FORM},
    },
}


def detail(lora: Lora, absolute: Any) -> dict[str, Any]:
    """A LoRA with its files, the weights' address left out; `absolute` completes an address of ours.

    The first half is what lists tell, which the database writes itself (`told`).
    """
    average = lora.rating_average
    return {
        "id": str(lora.id),
        "name": lora.name,
        "description": lora.description,
        "training_status": lora.training_status,
        "created_at": _moment(lora.created_at),
        "created_by": lora.creator,
        "created_by_id": str(lora.user_id) if lora.user_id else None,
        "usage_count": lora.uses,
        "base_model": lora.base_model,
        "trigger_word": lora.trigger_word,
        "tags": list(lora.tags),
        "rating": {"average": float(average) if average is not None else None, "count": lora.rating_count},
        "is_private": lora.is_private,
        "published_url": lora.huggingface_url,
        "file_size": lora.file_size,
        "sha256": lora.weights_sha256,
        "reference_image_urls": [absolute(url) for url in lora.reference_image_urls or () if url],
        "validation_image_urls": [absolute(url) for url in lora.pictures],
        "completed_at": _moment(lora.completed_at),
        "is_archived": lora.archived_at is not None,
    }


def standing(found: Standing) -> dict[str, Any]:
    """How far a LoRA is."""
    return {
        "id": str(found.id),
        "training_status": found.status,
        "progress": found.progress,
        "estimated_remaining": found.remaining_s,
        "error": found.error,
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
