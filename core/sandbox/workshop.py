"""Does the work of what was accepted: one asyncio task for each living training, also after a restart.

The services' own work comes as a `Craft`; the stages, the clock and the webhooks' moments are the same.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from core.sandbox.datasets import Refused
from core.sandbox.service import Sandbox
from core.sandbox.store import now_ms
from core.sandbox.training_store import Letter
from core.sandbox.trainings import QUEUED_PART, STARTING_PART, Failure, Stage, Training


class Hand(Protocol):
    """What a craft works with."""

    def now(self, training_id: str) -> Training:
        """The training as it is."""
        ...

    def note(self, training_id: str, **facts: Any) -> Training:
        """Keep what the work found."""
        ...

    async def pause(self, training_id: str, until: int | None) -> bool:
        """Wait for that moment (None: for ever); True at once when it is to be finished."""
        ...


# Works until the training's `finish`; Refused when it fails.
Craft = Callable[[Training, Hand], Awaitable[None]]
# The webhooks that are owed when a stage begins.
Tells = Callable[[Training], Sequence[str]]


class Workshop:
    """Every living training of one sandbox. Lives in its event loop."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._store = sandbox.store.trainings
        self._crafts: dict[str, Craft] = {}
        self._tells: dict[str, Tells] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._hurries: dict[str, asyncio.Event] = {}

    def learn(self, service: str, craft: Craft, tells: Tells) -> None:
        """How that service works, and what it tells by webhook."""
        self._crafts[service], self._tells[service] = craft, tells

    def resume(self) -> None:
        """Take up what lived when the sandbox ended."""
        for training in self._store.live():
            self._start(training.id)

    async def close(self) -> None:
        """Stop working; what lives is taken up by the next start."""
        working = list(self._working.values())
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    def full(self) -> bool:
        return self._store.count_live() >= self._sandbox.dials.trainings_at_once

    def accept(self, training: Training) -> Training:
        """Keep it with its faults' moments, and begin; it is on disk when this returns."""
        one = _timed(training, self._sandbox.dials.training_start_seconds)
        forged = "webhook_forged" in one.fate and one.webhook
        early = [Letter(one.created + one.duration // 2, "completed forged")] if forged else []
        self._store.save(one, early)
        self._sandbox.wake.set()
        self._start(one.id)
        return one

    async def finish(self, training_id: str, failure: Failure | None = None) -> Training:
        """End it now, whatever held it; its work is still done."""
        one = self.now(training_id)
        self._store.save(replace(one, finish=now_ms(), failure=failure))
        if hurry := self._hurries.get(training_id):
            hurry.set()
        if task := self._working.get(training_id):
            await asyncio.wait([task])
        return self.now(training_id)

    async def stop(self, training_id: str, stage: Stage = Stage.CANCELLED) -> Training:
        """End it without its work."""
        if task := self._working.get(training_id):
            task.cancel()
            await asyncio.wait([task])
        one = self.now(training_id)
        return one if one.stage.ended else self._enter(one, stage)

    async def again(self, training: Training) -> Training:
        """Begin anew what had ended (a pod that is started again)."""
        now = now_ms()
        anew = replace(
            training, stage=Stage.QUEUED, since={}, failure=None, created=now, finish=now + training.duration
        )
        return self.accept(replace(anew, queue=None, start=None))

    # What a craft works with

    def now(self, training_id: str) -> Training:
        found = self._store.get(training_id)
        assert found is not None, training_id
        return found

    def note(self, training_id: str, **facts: Any) -> Training:
        one = self.now(training_id)
        one = replace(one, facts={**one.facts, **facts})
        self._store.save(one)
        return one

    async def pause(self, training_id: str, until: int | None) -> bool:
        hurry = self._hurries[training_id]
        seconds = None if until is None else max(until - now_ms(), 0) / 1000
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), seconds)
        return hurry.is_set()

    # One training

    def _start(self, training_id: str) -> None:
        self._hurries[training_id] = asyncio.Event()
        task = asyncio.create_task(self._work(training_id))
        self._working[training_id] = task
        task.add_done_callback(lambda done: self._done(training_id, done))

    def _done(self, training_id: str, task: asyncio.Task[None]) -> None:
        if self._working.get(training_id) is task:
            del self._working[training_id], self._hurries[training_id]
        if not task.cancelled() and (error := task.exception()):
            asyncio.get_running_loop().call_exception_handler({"message": training_id, "exception": error})
            self._end(training_id, Failure("Internal error"))

    async def _work(self, training_id: str) -> None:
        one = self.now(training_id)
        if one.stage is Stage.QUEUED:
            await self.pause(one.id, one.queue)
            one = self._enter(self.now(one.id), Stage.STARTING)
        if one.stage is Stage.STARTING:
            await self.pause(one.id, one.start)
            one = self._enter(self.now(one.id), Stage.RUNNING)
        try:
            await self._crafts[one.service](one, self)
        except Refused as refused:
            self._end(one.id, refused.failure)
        else:
            self._end(one.id, self.now(one.id).failure)

    def _end(self, training_id: str, failure: Failure | None) -> None:
        one = self.now(training_id)
        if failure is None and "training_fails" in one.fate:
            failure = Failure("Training failed: CUDA out of memory")
        if failure is None and "validation_image_fails" in one.fate:
            words = "The content could not be processed because it contained material flagged by a checker."
            failure = Failure(words, "content_policy_violation", 422)
        self._enter(replace(one, failure=failure), Stage.FAILED if failure else Stage.SUCCEEDED)

    def _enter(self, training: Training, stage: Stage) -> Training:
        now = now_ms()
        one = replace(training, stage=stage, since={**training.since, stage: now})
        if stage.ended:
            one = replace(one, finish=now)
        said = self._tells[one.service](one) if one.webhook and "webhook_never" not in one.fate else ()
        self._store.save(one, [letter for says in said for letter in _letters(one.fate, says, now)])
        self._sandbox.wake.set()
        return one


def _letters(fate: Mapping[str, Any], says: str, now: int) -> list[Letter]:
    """The letters of one event, with what its faults do to them."""
    due = now + round(float(fate.get("webhook_late") or 0) * 1000)
    unsigned = " unsigned" if "webhook_unsigned" in fate else ""
    return [Letter(due + n, says + unsigned) for n in range(int(fate.get("webhook_twice") or 1))]


def _timed(training: Training, start_seconds: float | None) -> Training:
    """With the moments of its stages, as its faults have them."""
    fate = training.fate
    duration = round(float(fate["training_slow"] or 0) * 1000) if "training_slow" in fate else None
    one = training if duration is None else replace(training, duration=duration)
    queued, starting = round(one.duration * QUEUED_PART), round(one.duration * STARTING_PART)
    if start_seconds is not None and one.kind == "training":
        queued, starting = round(start_seconds * 500), round(start_seconds * 1000)
    stuck = "training_queued" in fate or "pod_never_runs" in fate
    return replace(
        one,
        finish=None if stuck else one.created + one.duration,
        queue=None if "training_queued" in fate else one.created + queued,
        start=None if "pod_never_runs" in fate else one.created + starting,
    )
