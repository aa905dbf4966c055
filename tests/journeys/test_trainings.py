"""A training from its launch to a completed LoRA, over real HTTP."""

import hashlib
from decimal import Decimal

from core.trainings import detail
from core.trainings.models import RunState
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
