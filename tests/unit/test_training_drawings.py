"""What a generated image is asked for, and where a drawing stands: tables of pure rules."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core.providers import catalogue
from core.providers.contract import ProviderState, TaskRecord
from core.trainings import drawings
from core.trainings.drawing import names
from core.trainings.drawings import VIEWS, Drawing
from core.trainings.models import CallState

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
ONE = UUID("11111111-2222-4333-8444-555555555555")
DRAWING = Drawing(
    id=ONE, lora_model_id=ONE, batch=1, n=0, owner="ada", asked_by="Ada", provider="kie",
    model=drawings.FROM_IMAGES, view="close-up", prompt="a prompt", from_images=(1, 2), after_id=None,
    reservation_key="k", state=CallState.INTENT, tries=0, attempt=0, remote_id=None, created_at=NOW,
    submitted_at=None, accepted_at=None, next_attempt_at=NOW, lease_token=None, result_url=None, image_n=None,
    failure_words=None, cost_usd=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({}, "under way"),
        ({"state": CallState.SENDING}, "under way"),
        ({"state": CallState.ACCEPTED}, "under way"),
        ({"state": CallState.SUCCEEDED}, "under way"),
        ({"state": CallState.SUCCEEDED, "next_attempt_at": None}, "stuck"),
        ({"state": CallState.SUCCEEDED, "image_n": 4, "next_attempt_at": None}, "there"),
        ({"state": CallState.UNKNOWN, "next_attempt_at": None}, "stuck"),
        ({"state": CallState.FAILED, "next_attempt_at": None}, "failed"),
        ({"state": CallState.NOT_SENT, "next_attempt_at": None}, "failed"),
        ({"state": CallState.CANCELLED, "next_attempt_at": None}, "failed"),
    ],
)
def test_where_a_drawing_stands(changes: dict[str, Any], stands: str) -> None:
    one = replace(DRAWING, **changes)
    expected = {"under way": stands == "under way", "stuck": stands == "stuck", "failed": stands == "failed"}
    assert {"under way": one.under_way, "stuck": one.is_stuck, "failed": one.failed} == expected
    assert one.is_open is (stands in {"under way", "stuck"})


@pytest.mark.parametrize("state", CallState)
def test_every_state_has_its_place(state: CallState) -> None:
    one = replace(DRAWING, state=state)
    assert sum((one.under_way, one.is_stuck, one.failed)) == 1


@pytest.mark.parametrize(
    ("description", "from_images", "prompt"),
    [
        ("A keeper of forty. ", False, "A keeper of forty. Close-up portrait, "),
        ("A keeper of forty.", True, "Close-up portrait, looking into the camera"),
        ("", True, "Close-up portrait, looking into the camera"),
    ],
)
def test_the_prompt_has_the_view_and_the_character(description: str, from_images: bool, prompt: str) -> None:
    found = drawings.prompt_of(description, VIEWS[0], from_images=from_images)
    assert found.startswith(prompt)
    assert ("reference images" in found) is from_images
    assert "keeper" in found or not description
    assert ".." not in found
    assert found.endswith(".")


def test_a_prompt_of_the_longest_description_fits_the_models() -> None:
    for model, from_images in ((drawings.FROM_WORDS, False), (drawings.FROM_IMAGES, True)):
        for view in VIEWS:
            prompt = drawings.prompt_of("x" * 2000, view, from_images=from_images)
            given = {"prompt": prompt, **drawings.SIZE} | (
                {"input_urls": ["https://a.example/1"]} if from_images else {}
            )
            assert catalogue.validate(model, given)["prompt"] == prompt


def test_views_go_on_where_the_last_ones_ended() -> None:
    first, then = drawings.views_for(6, 0), drawings.views_for(3, 6)
    assert [view.name for view in (*first, *then)] == [view.name for view in (*VIEWS, VIEWS[0])]
    assert len({view.name for view in VIEWS}) == len(VIEWS)


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        (f"https://ops.example.com/api/kie/images/callback?secret=s&image={ONE}", True),
        ("https://ops.example.com/api/kie/images/callback?image=22222222-2222-4333-8444-555555555555", False),
        (f"https://ops.example.com/api/kie/callback?generation={ONE}", False),
        ("https://[", False),
        (None, False),
    ],
)
def test_a_record_is_ours_by_the_address_that_it_was_asked_for_with(url: str | None, ours: bool) -> None:
    assert names(TaskRecord("t", ProviderState.SUCCESS, callback_url=url), ONE) is ours
