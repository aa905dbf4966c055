"""One contract over every provider, in every world that `tests.providers.worlds` knows."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError
from core.providers.contract import ProviderState, Task, TaskRecord
from core.providers.registry import PROVIDERS
from tests.providers import worlds
from tests.providers.conftest import CALLBACK_SECRET
from tests.providers.worlds import INPUTS, RECORDED_TASK, World

KIE_WORLDS = ["recorded", "sandbox, body", "sandbox, http"]


def opened(name: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world of that name."""
    if name == "recorded":
        yield from worlds.recorded(request.getfixturevalue("kie"))
    elif name == "recorded fal":
        yield from worlds.recorded_fal()
    elif name == "sandbox, fal":
        yield from worlds.sandboxed_fal(request.getfixturevalue("sandbox"))
    else:
        yield from worlds.over_sandbox(request.getfixturevalue("sandbox"), name.rpartition(" ")[2])


@pytest.fixture(params=[*KIE_WORLDS, "recorded fal", "sandbox, fal"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from opened(request.param, request)


@pytest.fixture(params=KIE_WORLDS)
def kies(request: pytest.FixtureRequest) -> Iterator[World]:
    """KIE's worlds alone, for what fal does not tell."""
    yield from opened(request.param, request)


def settled(world: World, task: Task, state: ProviderState, model: str | None = None) -> TaskRecord:
    """The task's record once it is in `state`."""
    deadline = time.monotonic() + 10
    while (record := world.record(task, model)).state is not state:
        assert time.monotonic() < deadline, f"still {record.state_word!r}"
        time.sleep(0.01)
    return record


def test_every_provider_is_under_this_contract() -> None:
    assert set(PROVIDERS) == {"kie", "fal"}


def test_create_gives_a_task(world: World) -> None:
    task = world.create()
    assert task.id
    assert task.id.isprintable()
    assert all("://" in address for address in task.addresses.values())
    assert world.begun() == 1


@pytest.mark.parametrize("fault", ["rate limit", "maintenance", "input"])
def test_a_refused_create(world: World, fault: str) -> None:
    fault = fault if fault in world.refusals else "rate limit"
    world.creates_meet(fault)
    with pytest.raises(ProviderError) as caught:
        world.create()
    error = caught.value
    assert (error.refused, error.category, error.retryable) == (True, *world.refusals[fault])
    assert error.words


@pytest.mark.parametrize("fault", ["server error", "lost answer"])
def test_a_create_with_unknown_outcome_is_sent_once(world: World, fault: str) -> None:
    world.creates_meet(fault)
    with pytest.raises(ProviderError) as caught:
        world.create()
    assert (caught.value.sent, caught.value.refused, caught.value.retryable) == (True, False, False)
    assert world.begun() == 1


def test_a_stranger_is_refused_everywhere(world: World) -> None:
    calls: list[Callable[[], object]] = [
        lambda: world.stranger.create(world.image, INPUTS[world.image], world.callback),
        lambda: world.stranger.record(RECORDED_TASK, world.image),
        world.stranger.check_key,
    ]
    if world.is_kie:
        calls.append(lambda: world.stranger.fresh_url("https://tempfile.aiquickdraw.com/a.jpg"))
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            call()
        error = caught.value
        assert (error.category, error.refused) == (ErrorCategory.AUTHENTICATION, True)
        assert not error.retryable


def test_a_running_task(world: World) -> None:
    task = world.task("running")
    record = settled(world, task, ProviderState.GENERATING)
    assert record.task_id == task.id
    assert (record.result_urls, record.result_problem, record.completed_at) == ((), None, None)
    assert not record.state.is_final


@pytest.mark.parametrize("situation", ["image", "video"])
def test_a_finished_task(world: World, situation: str) -> None:
    model = world.model_of(situation)
    record = settled(world, world.task(situation), ProviderState.SUCCESS, model)
    assert record.model == model
    assert len(record.result_urls) == (world.films if situation == "video" else 1)
    assert all("://" in url for url in record.result_urls)
    assert (record.result_problem, record.charged) == (None, False)
    assert record.took_ms is not None
    assert record.took_ms >= 0
    assert record.state.is_final


def test_what_a_task_cost_is_told(kies: World) -> None:
    record = settled(kies, kies.task("image"), ProviderState.SUCCESS)
    assert record.created_at is not None
    assert record.completed_at is not None
    assert record.created_at <= record.completed_at
    assert record.credits_consumed is not None
    assert record.credits_consumed > 0


def test_the_callback_url_comes_back_and_its_secret_stays_in(kies: World) -> None:
    record = settled(kies, kies.task("image"), ProviderState.SUCCESS)
    assert record.callback_url is not None
    assert f"secret={CALLBACK_SECRET}&generation=" in record.callback_url
    assert CALLBACK_SECRET not in json.dumps(dict(record.raw))
    assert CALLBACK_SECRET not in repr(record)


def test_success_without_a_result_is_a_named_problem(kies: World) -> None:
    record = settled(kies, kies.task("empty"), ProviderState.SUCCESS)
    assert record.result_urls == ()
    assert record.result_problem is not None
    assert "without a result" in record.result_problem


def test_a_failed_task(world: World) -> None:
    record = settled(world, world.task("failed"), ProviderState.FAIL)
    assert (record.fail_code, record.fail_category) == world.failed
    assert record.fail_message
    assert record.result_urls == ()


def test_a_word_nobody_knows_is_unknown_and_kept(kies: World) -> None:
    record = settled(kies, kies.task("unknown word"), ProviderState.UNKNOWN)
    assert record.state_word == "moderating"
    assert not record.state.is_final


def test_an_unknown_task_is_a_record_not_an_error(world: World) -> None:
    record = world.record(world.task("unknown task"))
    assert record.state is ProviderState.NOT_FOUND
    assert not record.state.is_final
    assert record.fail_message == ("recordInfo is null" if world.is_kie else "fal knows no such request.")


def test_reading_changes_nothing(world: World) -> None:
    task = world.task("image")
    first = settled(world, task, ProviderState.SUCCESS)
    assert world.record(task) == first


@pytest.mark.parametrize("task_id", ["", "two words", "x" * 201])
def test_a_malformed_id(world: World, task_id: str) -> None:
    with pytest.raises(InvalidInput):
        world.provider.record(task_id, world.image)


def test_a_fresh_url_only_for_the_providers_own(kies: World, request: pytest.FixtureRequest) -> None:
    (url,) = settled(kies, kies.task("image"), ProviderState.SUCCESS).result_urls
    if kies.name == "recorded":
        request.getfixturevalue("kie").answers("kie_download_url")
    assert kies.provider.fresh_url(url) != url
    if kies.name == "recorded":
        request.getfixturevalue("kie").answers("kie_download_url_foreign")
    with pytest.raises(ProviderError) as caught:
        kies.provider.fresh_url("https://example.com/a.jpg")
    assert (caught.value.refused, caught.value.category) == (True, ErrorCategory.VALIDATION)


def test_a_key_is_told_to_be_good(world: World, request: pytest.FixtureRequest) -> None:
    if world.name == "recorded":
        request.getfixturevalue("kie").answers("kie_credit")
    if world.name == "recorded fal":
        world.task("unknown task")
    assert world.provider.check_key()


def test_close_is_idempotent(world: World) -> None:
    world.provider.close()
    world.provider.close()
