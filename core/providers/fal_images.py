"""Images with a trained LoRA at fal: https://fal.ai/models/fal-ai/flux-lora. One image a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from core.errors import InvalidInput
from core.providers.fal_queue import FalQueue, Queued
from core.providers.training import Cancelled, Failure, Submission, TrainingState
from core.settings import Settings

APP = "fal-ai/flux-lora"
MAX_PROMPT = 5_000
# 512² to 2048²; the price is per started megapixel.
SIDES = (256, 2048)


@dataclass(frozen=True)
class ImageRecord:
    """One image as fal tells it at this moment. `flagged`: fal's safety checker blackened it.
    SUCCEEDED without an image names why in `result_problem`."""

    state: TrainingState
    urls: tuple[str, ...] = ()
    failure: Failure | None = None
    flagged: bool = False
    result_problem: str | None = None
    queue_position: int | None = None
    seed: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


class FalImages:
    """fal's `flux-lora`. Safe to share between threads; `transport` replaces the network."""

    def __init__(
        self,
        api_key: str,
        *,
        queue_url: str = "https://queue.fal.run",
        transport: httpx.BaseTransport | None = None,
        deadline: float = 60.0,
    ) -> None:
        self._queue = FalQueue(APP, api_key, queue_url=queue_url, transport=transport, deadline=deadline)

    def submit(
        self,
        prompt: str,
        lora_url: str,
        seed: int,
        size: tuple[int, int],
        webhook_url: str | None = None,
    ) -> Submission:
        """Begin one paid image of `size` (width, height). NOT idempotent, and its errors are those of
        `core.providers.training.Trainer.submit`; InvalidInput before anything is sent."""
        _check(prompt, lora_url, size)
        width, height = size
        wanted = {
            "prompt": prompt,
            "image_size": {"width": width, "height": height},
            "num_inference_steps": 28,
            "guidance_scale": 3.5,
            "seed": seed,
            "loras": [{"path": lora_url, "scale": 1.0}],
            "num_images": 1,
            "enable_safety_checker": True,
            "output_format": "jpeg",
        }
        return self._queue.submit(wanted, webhook_url)

    def read(self, submission: Submission) -> ImageRecord:
        """The image as it stands now. Idempotent, free."""
        queued = self._queue.read(submission)
        urls = _urls_in(queued.result)
        done = queued.state is TrainingState.SUCCEEDED
        return ImageRecord(
            queued.state,
            urls,
            queued.failure,
            flagged=done and _flagged(queued),
            result_problem="fal reports success without an image." if done and not urls else None,
            queue_position=queued.position,
            seed=_seed(queued.result),
            raw=queued.raw,
        )

    def cancel(self, submission: Submission) -> Cancelled:
        """Have it stopped. Idempotent."""
        return self._queue.cancel(submission)

    def close(self) -> None:
        self._queue.close()


def _check(prompt: str, lora_url: str, size: tuple[int, int]) -> None:
    if not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise InvalidInput("prompt", f"A prompt has 1 to {MAX_PROMPT:,} characters.")
    if "://" not in lora_url:
        raise InvalidInput("lora_url", "The LoRA's weights need an address that fal can fetch.")
    if not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise InvalidInput("size", f"Each side of an image has {SIDES[0]} to {SIDES[1]:,} pixels.")


def _urls_in(result: Mapping[str, Any] | None) -> tuple[str, ...]:
    images = (result or {}).get("images")
    found = (
        [item.get("url") for item in images if isinstance(item, Mapping)] if isinstance(images, list) else []
    )
    return tuple(url for url in found if isinstance(url, str) and "://" in url and url.isprintable())


def _flagged(queued: Queued) -> bool:
    concepts = (queued.result or {}).get("has_nsfw_concepts")
    return isinstance(concepts, list) and any(item is True for item in concepts)


def _seed(result: Mapping[str, Any] | None) -> int | None:
    seed = (result or {}).get("seed")
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def from_settings(settings: Settings) -> FalImages:
    """The client for the configured account. Raises SettingsError without a key."""
    return FalImages(settings.require("FAL_KEY"), queue_url=settings.fal_queue_url)
