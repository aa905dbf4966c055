"""Whatever is asked of a training that cannot be: a sentence that says what to do, and no money spent."""

import io
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.errors import InvalidInput, StudioOpsError
from core.trainings import dataset, service
from core.trainings.images import Verdict
from core.trainings.launch_rules import SettingsNeeded
from tests.journeys.training_world import STAFF, Trainings, photograph
from tests.unit.photographs import bomb, rotated
from tests.unit.photographs import photograph as photographed


def untouched(trainings: Trainings, wish: Any) -> bool:
    """Whether nothing of it was written, reserved or sent."""
    written = trainings.world.sql("SELECT 1 FROM lora_models WHERE id = %s", wish.draft_id)
    runs = trainings.world.sql("SELECT 1 FROM lora_training_jobs WHERE request_key = %s", wish.request_key)
    sent = [
        call for kind in ("fal", "replicate", "runpod") for call in trainings.world.calls(f"{kind}_submit")
    ]
    return not written and not runs and not sent and trainings.reserved() == 0


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"name": ""}, InvalidInput, "1 to 255 characters"),
        ({"name": "n" * 300}, InvalidInput, "1 to 255 characters"),
        ({"name": "Ada\x00"}, InvalidInput, "Type it instead of pasting it"),
        ({"name": "Ada\nBo"}, InvalidInput, "Type it instead of pasting it"),
        ({"trigger_word": "ada v1"}, InvalidInput, "such as “ada_v1”"),
        ({"trigger_word": "woman"}, InvalidInput, "Choose a word that nobody writes"),
        ({"steps": 1_000_000}, InvalidInput, "100 to 6,000 steps"),
        ({"trainer": "nobody"}, SettingsNeeded, "Choose another trainer"),
    ],
)  # fmt: skip
def test_a_wish_that_no_rule_allows(
    trainings: Trainings, changes: dict[str, Any], error: type[StudioOpsError], says: str
) -> None:
    wish = trainings.wish(**changes)
    with pytest.raises(error, match=says):
        service.launch(STAFF, wish, trainings.tools)
    assert untouched(trainings, wish)


@pytest.mark.parametrize("name", ["Ada 👩‍🚀 “the keeper”", "O'Hara\"; DROP TABLE lora_models;--", "アダ <b>"])
def test_a_strange_name_is_a_name(trainings: Trainings, name: str) -> None:
    made = trainings.launch(name=name)
    assert trainings.run(made.id).lora_name == name


@pytest.mark.parametrize(("images", "says"), [(2, "Add 2 more"), (13, "Take 1 away")])
def test_too_few_and_too_many_images(trainings: Trainings, images: int, says: str) -> None:
    wish = trainings.wish(draft_id=trainings.draft(pictures=images))
    with pytest.raises(InvalidInput, match=says) as refused:
        service.launch(STAFF, wish, trainings.tools)
    assert refused.value.field == "images"
    assert untouched(trainings, wish)


def _zip_bomb() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(50_000_000))
    return kept.getvalue()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"no image at all " * 40, "Add the image itself"),
        (bomb, "Save it with at most"),
        (_zip_bomb, "Unpack it"),
        (lambda: photograph(1)[:2000], "add it anew"),
        (lambda: photograph(1, 200), "Take a larger one"),
        (lambda: b"", "Choose it again"),
    ],
    ids=["a text", "20,000 × 20,000", "a zip bomb", "cut off", "tiny", "empty"],
)
def test_a_file_that_no_training_can_use_is_left_out(
    trainings: Trainings, make: Callable[[], bytes], says: str
) -> None:
    wish = trainings.wish(draft_id=uuid.uuid4())
    dataset.add_files(
        STAFF, wish.draft_id, [dataset.NewFile("ada.jpg", io.BytesIO(make()))], trainings.tools.dataset
    )
    [image] = dataset.sheet(STAFF, wish.draft_id).images
    assert image.verdict is Verdict.REFUSED
    assert says in " ".join(image.reasons)
    with pytest.raises(InvalidInput, match="There is no image yet"):
        service.launch(STAFF, wish, trainings.tools)
    assert untouched(trainings, wish)


def test_a_phones_photograph_is_trained_on_upright(trainings: Trainings) -> None:
    draft_id = trainings.draft()
    lying = rotated(6, photographed(99, 900, 600))
    dataset.add_files(
        STAFF, draft_id, [dataset.NewFile("phone.jpg", io.BytesIO(lying))], trainings.tools.dataset
    )
    image = dataset.sheet(STAFF, draft_id).images[-1]
    assert (image.verdict, image.width, image.height) == (Verdict.CONVERTED, 600, 900)
    assert "turned upright" in " ".join(image.reasons)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.7/ada.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:5432/ada.jpg",
        "https://[::1]/ada.jpg",
        "file:///etc/passwd",
    ],
)
def test_a_private_address_is_never_asked(trainings: Trainings, url: str) -> None:
    added = dataset.add_urls(STAFF, uuid.uuid4(), [url], trainings.tools.dataset)
    assert added.images == ()
    [note] = added.notes
    assert note.startswith("Address 1 (")
    assert note.endswith("download the image yourself and add the file.")


def test_a_missing_key_is_named_and_begins_nothing(trainings: Trainings) -> None:
    wish = trainings.wish()
    without = replace(trainings.tools, trainers={}, missing={"fal": "FAL_KEY is not set. Set it."})
    with pytest.raises(SettingsNeeded, match="FAL_KEY is not set"):
        service.launch(STAFF, wish, without)
    assert untouched(trainings, wish)


@pytest.mark.parametrize(
    ("status", "category", "says"),
    [
        (401, "authentication", "Check FAL_KEY"),
        (402, "authentication", "Top up the account"),
        (422, "validation", "Correct it"),
    ],
)
def test_what_the_provider_refuses_ends_the_run_with_its_money_back(
    trainings: Trainings, status: int, category: str, says: str
) -> None:
    trainings.world.sandbox.put("faults", trainer_error={"at": ["fal_submit"], "value": status})
    made = trainings.launch()
    ended = trainings.settle(made.id)
    assert (ended.state, ended.failure_category) == ("failed", category)
    assert says in str(ended.error_message)
    assert ended.next_action
    assert trainings.paid(made.id) == []
    assert trainings.reserved() == 0


def test_a_web_page_for_an_answer_is_a_lost_one_and_never_asked_for_twice(trainings: Trainings) -> None:
    trainings.world.sandbox.put("faults", trainer_html={"at": ["fal_submit"]})
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    trainings.age(made.id, "31 min")
    waits = trainings.step(made.id)
    assert waits.state == "needs_attention"
    assert "Look at fal's own list" in str(waits.next_action)
    assert len(trainings.world.calls("fal_submit")) == 1
    assert trainings.paid(made.id) == []
