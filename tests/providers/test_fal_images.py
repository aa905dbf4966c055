"""fal's images with a trained LoRA, over recorded answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.fal_images import FalImages, from_settings
from core.providers.training import Cancelled, Submission, TrainingState
from core.settings import load
from tests.providers.fake_vendor import UNKNOWN_OUTCOMES, FakeVendor, answer

LORA = "https://files.example.com/lora-models/a.safetensors?token=weights-secret-1"
KNOWN = Submission("764cabcf-b745-4b3e-ae38-1200304cf45b")
USUAL: dict[str, Any] = {"prompt": "ohwx woman in a forest", "lora_url": LORA, "seed": 7, "size": (1024, 768)}


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor().on("POST", "fal_submitted")


@pytest.fixture
def images(there: FakeVendor) -> Iterator[FalImages]:
    client = FalImages("fal-id-0123:fal-secret-456789", transport=there.transport, deadline=5.0)
    yield client
    client.close()


def test_one_image_a_submission(images: FalImages, there: FakeVendor) -> None:
    assert images.submit(**USUAL).remote_id == KNOWN.remote_id
    [request] = there.sent("POST")
    assert str(request.url) == "https://queue.fal.run/fal-ai/flux-lora"
    assert there.body() == {
        "prompt": "ohwx woman in a forest",
        "image_size": {"width": 1024, "height": 768},
        "num_inference_steps": 28,
        "guidance_scale": 3.5,
        "seed": 7,
        "loras": [{"path": LORA, "scale": 1.0}],
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "jpeg",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [("prompt", " "), ("prompt", "x" * 5_001), ("lora_url", "a.safetensors"), ("size", (255, 512))],
)
def test_what_is_refused_before_it_costs(
    images: FalImages, there: FakeVendor, field: str, value: object
) -> None:
    with pytest.raises(InvalidInput) as refused:
        images.submit(**{**USUAL, field: value})
    assert (refused.value.field, there.requests) == (field, [])


@pytest.mark.parametrize("reason", UNKNOWN_OUTCOMES)
def test_an_image_is_never_paid_twice(images: FalImages, there: FakeVendor, reason: str) -> None:
    there.on("POST", UNKNOWN_OUTCOMES[reason])
    with pytest.raises(ProviderError) as caught:
        images.submit(**USUAL)
    assert (caught.value.refused, caught.value.retryable, len(there.requests)) == (False, False, 1)


@pytest.mark.parametrize(
    ("result", "flagged"), [("fal_result_image", False), ("fal_result_image_flagged", True)]
)
def test_a_finished_image(images: FalImages, there: FakeVendor, result: str, flagged: bool) -> None:
    there.on("/status", "fal_completed").on("GET", result)
    record = images.read(KNOWN)
    assert (record.state, len(record.urls), record.seed) == (TrainingState.SUCCEEDED, 1, 7)
    assert (record.flagged, record.failure, record.result_problem) == (flagged, None, None)
    assert str(there.requests[0].url).startswith("https://queue.fal.run/fal-ai/flux-lora/requests/")


def test_waiting_refused_and_empty(images: FalImages, there: FakeVendor) -> None:
    there.on("/status", "fal_in_queue", "fal_completed")
    there.on("GET", "fal_result_content_policy", answer(200, {"images": []}))
    assert images.read(KNOWN).queue_position == 2
    record = images.read(KNOWN)
    assert record.state is TrainingState.FAILED
    assert record.failure is not None
    assert record.failure.category is ErrorCategory.VALIDATION
    assert images.read(KNOWN).result_problem == "fal reports success without an image."


def test_cancelling(images: FalImages, there: FakeVendor) -> None:
    there.on("PUT", "fal_cancel_from_queue")
    assert images.cancel(KNOWN) is Cancelled.CONFIRMED


def test_it_needs_fals_key() -> None:
    with pytest.raises(SettingsError, match="FAL_KEY is not set"):
        from_settings(load({}))
