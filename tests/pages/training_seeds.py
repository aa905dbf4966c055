"""Trainings as the services leave them, for pages that have to show them."""

import functools
import io
import json
import uuid
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import text

from core import database
from core.access import Actor, Role
from core.trainings import dataset, service, tools
from core.trainings.models import Launch, Run, RunState, Stage
from tests.unit.photographs import jpeg

OPERATOR = Actor("person", "local", "Local operator", frozenset(Role), "page")
VIEWER = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")
Connection = psycopg.Connection[Any]


@functools.cache
def _photograph(seed: int) -> bytes:
    return jpeg(seed, 512, 512)


def draft(images: int = 6, draft_id: UUID | None = None, *others: tuple[str, bytes]) -> UUID:
    """A draft with so many good images, and others as they are."""
    draft_id = draft_id or uuid.uuid4()
    given = [*((f"ada-{n}.jpg", _photograph(n + 1)) for n in range(images)), *others]
    files = [dataset.NewFile(name, io.BytesIO(content)) for name, content in given]
    dataset.add_files(OPERATOR, draft_id, files, tools.current().dataset)
    return draft_id


def launched(name: str = "Ada of the lighthouse", **changes: Any) -> Run:
    """A run that has just been launched."""
    values: dict[str, Any] = {"trigger_word": "ada_v1", "trainer": "fal", "steps": 1000}
    draft_id = changes.pop("draft_id", None) or _copied(4)
    wanted = Launch(request_key=uuid.uuid4().hex, draft_id=draft_id, name=name, **{**values, **changes})
    return service.launch(OPERATOR, wanted, tools.current())


def _copied(images: int) -> UUID:
    """A draft like an earlier one, whose files it shares; the first of a database is made."""
    draft_id = uuid.uuid4()
    with database.transaction() as connection:
        row = connection.execute(text("SELECT lora_model_id FROM training_images LIMIT 1")).first()
        if row is not None:
            connection.execute(
                text(
                    "INSERT INTO training_images SELECT (jsonb_populate_record(i, jsonb_build_object("
                    "'lora_model_id', CAST(:new AS text)))).* FROM training_images i"
                    " WHERE lora_model_id = :old"
                ),
                {"new": str(draft_id), "old": row[0]},
            )
    return draft(images, draft_id) if row is None else draft_id


def stands(connection: Connection, run: Run, state: RunState, stage: Stage, **columns: Any) -> None:
    """Have the run stand there, with its stages before it done and these columns of its row."""
    over = state in {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
    values = {"state": state, "stage": stage, "next_attempt_at": None, **columns}
    names = ", ".join(f"{name} = %s" for name in values)
    connection.execute(
        f"UPDATE lora_training_jobs SET {names}, heartbeat_at = now(),"
        " completed_at = CASE WHEN %s THEN now() END WHERE id = %s",
        (*values.values(), over, run.id),
    )
    connection.execute("DELETE FROM training_stages WHERE run_id = %s", (run.id,))
    order = list(Stage)
    for one in order[: order.index(stage) + 1]:
        ended = "succeeded" if one is not stage or state is RunState.COMPLETED else None
        if one is stage and state in {RunState.FAILED, RunState.CANCELLED, RunState.NEEDS_ATTENTION}:
            ended = state
        connection.execute(
            "INSERT INTO training_stages (run_id, stage, started_at, ended_at, progress, outcome)"
            " VALUES (%s, %s, now() - interval '41 s', CASE WHEN %s THEN now() END, 40, %s)",
            (run.id, one, ended is not None, ended),
        )


def pictures(connection: Connection, run: Run, shows: Sequence[bool | None] = (None, None, None)) -> None:
    """Three test pictures, judged or not."""
    for n, word in enumerate(shows):
        connection.execute(
            "INSERT INTO training_calls (id, run_id, purpose, n, provider, state, prompt, url, path, bucket,"
            " shows, judged_by, ended_at) VALUES (%s, %s, 'picture', %s, 'fal', 'succeeded', %s, %s, %s,"
            " 'lora-validation', %s, %s, now())",
            (
                uuid.uuid4(),
                run.id,
                n,
                f"portrait photo of ada_v1, {n}",
                f"/files/lora-validation/{run.id}_{n}.jpg?sig=abc",
                f"{run.id}_{n}.jpg",
                word,
                "Ada" if word is not None else None,
            ),
        )


def lost(connection: Connection, run: Run) -> None:
    """A training whose answer was lost."""
    connection.execute(
        "INSERT INTO training_calls (id, run_id, purpose, provider, state, handle, submitted_at)"
        " VALUES (%s, %s, 'training', 'fal', 'unknown', %s, now() - interval '40 min')"
        " ON CONFLICT (run_id, purpose, n, round) DO UPDATE SET state = 'unknown'",
        (run.id, run.id, json.dumps({})),
    )
