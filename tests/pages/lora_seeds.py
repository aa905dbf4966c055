"""LoRAs as trainings and other systems leave them, for pages that have to show them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

Connection = psycopg.Connection[Any]
NOW = datetime.now(UTC)
USER = "a0000000-0000-4000-8000-000000000001"
HOSTILE = "<script>alert(1)</script> & “Ada”"


def lora(connection: Connection, name: str, **columns: Any) -> UUID:
    """A completed LoRA of a customer's."""
    connection.execute(
        "INSERT INTO auth.users (id, email) VALUES (%s, 'ada@example.com') ON CONFLICT DO NOTHING", (USER,)
    )
    lora_id = uuid.uuid4()
    values = {
        "id": lora_id,
        "user_id": USER,
        "name": name,
        "training_status": "completed",
        "storage_path": f"studio-ops/{lora_id}/abc.safetensors",
        "storage_url": "u",
        "file_size": 52_000_000,
        "base_model": "FLUX.1",
        "trigger_word": "ada_v1",
        "weights_sha256": "9f" * 32,
        "validation_image_urls": ["/files/lora-validation/a.jpg?sig=abc", "javascript:alert(2)"],
        "created_at": NOW - timedelta(days=3),
        "completed_at": NOW - timedelta(days=3),
        **columns,
    }
    connection.execute(
        f"INSERT INTO lora_models ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
        tuple(values.values()),
    )
    return lora_id


def every_kind(connection: Connection) -> dict[str, UUID]:
    """A LoRA of each kind; their ids by name."""
    nothing = {"storage_path": None, "storage_url": None, "file_size": None, "weights_sha256": None}
    return {
        "popular": lora(connection, "Popular Ada", usage_count=90),
        "hostile": lora(connection, HOSTILE, description=HOSTILE, tags=["<b>", "sea"]),
        "large": lora(connection, "Large", file_size=900_000_000),
        "training": lora(
            connection,
            "In training",
            training_status="training",
            validation_image_urls=None,
            completed_at=None,
            **nothing,
        ),
        "failed": lora(connection, "Failed one", training_status="failed", **nothing),
        "private": lora(connection, "Private one", is_private=True),
        "hidden": lora(connection, "Hidden one", hidden_at=NOW),
        "archived": lora(connection, "Archived one", archived_at=NOW),
        "bare": lora(
            connection,
            "Of another system",
            user_id=None,
            base_model=None,
            trigger_word=None,
            weights_sha256=None,
            validation_image_urls=None,
            created_at=None,
        ),
    }


def used(connection: Connection, lora_id: UUID, count: int, status: str = "success") -> list[UUID]:
    """So many generations made with it; their ids."""
    made = []
    for n in range(count):
        generation = uuid.uuid4()
        connection.execute(
            "INSERT INTO generations (id, status, model, prompt, kind)"
            " VALUES (%s, %s, 'flux-2/pro', %s, 'image')",
            (generation, status, f"ada_v1 at sea, {n} {HOSTILE}"),
        )
        connection.execute(
            "INSERT INTO lora_uses (generation_id, lora_model_id, way, used_by, used_at)"
            " VALUES (%s, %s, 'direct', 'Ada', %s)",
            (generation, lora_id, NOW - timedelta(days=n % 5)),
        )
        made.append(generation)
    return made
