"""One contract over every provider: KIE's client over recorded answers and over the sandbox.

The sandbox runs in both styles that KIE's documents describe: errors in an HTTP 200 and errors with
their own status.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError
from core.providers.contract import GenerationProvider, ProviderState, TaskRecord
from core.providers.kie import KieClient
from core.providers.registry import PROVIDERS
from tests.conftest import SANDBOX_KEY, Sandbox
from tests.providers.conftest import CALLBACK_SECRET, FakeKie

IMAGE, VIDEO = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"
CALLBACK = f"http://127.0.0.1:1/api/kie/callback?secret={CALLBACK_SECRET}&generation=g1"
RECORDED_TASK = "281e5b0f39b9b1d8a3c2f7e6d5c4b3a2"
INPUTS: dict[str, dict[str, Any]] = {
    IMAGE: {"prompt": "a lake at dawn", "aspect_ratio": "1:1", "resolution": "1K"},
    VIDEO: {"prompt": "a lake at dawn", "aspect_ratio": "1:1", "sound": False, "duration": "5"},
}


@dataclass
class World:
    """A provider, and ways to bring its other side into a situation.

    `task(situation)` gives the id of a task that is in it, `creates_meet(fault)` makes the creates to
    come meet it, `begun()` counts the tasks that the other side began.
    """

    name: str
    provider: GenerationProvider
    stranger: GenerationProvider
    task: Callable[[str], str]
    creates_meet: Callable[[str], None]
    begun: Callable[[], int]


_RECORDED_TASKS = {
    "running": "kie_record_generating",
    "image": "kie_record_success_image",
    "video": "kie_record_success_video",
    "empty": "kie_record_success_empty",
    "failed": "kie_record_fail",
    "unknown word": "kie_record_unknown_state",
    "unknown task": "kie_record_null_as_200",
}
_RECORDED_CREATES: dict[str, str | httpx.Response | Exception] = {
    "rate limit": "kie_rate_limited_as_200",
    "maintenance": "kie_maintenance_as_455",
    "server error": "kie_gateway_page",
    "lost answer": httpx.RemoteProtocolError("Server disconnected without sending a response."),
}
_MARKERS = {
    "running": "[[fault:stuck]]",
    "image": "",
    "video": "[[fault:multi_result=2]]",
    "empty": "[[fault:empty_result]]",
    "failed": "[[fault:provider_fail=422]]",
    "unknown word": "[[fault:unknown_state=moderating]]",
}
_RULES: dict[str, dict[str, Any]] = {
    "rate limit": {"rate_limited": True},
    "maintenance": {"error_in_200": {"value": 455, "at": ["create"]}},
    "server error": {"accepted_then_error": {"value": 502}},
    "lost answer": {"answer_lost": True},
}


@pytest.fixture
def recorded(kie: FakeKie) -> Iterator[World]:
    stranger = FakeKie().answers("kie_bad_key_as_200")

    def task(situation: str) -> str:
        kie.answers(_RECORDED_TASKS[situation])
        return RECORDED_TASK

    def creates_meet(fault: str) -> None:
        kie.answers(_RECORDED_CREATES[fault])

    yield World(
        "recorded",
        kie.client,
        stranger.client,
        task,
        creates_meet,
        lambda: len(kie.requests),
    )
    stranger.client.close()


def _over_sandbox(sandbox: Sandbox, style: str) -> Iterator[World]:
    sandbox.put("settings", status_style=style, image_seconds=0, video_seconds=0)
    provider = KieClient(SANDBOX_KEY, base_url=sandbox.url, secrets=(CALLBACK_SECRET,))
    stranger = KieClient("a-key-of-nobody", base_url=sandbox.url)

    def task(situation: str) -> str:
        if situation == "unknown task":
            return "task_" + "0" * 32
        model = VIDEO if situation == "video" else IMAGE
        prompt = INPUTS[model]["prompt"] + _MARKERS[situation]
        return provider.create(model, {**INPUTS[model], "prompt": prompt}, CALLBACK)

    yield World(
        f"sandbox, {style}",
        provider,
        stranger,
        task,
        lambda fault: sandbox.put("faults", **_RULES[fault]),
        lambda: int(sandbox.get("stats")["tasks"]["paid"]),
    )
    provider.close()
    stranger.close()


@pytest.fixture(params=["recorded", "sandbox, body", "sandbox, http"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "recorded":
        yield request.getfixturevalue("recorded")
    else:
        yield from _over_sandbox(request.getfixturevalue("sandbox"), request.param.rpartition(" ")[2])


def settled(world: World, task_id: str, state: ProviderState) -> TaskRecord:
    """The task's record once it is in `state`."""
    deadline = time.monotonic() + 10
    while (record := world.provider.record(task_id)).state is not state:
        assert time.monotonic() < deadline, f"still {record.state_word!r}"
        time.sleep(0.01)
    return record


def test_every_provider_is_under_this_contract() -> None:
    assert set(PROVIDERS) == {"kie"}


def test_create_gives_an_id(world: World) -> None:
    task_id = world.provider.create(IMAGE, INPUTS[IMAGE], CALLBACK)
    assert task_id
    assert task_id.isprintable()
    assert world.begun() == 1


@pytest.mark.parametrize(
    ("fault", "category", "retryable"),
    [
        ("rate limit", ErrorCategory.RATE_LIMIT, True),
        ("maintenance", ErrorCategory.SERVICE_ERROR, True),
    ],
)
def test_a_refused_create(world: World, fault: str, category: ErrorCategory, retryable: bool) -> None:
    world.creates_meet(fault)
    with pytest.raises(ProviderError) as caught:
        world.provider.create(IMAGE, INPUTS[IMAGE], CALLBACK)
    error = caught.value
    assert (error.refused, error.category, error.retryable) == (True, category, retryable)
    assert error.words


@pytest.mark.parametrize("fault", ["server error", "lost answer"])
def test_a_create_with_unknown_outcome_is_sent_once(world: World, fault: str) -> None:
    world.creates_meet(fault)
    with pytest.raises(ProviderError) as caught:
        world.provider.create(IMAGE, INPUTS[IMAGE], CALLBACK)
    assert (caught.value.sent, caught.value.refused, caught.value.retryable) == (True, False, False)
    assert world.begun() == 1


def test_a_stranger_is_refused_everywhere(world: World) -> None:
    calls: list[Callable[[], object]] = [
        lambda: world.stranger.create(IMAGE, INPUTS[IMAGE], CALLBACK),
        lambda: world.stranger.record(RECORDED_TASK),
        lambda: world.stranger.fresh_url("https://tempfile.aiquickdraw.com/a.jpg"),
        world.stranger.credit,
    ]
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            call()
        error = caught.value
        assert (error.category, error.refused) == (ErrorCategory.AUTHENTICATION, True)
        assert not error.retryable


def test_a_running_task(world: World) -> None:
    task_id = world.task("running")
    record = settled(world, task_id, ProviderState.GENERATING)
    assert record.task_id == task_id
    assert (record.result_urls, record.result_problem, record.completed_at) == ((), None, None)
    assert not record.state.is_final


@pytest.mark.parametrize(("situation", "model", "count"), [("image", IMAGE, 1), ("video", VIDEO, 2)])
def test_a_finished_task(world: World, situation: str, model: str, count: int) -> None:
    record = settled(world, world.task(situation), ProviderState.SUCCESS)
    assert record.model == model
    assert len(record.result_urls) == count
    assert all("://" in url for url in record.result_urls)
    assert record.result_problem is None
    assert record.created_at is not None
    assert record.completed_at is not None
    assert record.created_at <= record.completed_at
    assert record.credits_consumed is not None
    assert record.credits_consumed > 0
    assert record.state.is_final


def test_the_callback_url_comes_back_and_its_secret_stays_in(world: World) -> None:
    record = settled(world, world.task("image"), ProviderState.SUCCESS)
    assert record.callback_url is not None
    assert f"secret={CALLBACK_SECRET}&generation=" in record.callback_url
    assert CALLBACK_SECRET not in json.dumps(dict(record.raw))
    assert CALLBACK_SECRET not in repr(record)


def test_success_without_a_result_is_a_named_problem(world: World) -> None:
    record = settled(world, world.task("empty"), ProviderState.SUCCESS)
    assert record.result_urls == ()
    assert record.result_problem is not None
    assert "without a result" in record.result_problem


def test_a_failed_task(world: World) -> None:
    record = settled(world, world.task("failed"), ProviderState.FAIL)
    assert (record.fail_code, record.fail_category) == ("422", ErrorCategory.VALIDATION)
    assert record.fail_message
    assert record.result_urls == ()


def test_a_word_nobody_knows_is_unknown_and_kept(world: World) -> None:
    record = settled(world, world.task("unknown word"), ProviderState.UNKNOWN)
    assert record.state_word == "moderating"
    assert not record.state.is_final


def test_an_unknown_task_is_a_record_not_an_error(world: World) -> None:
    record = world.provider.record(world.task("unknown task"))
    assert record.state is ProviderState.NOT_FOUND
    assert not record.state.is_final
    assert record.fail_message == "recordInfo is null"


def test_reading_changes_nothing(world: World) -> None:
    task_id = world.task("image")
    first = settled(world, task_id, ProviderState.SUCCESS)
    assert world.provider.record(task_id) == first


@pytest.mark.parametrize("task_id", ["", "two words", "x" * 201])
def test_a_malformed_id(world: World, task_id: str) -> None:
    with pytest.raises(InvalidInput):
        world.provider.record(task_id)


def test_a_fresh_url_only_for_the_providers_own(world: World, request: pytest.FixtureRequest) -> None:
    (url,) = settled(world, world.task("image"), ProviderState.SUCCESS).result_urls
    if world.name == "recorded":
        request.getfixturevalue("kie").answers("kie_download_url")
    assert world.provider.fresh_url(url) != url
    if world.name == "recorded":
        request.getfixturevalue("kie").answers("kie_download_url_foreign")
    with pytest.raises(ProviderError) as caught:
        world.provider.fresh_url("https://example.com/a.jpg")
    assert (caught.value.refused, caught.value.category) == (True, ErrorCategory.VALIDATION)


def test_credit_is_a_decimal(world: World, request: pytest.FixtureRequest) -> None:
    if world.name == "recorded":
        request.getfixturevalue("kie").answers("kie_credit")
    credit = world.provider.credit()
    assert isinstance(credit, Decimal)
    assert credit > 0


def test_close_is_idempotent(world: World) -> None:
    world.provider.close()
    world.provider.close()
