"""The models' bounds and prices, and a task's state as a function of the clock."""

import json
from typing import Any

import pytest

from core.sandbox.fault import Value
from core.sandbox.models import MODELS
from core.sandbox.tasks import Task, callback_body, generation_of, record, task_of_file

FLUX = {"prompt": "a lake", "aspect_ratio": "1:1", "resolution": "1K"}
EDIT = {**FLUX, "input_urls": ["https://example.com/a.png"]}
KLING = {"prompt": "a lake", "sound": False, "aspect_ratio": "16:9", "duration": "5"}
ANIMATE = {"prompt": "a lake", "sound": False, "duration": "5", "image_urls": ["https://example.com/a.png"]}


@pytest.mark.parametrize(
    ("model", "given", "complaint"),
    [
        ("flux-2/pro-text-to-image", FLUX, None),
        ("flux-2/pro-text-to-image", {**FLUX, "prompt": "abc"}, None),
        ("flux-2/pro-text-to-image", {**FLUX, "prompt": "ab"}, "prompt must be at least 3 characters"),
        ("flux-2/pro-text-to-image", {**FLUX, "prompt": "x" * 5000}, None),
        (
            "flux-2/pro-text-to-image",
            {**FLUX, "prompt": "x" * 5001},
            "prompt must not exceed 5000 characters",
        ),
        ("flux-2/pro-text-to-image", {**FLUX, "prompt": 7}, "prompt must be a string"),
        ("flux-2/pro-text-to-image", {"aspect_ratio": "1:1", "resolution": "1K"}, "prompt is required"),
        (
            "flux-2/pro-text-to-image",
            {**FLUX, "aspect_ratio": "5:1"},
            "aspect_ratio is not within the range of allowed options",
        ),
        ("flux-2/pro-text-to-image", {**FLUX, "resolution": None}, "resolution is required"),
        ("flux-2/pro-text-to-image", {**FLUX, "nsfw_checker": "yes"}, "nsfw_checker must be a boolean"),
        ("flux-2/pro-text-to-image", {**FLUX, "something_new": 1}, None),
        ("flux-2/pro-image-to-image", EDIT, None),
        ("flux-2/pro-image-to-image", FLUX, "input_urls is required"),
        (
            "flux-2/pro-image-to-image",
            {**EDIT, "input_urls": ["https://example.com/a.png"] * 9},
            "input_urls must contain between 1 and 8 URLs",
        ),
        (
            "flux-2/pro-image-to-image",
            {**EDIT, "input_urls": ["a.png"]},
            "input_urls must contain valid URLs",
        ),
        ("kling-2.6/text-to-video", KLING, None),
        (
            "kling-2.6/text-to-video",
            {**KLING, "prompt": "x" * 1001},
            "prompt must not exceed 1000 characters",
        ),
        ("kling-2.6/text-to-video", {**KLING, "sound": "true"}, "sound must be a boolean"),
        (
            "kling-2.6/text-to-video",
            {**KLING, "duration": 5},
            "duration is not within the range of allowed options",
        ),
        (
            "kling-2.6/text-to-video",
            {**KLING, "aspect_ratio": "4:3"},
            "aspect_ratio is not within the range of allowed options",
        ),
        ("kling-2.6/image-to-video", ANIMATE, None),
        (
            "kling-2.6/image-to-video",
            {**ANIMATE, "image_urls": []},
            "image_urls must contain between 1 and 1 URLs",
        ),
    ],
)
def test_inputs(model: str, given: dict[str, Any], complaint: str | None) -> None:
    assert MODELS[model].complaint(given) == complaint


@pytest.mark.parametrize(
    ("model", "given", "credits_"),
    [
        ("flux-2/pro-text-to-image", FLUX, 5),
        ("flux-2/pro-text-to-image", {**FLUX, "resolution": "2K"}, 7),
        ("flux-2/pro-image-to-image", EDIT, 5),
        ("kling-2.6/text-to-video", KLING, 55),
        ("kling-2.6/text-to-video", {**KLING, "sound": True}, 110),
        ("kling-2.6/text-to-video", {**KLING, "duration": "10"}, 110),
        ("kling-2.6/image-to-video", {**ANIMATE, "sound": True, "duration": "10"}, 220),
    ],
)
def test_prices(model: str, given: dict[str, Any], credits_: float) -> None:
    assert MODELS[model].price(given) == credits_


def _task(fate: dict[str, Value] | None = None, finish: int | None = 11_000, **changes: Any) -> Task:
    request = {
        "model": "kling-2.6/text-to-video",
        "callBackUrl": "http://127.0.0.1:1/cb?secret=s&generation=g-1",
        "input": KLING,
    }
    made = {"request": request, "credits": 55.0, "failure": None, **changes}
    return Task("task_" + "0" * 32, 1000, 10_000, finish, fate=fate or {}, marks=(), **made)


@pytest.mark.parametrize(
    ("now", "fate", "finish", "state", "progress"),
    [
        (1000, {}, 11_000, "waiting", 0),
        (2500, {}, 11_000, "queuing", 15),
        (6000, {}, 11_000, "generating", 50),
        (10_999, {}, 11_000, "generating", 99),
        (11_000, {}, 11_000, "success", 100),
        (99_000, {"stuck": None}, None, "generating", 99),
        (6000, {"unknown_state": "paused"}, None, "paused", 50),
        (7000, {"unknown_state": "paused"}, 7000, "success", 100),
    ],
)
def test_the_state_follows_the_clock(
    now: int, fate: dict[str, Value], finish: int | None, state: str, progress: int
) -> None:
    data = record(_task(fate, finish), now, lambda name: f"http://here/{name}")
    assert (data["state"], data["progress"]) == (state, progress)
    assert bool(data["resultJson"]) == (state == "success")
    assert data["completeTime"] == (finish if state == "success" else None)


def test_a_callback_differs_from_the_record_as_documented() -> None:
    task = _task()
    body = callback_body(task, 12_000, lambda name: f"http://here/{name}", 945.0)
    assert (body["code"], body["msg"]) == (200, "Playground task completed successfully.")
    data = body["data"]
    assert data["costTime"] == 10
    assert record(task, 12_000, str)["costTime"] == 10_000
    param = json.loads(data["param"])
    assert json.loads(param["input"]) == KLING
    assert json.loads(record(task, 12_000, str)["param"])["input"] == KLING
    assert (data["consumeCredits"], data["remainedCredits"]) == (55.0, 945.0)


def test_a_failure_costs_nothing_and_says_why() -> None:
    body = callback_body(_task(failure=("422", "unreadable")), 12_000, str, 1000.0)
    assert (body["code"], body["msg"]) == (501, "Playground task failed.")
    data = body["data"]
    assert (data["state"], data["failCode"], data["failMsg"]) == ("fail", "422", "unreadable")
    assert (data["creditsConsumed"], data["resultJson"]) == (0, None)


def test_the_record_stays_null_for_a_while_when_asked() -> None:
    task = _task({"record_null": 2.0})
    assert [task.visible(now) for now in (1000, 2999, 3000)] == [False, False, True]


@pytest.mark.parametrize(
    ("url", "generation"),
    [
        (None, None),
        ("", None),
        ("http://127.0.0.1/cb", None),
        ("http://127.0.0.1/cb?secret=x&generation=abc", "abc"),
        ("http://[bad/cb?generation=abc", None),
        ("http://127.0.0.1/cb?generation=\ud800", "?"),
    ],
)
def test_the_generation_is_read_from_the_callback_url(url: str | None, generation: str | None) -> None:
    assert generation_of(url) == generation


def test_file_names_lead_back_to_their_task() -> None:
    task = _task({"multi_result": 3})
    assert len(set(task.file_names)) == 3
    assert {task_of_file(name) for name in task.file_names} == {task.id}
