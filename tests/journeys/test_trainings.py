"""A training from its launch to a completed LoRA, over real HTTP."""

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from core.errors import StorageError
from core.trainings import detail, service
from core.trainings.models import RunState, Stage
from tests.journeys.training_world import STAFF, Trainings


def test_from_launch_to_a_completed_lora(trainings: Trainings) -> None:
    made = trainings.launch(name="Ada of the lighthouse", description="a keeper")
    assert (made.state, made.stage) == ("running", "initializing")
    waiting = trainings.settle(made.id, RunState.AWAITING_VERDICT)
    assert waiting.stage == "validation"
    trainings.judge(made.id, True, False, True)
    done = trainings.settle(made.id, RunState.COMPLETED)
    assert (done.progress, done.error_message, done.reservation_key) == (100, None, None)
    [lora] = trainings.world.sql(
        "SELECT training_status, storage_path, file_size, validation_passed, training_cost,"
        " validation_image_urls, completed_at FROM lora_models WHERE id = %s",
        made.lora_id,
    )
    assert (lora.training_status, lora.validation_passed) == ("completed", True)
    assert lora.storage_path == f"studio-ops/{made.lora_id}/{str(done.weights_sha256)[:16]}.safetensors"
    reader = trainings.tools.storage.open("lora-models", lora.storage_path)
    content = b"".join(reader.chunks())
    assert hashlib.sha256(content).hexdigest() == done.weights_sha256
    assert len(lora.validation_image_urls) == 3
    kinds = [one["kind"] for one in trainings.paid(made.id)]
    assert sorted(kinds) == ["image", "image", "image", "training"]
    ledger = trainings.ledger(made.id)
    assert ledger == {
        "reserve": Decimal("2.1050"),
        "settle": Decimal("2.1050"),
        "release": Decimal("-2.1050"),
    }
    assert lora.training_cost == Decimal("2.1050")
    assert trainings.reserved() == 0
    seen = detail.of_run(STAFF, made.id, trainings.tools)
    assert [stage.state for stage in seen.stages] == [
        "succeeded", "succeeded", "succeeded", "succeeded", "skipped", "succeeded", "succeeded",
    ]  # fmt: skip
    assert "step 1000/1000" in trainings.log(made.id)
    said = trainings.log(made.id).splitlines()
    assert [line.split(":")[0] for line in said if line.startswith("image ")] == [
        f"image {n} of 4" for n in range(1, 5)
    ]
    assert "KB, given as a file" in said[said.index(f"{Stage.INITIALIZING.label}: done") + 1]


def test_what_a_run_did_stands_stage_by_stage(trainings: Trainings) -> None:
    """Start, end, progress, attempts and error of each stage, and every step on the timeline."""
    trainings.world.sandbox.put("faults", weights_break_off={"at": ["weights"], "times": 1})
    made = trainings.launch()
    trainings.at(made.id, "validation")
    trainings.world.sandbox.put("faults")
    stages = {stage.stage: stage for stage in detail.of_run(STAFF, made.id, trainings.tools).stages}
    begun = [stage for stage in stages.values() if stage.started_at]
    assert [stage.stage for stage in begun] == [
        "initializing", "zip_creation", "training", "storing", "validation",
    ]  # fmt: skip
    assert all(stage.ended_at and stage.progress == 100 for stage in begun[:-1])
    storing = stages[Stage.STORING]
    assert (storing.attempts, storing.state, begun[-1].state) == (2, "succeeded", "running")
    assert [stage.attempts for stage in begun if stage.stage != "storing"] == [1, 1, 1, 1]
    order = ["launched", "zip_stored", "submitted", "accepted", "settled", "retried", "weights_stored"]
    kinds = [kind for kind in trainings.events(made.id) if kind in order]
    assert list(dict.fromkeys(kinds)) == order
    assert kinds.count("submitted") == 1


def test_a_zip_that_cannot_be_stored_ends_the_run_unpaid_and_is_resumed_there(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seven images as no other test has them: a ZIP of the same would lie there already.
    made = trainings.launch(draft_id=trainings.draft(pictures=7))

    def full(bucket: str) -> Any:
        raise StorageError("Our storage is full. Make room.", retryable=False)

    with monkeypatch.context() as patch:
        patch.setattr(trainings.tools.dataset.zips, "upload", full)
        ended = trainings.settle(made.id)
    assert (ended.state, ended.stage, ended.failure_category) == ("failed", "zip_creation", "file_error")
    assert "Make room" in str(ended.error_message)
    assert "nothing was paid" in str(ended.next_action)
    assert trainings.paid(made.id) == []
    assert trainings.reserved() == 0
    assert service.resume(STAFF, made.id, trainings.tools).stage == "zip_creation"
    assert trainings.at(made.id, "storing").error_message is None
