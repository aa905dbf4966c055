"""LoRA trainings at fal: https://fal.ai/models/fal-ai/flux-lora-fast-training.

The trainer takes no learning rate and no rank. Its price grows with the steps; what it takes at most is in
none of its documents, so `BOUNDS` is what we ask of it, and a 422 of its own is a refusal as well.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from core.providers.fal_queue import FalQueue, Queued
from core.providers.fal_webhooks import FalWebhooks
from core.providers.training import (
    Bounds,
    Cancelled,
    NotFindable,
    Submission,
    TrainingRecord,
    TrainingRequest,
    TrainingState,
    WebhookEvent,
)
from core.providers.training_logs import progress_of
from core.providers.training_requests import check
from core.settings import Settings

APP = "fal-ai/flux-lora-fast-training"
RESULT_HOSTS = ("fal.media", "*.fal.media")
BOUNDS = Bounds(images=(4, 12), steps=(100, 6_000))
CEILING = timedelta(hours=1)


class FalTrainer:
    """fal's trainer; a `core.providers.training.Trainer`. `transport` replaces the network."""

    def __init__(
        self,
        api_key: str,
        *,
        queue_url: str = "https://queue.fal.run",
        jwks_url: str = "https://rest.alpha.fal.ai/.well-known/jwks.json",
        transport: httpx.BaseTransport | None = None,
        deadline: float = 60.0,
    ) -> None:
        self._queue = FalQueue(APP, api_key, queue_url=queue_url, transport=transport, deadline=deadline)
        self._webhooks = FalWebhooks(jwks_url=jwks_url, transport=transport)

    @property
    def bounds(self) -> Bounds:
        return BOUNDS

    @property
    def ceiling(self) -> timedelta:
        return CEILING

    @property
    def starts_within(self) -> timedelta | None:
        return None

    def prepare(self, request: TrainingRequest) -> None:
        check(request, BOUNDS, "fal")

    def submit(self, request: TrainingRequest) -> Submission:
        check(request, BOUNDS, "fal")
        return self._queue.submit(_input(request), request.webhook_url)

    def find(self, run_id: UUID, since: datetime) -> Submission | None:
        raise NotFindable("fal lists no requests: only its webhook can tell of one whose answer was lost.")

    def read(self, submission: Submission) -> TrainingRecord:
        queued = self._queue.read(submission)
        url, problem = _weights_in(queued)
        return TrainingRecord(
            submission.remote_id,
            queued.state,
            queued.word,
            progress=100 if queued.state is TrainingState.SUCCEEDED else progress_of(queued.log),
            queue_position=queued.position,
            log=queued.log,
            weights_url=url,
            result_problem=problem,
            failure=queued.failure,
            raw=queued.raw,
        )

    def cancel(self, submission: Submission) -> Cancelled:
        return self._queue.cancel(submission)

    def release(self, submission: Submission) -> None:
        """Nothing goes on costing money at fal."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
        return self._webhooks.verify(headers, body, now)

    def check_key(self) -> str:
        """Whether the account's key is good, as a sentence. Free."""
        self._queue.check_key()
        return "the key is accepted"

    def close(self) -> None:
        self._queue.close()
        self._webhooks.close()


def _input(request: TrainingRequest) -> dict[str, Any]:
    return {
        "images_data_url": request.dataset_url,
        "trigger_word": request.trigger_word,
        "steps": request.steps,
        "create_masks": True,
        "is_style": False,
        "is_input_format_already_preprocessed": False,
        # A signed address need not end in .zip, from which fal would else guess it.
        "data_archive_format": "zip",
    }


def _weights_in(queued: Queued) -> tuple[str | None, str | None]:
    """The address of the weights, or what is wrong with a success that has none."""
    if queued.state is not TrainingState.SUCCEEDED:
        return None, None
    if not queued.result:
        return None, "fal reports success and no longer has the result."
    found = queued.result.get("diffusers_lora_file")
    url = found.get("url") if isinstance(found, Mapping) else None
    if not isinstance(url, str) or "://" not in url or not url.isprintable():
        return None, "fal reports success without a file of weights (diffusers_lora_file)."
    return url, None


def from_settings(settings: Settings) -> FalTrainer:
    """The trainer for the configured account. Raises SettingsError without a key."""
    return FalTrainer(
        settings.require("FAL_KEY"), queue_url=settings.fal_queue_url, jwks_url=settings.fal_jwks_url
    )
