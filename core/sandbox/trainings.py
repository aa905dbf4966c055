"""A training, an image by a LoRA or a film, as the sandbox keeps it; each service tells it in its words.

The stage is stored, since real work decides it; how far a stage is, is a function of the clock. Times are
Unix ms.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from core.sandbox.fault import Value
from core.sandbox.faults import Choice

Service = Literal["fal", "replicate", "runpod"]
# So much of the duration is spent in the queue, and until it runs.
QUEUED_PART, STARTING_PART = 0.1, 0.2
LOG_LINES = 10
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Stage(StrEnum):
    """How far it is. A pod that has EXITED is SUCCEEDED or FAILED here, one that was stopped CANCELLED."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {Stage.SUCCEEDED, Stage.FAILED, Stage.CANCELLED}


@dataclass(frozen=True)
class Failure:
    """Why it failed, in the provider's words: `status` and `kind` as its model would answer."""

    message: str
    kind: str = "internal_server_error"
    status: int = 500


@dataclass(frozen=True)
class Training:
    """One accepted, and therefore paid, submission.

    `finish` is None while nothing but the control API will end it, `queue` and `start` likewise while it
    will not leave the queue or not run. `run` is the caller's own id. `since` tells when each stage began,
    `facts` what the work found, `body` what was sent. `fate` and `marks` are its faults.
    """

    id: str
    service: Service
    kind: Literal["training", "image", "film"]
    model: str
    run: str | None
    webhook: str | None
    body: Mapping[str, Any] = field(repr=False)
    created: int
    duration: int
    finish: int | None
    queue: int | None
    start: int | None
    fate: Mapping[str, Value]
    marks: tuple[Choice, ...] = ()
    stage: Stage = Stage.QUEUED
    since: Mapping[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended_at(self) -> int | None:
        return self.since.get(self.stage) if self.stage.ended else None

    @property
    def steps(self) -> int:
        return int(self.facts.get("steps") or 1000)

    def part(self, now: int) -> float:
        """How much of the running has passed, 0 to 1."""
        if Stage.RUNNING not in self.since:
            return 0.0
        if self.stage is Stage.SUCCEEDED:
            return 1.0
        began = self.since[Stage.RUNNING]
        whole = max((self.finish or self.created + self.duration) - began, 1)
        return min(max(((self.ended_at or now) - began) / whole, 0.0), 0.99)

    def lines(self, now: int) -> Iterator[tuple[int, str]]:
        """The log so far: when, and what it says."""
        if Stage.STARTING in self.since:
            yield self.since[Stage.STARTING], "Downloading the data"
        if "images" in self.facts:
            found = f"Found {self.facts['images']} images, {self.facts['captions']} captions"
            yield self.facts["opened"], found
        if "opened" in self.facts:
            began, done = int(self.facts["opened"]), int(self.part(now) * LOG_LINES)
            span = max((self.ended_at or now) - began, 0)
            for n in range(1, done + 1):
                loss = 0.6 - 0.03 * n
                at = began + span * n // max(done, 1)
                yield at, f"step {self.steps * n // LOG_LINES}/{self.steps} loss: {loss:.3f}"
        if self.failure is not None and self.ended_at is not None:
            yield self.ended_at, f"Error: {self.failure.message}"
        elif self.stage is Stage.SUCCEEDED and self.ended_at is not None:
            yield self.ended_at, "Finished"


def run_of(*texts: object) -> str | None:
    """The caller's own id: the first UUID in what it sent."""
    for text in texts:
        if isinstance(text, str) and (found := _UUID.search(text)):
            return found[0]
    return None


def texts_of(value: object) -> Iterator[str]:
    """Every string within a JSON value, where a fault's marker may stand."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def iso(at: int | None) -> str | None:
    """A moment as the services write it."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dumps(training: Training) -> str:
    """The row's JSON."""
    values = {**training.__dict__, "failure": training.failure and training.failure.__dict__}
    values["marks"] = [mark.__dict__ for mark in training.marks]
    return json.dumps(values)


def told(training: Training, now: int) -> dict[str, Any]:
    """A training as the control API tells it."""
    return {
        "id": training.id,
        "service": training.service,
        "kind": training.kind,
        "run": training.run,
        "stage": training.stage,
        "since": dict(training.since),
        "fate": dict(training.fate),
        "facts": dict(training.facts),
        "failure": training.failure and training.failure.message,
        "log": [text for _, text in training.lines(now)],
    }
