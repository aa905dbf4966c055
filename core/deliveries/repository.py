"""Rows of `generations` and what belongs to them, as dataclasses."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import log, queries
from core.deliveries.models import DeliveryState, Event, Generation, StoredFile
from core.loras.models import Way
from core.providers.model_inputs import Model

SQL = queries.load("deliveries")


def to_generation(row: RowMapping) -> Generation:
    """A row of `generations`, whoever wrote it."""
    state = row["delivery_state"]
    return Generation(
        id=row["id"],
        user_id=row["user_id"],
        provider=row["provider"] or "kie",
        kind=row["kind"] or _guess_kind(row["model"]),
        model=row["model"],
        prompt=row["prompt"],
        input=row["input"] or {},
        status=row["status"],
        delivery_state=DeliveryState(state) if state else None,
        task_id=row["task_id"],
        result_urls=_urls(row["result_urls"]),
        asset_url=row["asset_url"],
        preview_url=row["preview_url"],
        created_at=_aware(row["created_at"]),
        submitted_at=row["submitted_at"],
        delivered_at=row["delivered_at"],
        next_attempt_at=row["next_attempt_at"],
        attempt_priority=row["attempt_priority"],
        attempt=row["attempt"],
        lease_until=row["lease_until"],
        lease_token=row["lease_token"],
        provider_state=row["provider_state"],
        provider_read_at=row["provider_read_at"],
        result_expires_at=row["result_expires_at"],
        failure_category=row["failure_category"],
        failure_code=row["failure_code"],
        failure_message=row["failure_message"],
        watched_until=row["watched_until"],
        link_renewed_at=row["link_renewed_at"],
        task_addresses=row["task_addresses"] or {},
        lora_id=row["lora_model_id"],
        lora_way=Way(row["lora_way"]) if row["lora_way"] else None,
        frame_id=row["frame_id"],
        frame_for=row["frame_for"],
        frame_size=row["frame_size"],
        frame_ready_at=row["frame_ready_at"],
        task_number=row["task_number"],
    )


def _aware(created_at: datetime | None) -> datetime:
    """The company's column may lack a zone, which then is UTC, or a value, which then is long ago."""
    if created_at is None:
        return datetime.fromtimestamp(0, UTC)
    return created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)


def _guess_kind(model: str | None) -> str:
    return "video" if model and ("kling" in model or "video" in model) else "image"


def _urls(value: Any) -> tuple[str, ...]:
    """`result_urls` is text[] in one of the company's databases and jsonb, or JSON text, in others."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return (value,) if value else ()
    return tuple(url for url in value if isinstance(url, str)) if isinstance(value, list) else ()


def find(connection: Connection, generation_id: UUID) -> Generation | None:
    """The generation with this id."""
    row = SQL["get"].first(connection, id=generation_id)
    return to_generation(row) if row else None


def find_by_task(connection: Connection, task_id: str) -> Sequence[Generation]:
    """Generations with this task id, newest first; the company's data has duplicates."""
    return [to_generation(row) for row in SQL["by_task"].all(connection, task_id=task_id)]


def insert(
    connection: Connection, model: Model, model_input: Mapping[str, Any], **more: Any
) -> RowMapping | None:
    """Write the row of a new generation; None when its request key is known."""
    values = {
        "id": uuid.uuid4(),
        "provider": model.provider,
        "kind": model.kind,
        "model": model.id,
        "prompt": model_input.get("prompt"),
        "input": json.dumps(model_input),
        "lora_id": None,
        "lora_way": None,
        "frame_id": None,
        "frame_for": None,
        "frame_size": None,
    }
    return SQL["insert"].first(connection, **{**values, **more})


def add_event(connection: Connection, generation_id: UUID, at: datetime, event: Event) -> None:
    """Append a step to the timeline; secrets are masked on the way."""
    values = {**_event(event), "detail": json.dumps(log.redact(event.detail), default=str)}
    SQL["add_event"].run(
        connection, generation_id=generation_id, at=at, request_id=log.request_id(), **values
    )


def events_json(*events: Event) -> str:
    """Steps for a statement that appends them itself, in order; secrets are masked on the way."""
    rows = [{"n": n, **_event(event), "detail": log.redact(event.detail)} for n, event in enumerate(events)]
    return json.dumps(rows, default=str)


def _event(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "attempt": event.attempt,
        "duration_ms": event.duration_ms,
        "bytes": event.bytes,
        "error_category": event.error_category,
        "words": log.redact(event.words)[:2000] if event.words else None,
    }


def files_json(files: Sequence[StoredFile]) -> str:
    """Stored files for a statement that records them itself."""
    return json.dumps([asdict(file) for file in files])
