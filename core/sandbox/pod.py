"""What runs in a fake pod: it does over HTTP what the product's own start script does in a real one.

It reads STUDIO_OPS_DATASET_URL, STUDIO_OPS_WEIGHTS_URL, STUDIO_OPS_PROGRESS_URL, STUDIO_OPS_RUN_ID and
STUDIO_OPS_CONFIG from its environment; a pod without them only runs. Progress is PUT as JSON: run_id, state
(starting, training, uploading, done, failed), step, steps, error, at, log.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from core.sandbox import datasets, weights
from core.sandbox.callbacks import callable_url
from core.sandbox.datasets import Refused
from core.sandbox.outputs import spoiled
from core.sandbox.pictures import Source, Whole
from core.sandbox.store import now_ms
from core.sandbox.trainings import Failure, Training, iso
from core.sandbox.workshop import Hand

TELLINGS = 5
LEAST_PAUSE_MS = 100
TRIES = 3
CHUNK_BYTES = 256 * 1024
_STEPS = re.compile(r"[\"']?\bsteps[\"']?\s*:\s*(\d{1,6})\b")


def steps_in(config: str) -> int:
    """The steps that ai-toolkit's configuration asks for, YAML or JSON; 1000 when it names none."""
    found = _STEPS.search(config)
    return int(found[1]) if found else 1000


def environment(one: Training) -> Mapping[str, str]:
    env: Mapping[str, str] = one.body.get("env") or {}
    return env


async def work(one: Training, hand: Hand, weights_bytes: int) -> None:
    """From the pod's first second to its last; Refused when it gave up."""
    if "STUDIO_OPS_DATASET_URL" not in environment(one):
        await hand.pause(one.id, one.finish)
        return
    try:
        await _tell(hand, one.id, "starting")
        found = await datasets.pull(environment(one)["STUDIO_OPS_DATASET_URL"])
        hand.note(one.id, images=found.images, captions=found.captions, opened=now_ms())
        if not found.images:
            raise Refused(Failure("The ZIP of images holds none."))
        await _train(hand, one.id)
        failure = _failure(hand.now(one.id))
        if failure is not None:
            raise Refused(failure)
        await _tell(hand, one.id, "uploading")
        await _upload(hand.now(one.id), weights_bytes)
    except Refused as refused:
        await _tell(hand, one.id, "failed", refused.failure.message)
        raise
    await _tell(hand, one.id, "done")


async def _train(hand: Hand, pod_id: str) -> None:
    """Tell how far it is until its time is over, or until it is to be finished."""
    while True:
        await _tell(hand, pod_id, "training")
        one = hand.now(pod_id)
        now, end = now_ms(), one.finish
        pause = max(one.duration // TELLINGS, LEAST_PAUSE_MS)
        until = now + pause if end is None else min(end, now + pause)
        if await hand.pause(pod_id, until) or (end is not None and now_ms() >= end):
            return


def _failure(one: Training) -> Failure | None:
    if one.failure is None and "training_fails" in one.fate:
        return Failure("The trainer ended with code 1.")
    return one.failure


async def _tell(hand: Hand, pod_id: str, state: str, error: str | None = None) -> None:
    """PUT the progress; a progress that nobody takes ends nothing."""
    one = hand.now(pod_id)
    now = now_ms()
    done = {"uploading": 1.0, "done": 1.0}.get(state, one.part(now) if state == "training" else 0.0)
    said: dict[str, Any] = {
        "run_id": one.run,
        "state": state,
        "step": int(one.steps * done),
        "steps": one.steps,
        "error": error,
        "at": iso(now),
        "log": [text for _, text in one.lines(now)],
    }
    url = environment(one).get("STUDIO_OPS_PROGRESS_URL", "")
    content = json.dumps(said).encode()
    status = await _put(url, Whole(content), "application/json")
    hand.note(pod_id, told=state, told_status=status)


async def _upload(one: Training, weights_bytes: int) -> None:
    about = {"format": "pt", "ss_base_model_version": "flux1", "name": "lora"}
    source = spoiled(one, weights.safetensors(one.id, about, weights_bytes))
    if source is None:
        return
    for _ in range(TRIES):
        status = await _put(
            environment(one).get("STUDIO_OPS_WEIGHTS_URL", ""), source, "application/octet-stream"
        )
        if 200 <= status < 300:
            return
    raise Refused(Failure("The weights could not be uploaded."))


async def _put(url: str, source: Source, content_type: str) -> int:
    """The status of a PUT on this machine; 0 when there is none."""
    if not callable_url(url):
        return 0
    headers = {"Content-Type": content_type, "Content-Length": str(source.size)}
    try:
        async with datasets.client() as client:
            answer = await client.put(url, content=_chunks(source), headers=headers)
    except httpx.HTTPError:
        return 0
    return answer.status_code


async def _chunks(source: Source) -> AsyncIterator[bytes]:
    for at in range(0, source.size, CHUNK_BYTES):
        yield source.part(at, min(at + CHUNK_BYTES, source.size))
