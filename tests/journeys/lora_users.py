"""LoRAs of two users, as the API knows them."""

import io
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from tests.journeys.training_world import photograph
from tests.journeys.world import World

ADA, BO = (str(uuid.UUID(int=n, version=4)) for n in (11, 12))
LORAS = "/api/v1/lora-models"
Configure = Callable[..., None]


def lora(world: World, owner: str = ADA, **columns: Any) -> str:
    """A completed LoRA; its id."""
    values = {
        "id": str(uuid.uuid4()), "user_id": owner, "name": f"Girl {uuid.uuid4().hex[:6]}", "file_size": 9,
        "training_status": "completed", "storage_path": "a/b.safetensors", "storage_url": "u", **columns,
    }  # fmt: skip
    places = ", ".join(["%s"] * len(values))
    world.sql(f"INSERT INTO lora_models ({', '.join(values)}) VALUES ({places})", *values.values())
    return str(values["id"])


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["lora_models"]]


def files(count: int = 5, start: int = 0) -> list[tuple[str, tuple[str, io.BytesIO, str]]]:
    return [
        ("character_images", (f"{n}.jpg", io.BytesIO(photograph(start + n)), "image/jpeg"))
        for n in range(count)
    ]
