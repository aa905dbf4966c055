"""kill -9 over a generation that is made with a LoRA: one paid first frame, one paid generation, one use."""

import json
import os
import uuid
from datetime import timedelta

import pytest

from core import access
from core.deliveries import service, tools
from core.deliveries.models import Generation
from tests.crash.stage import Stage, until

MODEL = "kling-2.6/text-to-video"
# At which step a worker dies, of the frame or of the generation itself, and where that leaves the generation.
OF_FRAME = {
    "place reserved": "intent",
    "request accepted at fal": "intent",
    "result noted": "intent",
    "file in place": "intent",
    "delivery recorded": "intent",
    "frame not handed over": "intent",
}
OF_GENERATION = {
    "lease taken": "intent",
    "frame handed over": "intent",
    "place reserved": "intent",
    "request accepted": "sending",
    "file in place": "awaiting_delivery",
}


def lora(stage: Stage) -> uuid.UUID:
    """A LoRA whose weights lie in storage."""
    lora_id = uuid.uuid4()
    path = f"studio-ops/{lora_id}.safetensors"
    head = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    with tools.current().storage.upload("lora-models") as upload:
        upload.write(len(head).to_bytes(8, "little") + head)
        upload.commit(path, "application/octet-stream")
    stage.sql(
        "INSERT INTO lora_models (id, name, trigger_word, training_status, storage_path, storage_url,"
        " file_size) VALUES (%(id)s, %(name)s, 'ada_v1', 'completed', %(path)s, %(path)s, 60)",
        id=lora_id,
        name=f"Ada {lora_id}",
        path=path,
    )
    return lora_id


def begin(of: uuid.UUID) -> Generation:
    wanted = service.NewGeneration(
        MODEL, {"prompt": "ada_v1 at sea"}, request_key=os.urandom(8).hex(), lora_id=of
    )
    return service.create(access.command_line("crash test"), wanted, tools.current())


@pytest.fixture(scope="module")
def aftermath(stage: Stage) -> dict[str, Generation]:
    """The generation of each death, after an ordinary worker and clock have worked on all that was left."""
    tools.current.cache_clear()
    stage.sandbox.put("settings", video_seconds=0.2, lora_image_seconds=0.2)
    stage.fork(*stage.web())
    stage.web_answers()
    ada = lora(stage)
    found: dict[str, Generation] = {}
    for whose, steps in (("frame", OF_FRAME), ("generation", OF_GENERATION)):
        for step, state in steps.items():
            made = found[f"{whose}: {step}"] = begin(ada)
            victim = made.frame_id if whose == "frame" else made.id
            stage.halting(step, "kill", str(victim), "jobs", "worker").dies()
            assert stage.state(str(made.id)) == state, step
    stage.called_back(str(found["frame: request accepted at fal"].frame_id))
    stage.called_back(str(found["generation: request accepted"].id))
    stage.time_passes(timedelta(minutes=2))
    stage.fork("jobs", "worker")
    stage.fork("jobs", "clock")
    ids = [str(made.id) for made in found.values()]
    until(lambda: stage.states(ids) == {"delivered"}, what="the end of every delivery")
    return found


@pytest.mark.parametrize(
    "death", [*(f"frame: {step}" for step in OF_FRAME), *(f"generation: {step}" for step in OF_GENERATION)]
)
def test_a_worker_killed(stage: Stage, aftermath: dict[str, Generation], death: str) -> None:
    made = aftermath[death]
    stage.assert_delivered_once(str(made.id))
    frame = stage.facts(str(made.frame_id))
    assert (frame.state, len(frame.files), frame.cost_lines) == ("delivered", 1, 1)
    paid = [one for one in stage.sandbox.get("trainings")["trainings"] if one["run"] == str(made.frame_id)]
    assert len(paid) == 1
    assert stage.events(str(made.id)).count("frame_ready") == 1


def test_each_use_was_counted_once(stage: Stage, aftermath: dict[str, Generation]) -> None:
    ids = {made.lora_id for made in aftermath.values()}
    [(count, uses)] = stage.sql(
        "SELECT l.usage_count, (SELECT count(*) FROM lora_uses u WHERE u.lora_model_id = l.id)"
        " FROM lora_models l WHERE l.id = ANY(%(ids)s)",
        ids=[*ids],
    )
    assert count == uses == len(aftermath)
