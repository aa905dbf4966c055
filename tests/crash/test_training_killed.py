"""kill -9 at every boundary of a training's stages: one paid training, one file, one settlement.

One run; one worker after the other dies over it, each at its step. Then an ordinary one finishes it.
"""

from collections.abc import Iterator

import pytest

from core.trainings import service, tools
from core.trainings.models import Run
from tests.crash.stage import Stage, until
from tests.crash.steps import ANY
from tests.crash.training_stage import ACTOR, launch, row, time_passes

STEPS = ("zip in place", "training accepted", "weights in place", "pictures shown")


@pytest.fixture(scope="module")
def survivor(stage: Stage) -> Iterator[Run]:
    """The run, after a worker has died at each of its steps."""
    tools.current.cache_clear()
    stage.sandbox.put("settings", training_seconds=0.5, lora_image_seconds=0.2)
    stage.fork(*stage.web())
    stage.web_answers()
    made = launch()
    for step in STEPS:
        stage.halting(step, "kill", ANY, "jobs", "worker").dies()
        if step == "training accepted":
            until(lambda: stage.sql("SELECT 1 FROM training_webhooks WHERE run_id = %(id)s", id=made.id))
        time_passes(stage, made.id)
    worker = stage.fork("jobs", "worker")
    stage.fork("jobs", "clock")
    until(lambda: row(made.id).state == "awaiting_verdict", what="the test pictures")
    stage.stop(worker)
    for n in range(3):
        service.judge(ACTOR, made.id, n, tools.current(), shows=True)
    stage.halting("completing", "kill", ANY, "jobs", "worker").dies()
    time_passes(stage, made.id)
    stage.fork("jobs", "worker")
    until(lambda: row(made.id).state == "completed", what="its completion")
    yield row(made.id)
    tools.current().close()
    tools.current.cache_clear()


def test_one_training_and_three_pictures_were_paid(stage: Stage, survivor: Run) -> None:
    paid = stage.sandbox.get("trainings")["trainings"]
    assert sorted(one["kind"] for one in paid) == ["image"] * 3 + ["training"]


def test_one_file_and_one_settlement(stage: Stage, survivor: Run) -> None:
    stored = tools.current().storage.find("lora-models", "studio-ops/")
    assert [info.path for info in stored] == [survivor.weights_path]
    [(trainings, pictures, left)] = stage.sql(
        "SELECT count(*) FILTER (WHERE kind = 'settle' AND stage = 'training'),"
        " count(*) FILTER (WHERE kind = 'settle' AND stage = 'validation'),"
        " sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release'))"
        " FROM job_costs WHERE run_id = %(id)s",
        id=survivor.id,
    )
    assert (trainings, pictures, left) == (1, 3, 0)


def test_every_stage_went_on_where_it_stood(stage: Stage, survivor: Run) -> None:
    stages = stage.sql(
        "SELECT stage, outcome FROM training_stages WHERE run_id = %(id)s ORDER BY started_at", id=survivor.id
    )
    assert [tuple(one) for one in stages] == [
        ("initializing", "succeeded"),
        ("zip_creation", "succeeded"),
        ("training", "succeeded"),
        ("storing", "succeeded"),
        ("validation", "succeeded"),
        ("completion", "succeeded"),
    ]
