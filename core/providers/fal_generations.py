"""Generations at fal, through its queue: Kling 2.1 and FLUX with a LoRA; see `fal_models`.

fal tells neither when a request was begun nor what it cost, makes no fresh links, and lists no requests: one
whose answer was lost is known again by its webhook alone, whose signature covers its body.
"""

import re
from collections.abc import Mapping
from typing import Any

import httpx

from core.errors import ErrorCategory, InvalidInput, ProviderError
from core.providers import fal_models
from core.providers.contract import ProviderState, Task, TaskRecord
from core.providers.fal_queue import FalQueue, Queued
from core.providers.training import Submission, TrainingState
from core.settings import Settings

RESULT_HOSTS = ("fal.media", "*.fal.media")
MAX_TASK_ID = 200
_STATES = {
    TrainingState.QUEUED: ProviderState.QUEUED,
    TrainingState.RUNNING: ProviderState.GENERATING,
    TrainingState.SUCCEEDED: ProviderState.SUCCESS,
    TrainingState.FAILED: ProviderState.FAIL,
    TrainingState.CANCELLED: ProviderState.FAIL,
    TrainingState.NOT_FOUND: ProviderState.NOT_FOUND,
}


class FalGenerations:
    """fal's models of generations; a `core.providers.contract.GenerationProvider`. `transport` replaces the
    network, `deadline` bounds a whole answer in seconds."""

    def __init__(
        self,
        api_key: str,
        *,
        queue_url: str = "https://queue.fal.run",
        transport: httpx.BaseTransport | None = None,
        deadline: float = 60.0,
    ) -> None:
        self._queues = {
            model.id: FalQueue(model.id, api_key, queue_url=queue_url, transport=transport, deadline=deadline)
            for model in fal_models.MODELS
        }

    def create(self, model: str, model_input: Mapping[str, Any], callback_url: str | None) -> Task:
        accepted = self._queue(model).submit(model_input, callback_url)
        return Task(accepted.remote_id, accepted.handle)

    def record(self, task_id: str, model: str = "", addresses: Mapping[str, str] | None = None) -> TaskRecord:
        if not re.fullmatch(rf"[\x21-\x7e]{{1,{MAX_TASK_ID}}}", task_id):
            raise InvalidInput(
                "taskId", f"A fal request id has 1 to {MAX_TASK_ID} printable characters and no spaces."
            )
        queued = self._queue(model).read(Submission(task_id, addresses or {}))
        return _record(task_id, model, queued)

    def fresh_url(self, url: str) -> str:
        raise ProviderError(
            "fal makes no fresh links to its results.",
            category=ErrorCategory.VALIDATION,
            retryable=False,
            sent=False,
            refused=True,
        )

    def check_key(self) -> str:
        self._queue(fal_models.FLUX_LORA).check_key()
        return "the key is accepted"

    def close(self) -> None:
        for queue in self._queues.values():
            queue.close()

    def _queue(self, model: str) -> FalQueue:
        found = self._queues.get(model)
        if found is None:
            raise InvalidInput("model", f"fal has no model {model[:80]!r} that we offer.")
        return found


def _record(task_id: str, model: str, queued: Queued) -> TaskRecord:
    state = _STATES.get(queued.state, ProviderState.UNKNOWN)
    if state is ProviderState.SUCCESS and _flagged(queued):
        # The picture is there, black, and paid for.
        return TaskRecord(
            task_id,
            ProviderState.FAIL,
            queued.word,
            model=model,
            fail_code="content_policy_violation",
            fail_message="fal's safety checker blackened the picture.",
            fail_category=ErrorCategory.VALIDATION,
            charged=True,
            raw=queued.raw,
        )
    urls = _urls_in(queued.result or {}) if state is ProviderState.SUCCESS else ()
    failure = queued.failure
    return TaskRecord(
        task_id,
        state,
        queued.word,
        model=model,
        result_urls=urls,
        result_problem=_problem(queued) if state is ProviderState.SUCCESS and not urls else None,
        fail_code=failure.code if failure else None,
        fail_message=failure.words if failure else _not_found(state),
        fail_category=failure.category if failure else None,
        worked_ms=_worked_ms(queued.raw) if state is ProviderState.SUCCESS else None,
        raw=queued.raw,
    )


def _not_found(state: ProviderState) -> str | None:
    return "fal knows no such request." if state is ProviderState.NOT_FOUND else None


def _problem(queued: Queued) -> str:
    return "fal names no file" if queued.result else "fal no longer has the result"


def _urls_in(result: Mapping[str, Any]) -> tuple[str, ...]:
    """A film's address under `video`, pictures' under `images`."""
    images = result.get("images")
    listed = [result.get("video"), *(images if isinstance(images, list) else [])]
    found = [item.get("url") for item in listed if isinstance(item, Mapping)]
    return tuple(url for url in found if isinstance(url, str) and "://" in url and url.isprintable())


def _flagged(queued: Queued) -> bool:
    concepts = (queued.result or {}).get("has_nsfw_concepts")
    return isinstance(concepts, list) and any(item is True for item in concepts)


def _worked_ms(raw: Mapping[str, Any]) -> int | None:
    """How long the model itself worked, by the queue's metrics; its waiting in the queue is not told."""
    metrics = raw.get("metrics")
    seconds = metrics.get("inference_time") if isinstance(metrics, Mapping) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
        return None
    return round(seconds * 1000)


def from_settings(settings: Settings) -> FalGenerations:
    """The client for the configured account. Raises SettingsError without a key."""
    return FalGenerations(settings.require("FAL_KEY"), queue_url=settings.fal_queue_url)
