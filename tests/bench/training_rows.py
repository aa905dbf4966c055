"""Runs that stand at their training: really under way at the sandbox's trainers, with the rows that a launch
leaves once the trainer has taken the request."""

import itertools
import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from core import database, settings
from core.providers.training import Submission, TrainingRequest
from core.trainings import archive, pushing, tools, zips
from core.trainings.tools import Tools
from tests.bench.rig import Rig, until
from tests.journeys.training_world import photograph

TRAINERS = ("fal", "replicate", "runpod")
STEPS = 1000
# Longer than any measurement, shorter than any trainer's ceiling.
LASTS_S = 1800.0
RUN_WITHIN_S = 60.0
_DAY_AHEAD = "now() + interval '1 day'"

_LORAS = """
INSERT INTO lora_models (id, creator_key, creator_name, name, trigger_word, training_status, counted_at,
                         usage_count, created_at, updated_at)
SELECT id, 'bench:' || id, 'bench', 'LoRA ' || id, 'ada_v1', 'training', now(), 0, now(), now()
FROM unnest(%s::uuid[]) AS made(id)
"""
_RUNS = f"""
INSERT INTO lora_training_jobs (id, lora_model_id, creator_key, creator_name, state, stage, trainer, steps,
                                trigger_word, publish, images, request_key, zip_bucket, zip_path,
                                training_progress, next_attempt_at, heartbeat_at, started_at, created_at,
                                updated_at)
SELECT id, id, 'bench:' || id, 'bench', 'running', 'training', trainer, %s, 'ada_v1', false, 4,
       'bench:' || id, %s, %s, 60, {_DAY_AHEAD}, now(), now(), now(), now()
FROM unnest(%s::uuid[], %s::text[]) AS made(id, trainer)
"""
_CALLS = """
INSERT INTO training_calls (id, run_id, purpose, provider, state, tries, remote_id, handle, submitted_at,
                            accepted_at)
SELECT id, id, 'training', trainer, 'accepted', 1, remote_id, handle::jsonb, now(), now()
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS made(id, trainer, remote_id, handle)
"""
_STAGES = """
INSERT INTO training_stages (run_id, stage, started_at) SELECT id, 'training', now() FROM lora_training_jobs
"""


@dataclass(frozen=True)
class Begun:
    """A training that the trainer has taken."""

    id: UUID
    trainer: str
    submission: Submission


def seed(of: Rig, rows: int, answer_s: float) -> None:
    """So many runs, a third at each trainer, due in a day; the trainers answer every question so late."""
    of.sandbox(
        "PUT",
        "settings",
        {"training_seconds": LASTS_S, "training_start_seconds": 1, "trainings_at_once": rows, "jitter": 0},
    )
    with _outside(of) as outside:
        bucket, path = _zip(of, outside)

        def begin(trainer: str) -> Begun:
            return _begin(outside, trainer, outside.zip_link(bucket, path))

        with ThreadPoolExecutor(4) as pool:
            begun = list(pool.map(begin, itertools.islice(itertools.cycle(TRAINERS), rows)))
    ids, trainers = [one.id for one in begun], [one.trainer for one in begun]
    of.sql(_LORAS, ids)
    of.sql(_RUNS, STEPS, bucket, path, ids, trainers)
    handles = [json.dumps(dict(one.submission.handle)) for one in begun]
    of.sql(_CALLS, ids, trainers, [one.submission.remote_id for one in begun], handles)
    of.sql(_STAGES)
    of.sql("ANALYZE")
    until(lambda: _all_run(of), RUN_WITHIN_S, "the start of every training")
    late = {"at": [f"{trainer}_read" for trainer in TRAINERS], "value": answer_s}
    of.sandbox("PATCH", "faults", {"trainer_late": late})


def _all_run(of: Rig) -> bool:
    return all(one["stage"] == "running" for one in of.sandbox("GET", "trainings")["trainings"])


@contextmanager
def _outside(of: Rig) -> Iterator[Tools]:
    """The product's own way to the trainers, in this process."""
    os.environ.update(of.environment)
    settings.current.cache_clear()
    database.connect(of.database_url)
    found = tools.from_settings(settings.current())
    try:
        yield found
    finally:
        found.close()
        database.close()


def _zip(of: Rig, outside: Tools) -> tuple[str, str]:
    with TemporaryDirectory(dir=of.folder) as name:
        pictures = []
        for n in range(4):
            picture = Path(name) / f"{n}.jpg"
            picture.write_bytes(photograph(n, 128))
            pictures.append(picture)
        made = archive.write(pictures, Path(name) / "training.zip")
        stored = zips.store(made, len(pictures), "bench", outside.dataset.zips)
    return stored.bucket, stored.path


def _begin(outside: Tools, name: str, dataset_url: str) -> Begun:
    run_id, trainer = uuid.uuid4(), outside.trainers[name]
    request = TrainingRequest(
        run_id=run_id,
        dataset_url=dataset_url,
        images=4,
        trigger_word="ada_v1",
        steps=STEPS,
        learning_rate=Decimal("0.0001") if trainer.bounds.learning_rate else None,
        rank=16 if trainer.bounds.rank else None,
        webhook_url=outside.webhook_url(name, run_id),
        push=pushing.targets(run_id, outside) if name == "runpod" else None,
    )
    trainer.prepare(request)
    return Begun(run_id, name, trainer.submit(request))
