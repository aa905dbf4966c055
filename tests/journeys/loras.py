"""LoRAs of the library, put there as a training would have left them."""

import json
import uuid
from uuid import UUID

from core.deliveries import tools
from core.storage.contract import Storage
from tests.journeys.world import World


def weights() -> bytes:
    """A safetensors file with nothing but its head."""
    head = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    return len(head).to_bytes(8, "little") + head


def store(storage: Storage, bucket: str, path: str, content: bytes, content_type: str) -> None:
    with storage.upload(bucket) as upload:
        upload.write(content)
        upload.commit(path, content_type)


def completed(world: World, **columns: object) -> UUID:
    """A LoRA whose weights lie in storage."""
    lora_id = uuid.uuid4()
    path = f"studio-ops/{lora_id}.safetensors"
    store(tools.current().storage, "lora-models", path, weights(), "application/octet-stream")
    values = {
        "training_status": "completed",
        "storage_path": path,
        "storage_url": f"/{path}",
        "file_size": 60,
    }
    insert(world, lora_id, {**values, **columns})
    return lora_id


def training(world: World, references: tuple[str, ...] = ()) -> UUID:
    """A LoRA that is still being trained from these pictures."""
    lora_id = uuid.uuid4()
    insert(
        world,
        lora_id,
        {"training_status": "training", "reference_image_urls": list(references)},
    )
    return lora_id


def finish(world: World, lora_id: UUID) -> None:
    """End its training with a LoRA."""
    path = f"studio-ops/{lora_id}.safetensors"
    store(tools.current().storage, "lora-models", path, weights(), "application/octet-stream")
    world.sql(
        "UPDATE lora_models SET training_status = 'completed', storage_path = %s, storage_url = %s,"
        " file_size = 60, completed_at = now() WHERE id = %s",
        path,
        f"/{path}",
        lora_id,
    )


def insert(world: World, lora_id: UUID, columns: dict[str, object]) -> None:
    """Its row."""
    values = {"id": lora_id, "name": f"Ada {lora_id.hex[:8]}", "trigger_word": "ada_v1", **columns}
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    world.sql(f"INSERT INTO lora_models ({names}) VALUES ({places})", *values.values())


def uses(world: World, lora_id: UUID) -> tuple[int, list[tuple[str, str]]]:
    """How often it says that it was used, and by which generations in which way."""
    [(count,)] = world.sql("SELECT coalesce(usage_count, 0) FROM lora_models WHERE id = %s", lora_id)
    rows = world.sql(
        "SELECT generation_id::text, way FROM lora_uses WHERE lora_model_id = %s ORDER BY used_at", lora_id
    )
    return int(count), [(str(row[0]), str(row[1])) for row in rows]
