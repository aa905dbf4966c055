"""What plays with killed processes do with trainings: a launch, the row, and time that passes for it."""

import io
import os
import uuid
from datetime import timedelta
from typing import Any
from uuid import UUID

from core import access, database
from core.access import Actor
from core.trainings import dataset, moving, service, tools
from core.trainings.models import Launch, Run
from core.trainings.repository import find
from tests.crash.stage import Stage
from tests.journeys.training_world import photograph

ACTOR = access.command_line("crash test")


def row(run_id: UUID) -> Run:
    """The run as it stands."""
    with database.reading() as connection:
        found = find(connection, run_id)
    assert found is not None
    return found


def draft(actor: Actor = ACTOR) -> UUID:
    """Four pictures that may become a training."""
    made = uuid.uuid4()
    files = [dataset.NewFile(f"{n}.jpg", io.BytesIO(photograph(n))) for n in range(4)]
    dataset.add_files(actor, made, files, tools.current().dataset)
    return made


def launch(actor: Actor = ACTOR, pictures: UUID | None = None, **changes: Any) -> Run:
    """A training of 1000 steps at fal; with `changes`."""
    values: dict[str, Any] = {"name": "Ada", "trigger_word": "ada_v1", "trainer": "fal", "steps": 1000}
    wish = Launch(request_key=os.urandom(8).hex(), draft_id=pictures or draft(actor), **{**values, **changes})
    return service.launch(actor, wish, tools.current())


def time_passes(stage: Stage, run_id: UUID) -> None:
    """Leases and pauses run out, and the next worker finds a job."""
    stage.time_passes(timedelta(minutes=2))
    stage.sql(
        "UPDATE lora_training_jobs SET lease_until = lease_until - interval '2 min',"
        " next_attempt_at = now() - interval '1 s' WHERE id = %(id)s AND next_attempt_at IS NOT NULL",
        id=run_id,
    )
    with database.transaction() as connection:
        moving.enqueue(connection, run_id)
