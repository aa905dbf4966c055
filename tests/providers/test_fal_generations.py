"""What only fal does to a generation: addresses as given, failures that cost, results that are odd."""

from collections.abc import Iterator

import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.contract import ProviderState
from core.providers.fal_generations import FalGenerations, from_settings
from core.settings import load
from tests.providers.fake_vendor import NEVER_SENT, UNKNOWN_OUTCOMES, FakeVendor, answer

IMAGE, FILM = "fal-ai/flux-lora", "fal-ai/kling-video/v2.1/pro/image-to-video"
ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
GIVEN = {"prompt": "a fox", "image_url": "https://cdn.example.com/a.jpg", "duration": "5"}
HOOK = "https://ops.example.com/api/fal/webhook?generation=5b0c8f0e-6f1b-4f9e-9d5a-0c6f8b7a1d23"


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor().on("POST", "fal_submitted")


@pytest.fixture
def fal(there: FakeVendor) -> Iterator[FalGenerations]:
    client = FalGenerations("fal-id-0123:fal-secret-456789", transport=there.transport, deadline=5.0)
    yield client
    client.close()


def test_the_input_goes_to_the_models_own_path_as_it_is(fal: FalGenerations, there: FakeVendor) -> None:
    task = fal.create(FILM, GIVEN, HOOK)
    [request] = there.requests
    assert request.url.path == f"/{FILM}"
    assert request.url.params["fal_webhook"] == HOOK
    assert (there.body(), task.id) == (GIVEN, ID)
    assert task.addresses["status_url"].endswith(f"/requests/{ID}/status")


def test_the_addresses_that_fal_gave_are_used(fal: FalGenerations, there: FakeVendor) -> None:
    there.on("/status", "fal_completed").on("GET", "fal_result_film")
    record = fal.record(
        ID,
        FILM,
        {"status_url": "https://queue.fal.run/x/y/status", "response_url": "https://queue.fal.run/x/y"},
    )
    assert [request.url.path for request in there.requests] == ["/x/y/status", "/x/y"]
    assert record.result_urls == ("https://v3.fal.media/files/penguin/k3Xw_output.mp4",)


def test_without_addresses_they_are_made_of_owner_and_app(fal: FalGenerations, there: FakeVendor) -> None:
    there.on("/status", "fal_in_progress")
    assert fal.record(ID, FILM).state is ProviderState.GENERATING
    assert there.requests[0].url.path == f"/fal-ai/kling-video/requests/{ID}/status"


@pytest.mark.parametrize("reason", UNKNOWN_OUTCOMES)
def test_nothing_is_ever_paid_twice(fal: FalGenerations, there: FakeVendor, reason: str) -> None:
    there.on("POST", UNKNOWN_OUTCOMES[reason])
    with pytest.raises(ProviderError) as caught:
        fal.create(FILM, GIVEN, HOOK)
    assert (caught.value.sent, caught.value.refused, caught.value.retryable) == (True, False, False)
    assert len(there.requests) == 1


@pytest.mark.parametrize("reason", NEVER_SENT)
def test_what_never_left_may_be_sent_again(fal: FalGenerations, there: FakeVendor, reason: str) -> None:
    there.on("POST", NEVER_SENT[reason])
    with pytest.raises(ProviderError) as caught:
        fal.create(FILM, GIVEN, HOOK)
    assert (caught.value.sent, caught.value.retryable) == (False, True)


def test_a_blackened_picture_fails_and_is_charged(fal: FalGenerations, there: FakeVendor) -> None:
    there.on("/status", "fal_completed").on("GET", "fal_result_image_flagged")
    record = fal.record(ID, IMAGE)
    assert (record.state, record.charged, record.result_urls) == (ProviderState.FAIL, True, ())
    assert record.fail_category is ErrorCategory.VALIDATION


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"images": []}, "fal names no file"),
        ({"images": [{"url": 5}], "video": None}, "fal names no file"),
        ({"video": "https://v3.fal.media/a.mp4"}, "fal names no file"),
    ],
)
def test_a_success_without_a_file_is_a_named_problem(
    fal: FalGenerations, there: FakeVendor, body: dict[str, object], problem: str
) -> None:
    there.on("/status", "fal_completed").on("GET", answer(200, body))
    record = fal.record(ID, IMAGE)
    assert (record.state, record.result_urls, record.result_problem) == (ProviderState.SUCCESS, (), problem)


def test_a_result_that_is_gone(fal: FalGenerations, there: FakeVendor) -> None:
    there.on("/status", "fal_completed").on("GET", "fal_unknown_request")
    assert fal.record(ID, IMAGE).result_problem == "fal no longer has the result"


def test_a_word_nobody_knows(fal: FalGenerations, there: FakeVendor) -> None:
    there.on("/status", answer(202, {"status": "PONDERING"}))
    record = fal.record(ID, IMAGE)
    assert (record.state, record.state_word) == (ProviderState.UNKNOWN, "PONDERING")


@pytest.mark.parametrize("seconds", [None, True, "3", -1, 1e9])
def test_odd_metrics_are_no_time(fal: FalGenerations, there: FakeVendor, seconds: object) -> None:
    status = answer(200, {"status": "COMPLETED", "metrics": {"inference_time": seconds}})
    there.on("/status", status).on("GET", "fal_result_image")
    assert fal.record(ID, IMAGE).took_ms is None


def test_a_model_that_is_not_offered_and_links_that_are_not_made(
    fal: FalGenerations, there: FakeVendor
) -> None:
    with pytest.raises(InvalidInput):
        fal.create("fal-ai/dreams", {}, None)
    with pytest.raises(ProviderError) as caught:
        fal.fresh_url("https://v3.fal.media/a.mp4")
    assert (caught.value.refused, there.requests) == (True, [])


def test_without_a_key_it_says_which() -> None:
    with pytest.raises(SettingsError, match="FAL_KEY"):
        from_settings(load({"DATABASE_URL": "postgresql://x/y", "KIE_API_KEY": "k"}))
