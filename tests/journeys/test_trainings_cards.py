"""The test images of a published LoRA on its card: once they are judged, and no run fails for them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from core.errors import Conflict, NotAllowed
from core.trainings import policy, publishing, sampling, service
from core.trainings.models import Run, RunState
from tests.conftest import SANDBOX_KEY
from tests.journeys.training_world import STAFF, VIEWER, Trainings

LATER = timedelta(minutes=6)


def file_of(trainings: Trainings, run: Run, path: str) -> bytes | None:
    """A file of the LoRA's repository at the Hub; None where it has none of that name."""
    url = f"{trainings.world.sandbox.url}/hf/studio-ops/{publishing.repo_name(run)}/resolve/main/{path}"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {SANDBOX_KEY}"})
    return answer.content if answer.is_success else None


def due(trainings: Trainings, run_id: UUID) -> None:
    trainings.world.sql(
        "UPDATE lora_training_jobs SET card_due_at = now() - interval '1 s'"
        " WHERE id = %s AND card_due_at IS NOT NULL",
        run_id,
    )


def published(trainings: Trainings, run_id: UUID) -> Run:
    due(trainings, run_id)
    sampling.publish_due(trainings.tools)
    return trainings.run(run_id)


def test_what_shows_the_character_is_added_and_the_weights_stay(trainings: Trainings) -> None:
    made = trainings.completed(publish=True)
    assert (made.card_samples, made.card_due_at is not None) == (None, True)
    before = file_of(trainings, made, "README.md")
    assert before is not None
    assert b"samples/" not in before
    weights = file_of(trainings, made, "lora.safetensors")
    run = published(trainings, made.id)
    assert (run.state, run.card_samples, run.card_due_at, run.card_error) == ("completed", 2, None, None)
    card = (file_of(trainings, made, "README.md") or b"").decode()
    assert '"output": {"url": "samples/1.jpg"}' in card
    assert "](samples/2.jpg)" in card
    assert "samples/3" not in card
    assert (file_of(trainings, made, "samples/1.jpg") or b"").startswith(b"\xff\xd8")
    assert file_of(trainings, made, "samples/3.jpg") is None
    assert file_of(trainings, made, "lora.safetensors") == weights
    assert trainings.events(made.id)[-1] == "samples_published"
    assert "2 test images added to the card" in trainings.log(made.id)
    assert sampling.publish_due(trainings.tools) == 0


def test_the_same_again_changes_nothing(trainings: Trainings) -> None:
    made = trainings.completed(publish=True)
    published(trainings, made.id)
    [(commit,)] = trainings.world.sql(
        "SELECT huggingface_commit FROM lora_models WHERE id = %s", made.lora_id
    )
    service.publish_samples(STAFF, made.id, trainings.tools)
    run = published(trainings, made.id)
    assert (run.card_samples, run.card_error) == (2, None)
    assert trainings.world.sql("SELECT huggingface_commit FROM lora_models WHERE id = %s", made.lora_id) == [
        (commit,)
    ]


def test_a_hub_that_refuses_ends_no_run_and_a_person_tries_again(trainings: Trainings) -> None:
    made = trainings.completed(publish=True)
    trainings.world.sandbox.put("faults", publish_fails={"at": ["hub_commit"], "value": 403})
    run = published(trainings, made.id)
    assert (run.state, run.card_samples, run.card_due_at) == ("completed", None, None)
    assert run.card_error
    trainings.world.sandbox.put("faults")
    assert published(trainings, made.id).card_samples is None
    with pytest.raises(NotAllowed):
        service.publish_samples(VIEWER, made.id, trainings.tools)
    service.publish_samples(STAFF, made.id, trainings.tools)
    assert published(trainings, made.id).card_samples == 2


def test_a_hub_that_is_down_is_tried_again_by_itself_some_times(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MAX_TRIES", 2)
    made = trainings.completed(publish=True)
    trainings.world.sandbox.put("faults", publish_fails={"at": ["hub_commit"], "value": 503})
    assert published(trainings, made.id).card_due_at is not None
    run = published(trainings, made.id)
    assert (run.state, run.card_due_at, run.card_attempt) == ("completed", None, 2)


def test_a_worker_that_is_killed_is_followed_by_another(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainings.completed(publish=True)

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "_commit", die)
        due(trainings, made.id)
        with pytest.raises(Killed):
            sampling.publish_due(trainings.tools)
    assert sampling.publish_due(trainings.tools) == 0
    at = trainings.tools.clock()
    later = replace(trainings.tools, clock=lambda: at + LATER)
    assert sampling.publish_due(later) == 1
    assert trainings.run(made.id).card_samples == 2


def test_images_that_are_no_longer_kept_say_so(trainings: Trainings) -> None:
    made = trainings.completed(publish=True)
    trainings.world.sql("UPDATE training_calls SET path = NULL WHERE run_id = %s", made.id)
    assert published(trainings, made.id).card_error == "Its test images are no longer kept."


def test_without_a_hub_it_says_what_to_set(trainings: Trainings) -> None:
    made = trainings.completed(publish=True)
    due(trainings, made.id)
    sampling.publish_due(replace(trainings.tools, publisher=None))
    assert "HUGGINGFACE_API_TOKEN" in str(trainings.run(made.id).card_error)


def test_what_nobody_published_has_no_card(trainings: Trainings) -> None:
    made = trainings.completed()
    assert made.card_due_at is None
    assert sampling.publish_due(trainings.tools) == 0
    with pytest.raises(Conflict, match="was published"):
        service.publish_samples(STAFF, made.id, trainings.tools)
    going = trainings.launch(publish=True)
    trainings.settle(going.id, RunState.AWAITING_VERDICT)
    with pytest.raises(Conflict, match="Only a completed LoRA"):
        service.publish_samples(STAFF, going.id, trainings.tools)
