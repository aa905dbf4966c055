"""The worlds of the contract: the clients of KIE and of fal over recorded answers and over the sandbox.

The sandbox plays KIE in both styles that its documents describe: errors in an HTTP 200 and errors with their
own status.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from core.errors import ErrorCategory
from core.providers.contract import GenerationProvider, Task, TaskRecord
from core.providers.fal_generations import FalGenerations
from core.providers.kie import KieClient
from tests.conftest import SANDBOX_KEY, Sandbox
from tests.providers.conftest import CALLBACK_SECRET, FakeKie
from tests.providers.fake_vendor import FakeVendor, answer

IMAGE, VIDEO = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"
CALLBACK = f"http://127.0.0.1:1/api/kie/callback?secret={CALLBACK_SECRET}&generation=g1"
RECORDED_TASK = "281e5b0f39b9b1d8a3c2f7e6d5c4b3a2"
INPUTS: dict[str, dict[str, Any]] = {
    IMAGE: {"prompt": "a lake at dawn", "aspect_ratio": "1:1", "resolution": "1K"},
    VIDEO: {"prompt": "a lake at dawn", "aspect_ratio": "1:1", "sound": False, "duration": "5"},
}


# A request whose callback address carries our secret is read back by KIE alone.
FAL_CALLBACK = "http://127.0.0.1:1/api/fal/webhook?generation=00000000-0000-4000-8000-000000000001"
FAL_IMAGE, FAL_VIDEO = "fal-ai/flux-lora", "fal-ai/kling-video/v2.1/pro/image-to-video"
INPUTS |= {
    FAL_IMAGE: {"prompt": "a lake at dawn", "image_size": "square"},
    FAL_VIDEO: {"prompt": "a lake at dawn", "image_url": "https://cdn.example.com/a.jpg", "duration": "5"},
}
FAL_REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"


@dataclass
class World:
    """A provider, and ways to bring its other side into a situation.

    `task(situation)` gives a task that is in it, `creates_meet(fault)` makes the creates to come meet it,
    `begun()` counts the tasks that the other side began. `failed`: code and category of a failed task.
    """

    name: str
    provider: GenerationProvider
    stranger: GenerationProvider
    task: Callable[[str], Task]
    creates_meet: Callable[[str], None]
    begun: Callable[[], int]
    image: str = IMAGE
    video: str = VIDEO
    callback: str = CALLBACK
    films: int = 2
    failed: tuple[str, ErrorCategory] = ("422", ErrorCategory.VALIDATION)
    refusals: dict[str, tuple[ErrorCategory, bool]] = field(
        default_factory=lambda: {
            "rate limit": (ErrorCategory.RATE_LIMIT, True),
            "maintenance": (ErrorCategory.SERVICE_ERROR, True),
        }
    )

    @property
    def is_kie(self) -> bool:
        return self.image == IMAGE

    def create(self) -> Task:
        return self.provider.create(self.image, INPUTS[self.image], self.callback)

    def model_of(self, situation: str) -> str:
        return self.video if situation == "video" else self.image

    def record(self, task: Task, model: str | None = None) -> TaskRecord:
        return self.provider.record(task.id, model or self.image, task.addresses)


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


def recorded(kie: FakeKie) -> Iterator[World]:
    stranger = FakeKie().answers("kie_bad_key_as_200")

    def task(situation: str) -> Task:
        kie.answers(_RECORDED_TASKS[situation])
        return Task(RECORDED_TASK)

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


def over_sandbox(sandbox: Sandbox, style: str) -> Iterator[World]:
    sandbox.put("settings", status_style=style, image_seconds=0, video_seconds=0)
    provider = KieClient(SANDBOX_KEY, base_url=sandbox.url, secrets=(CALLBACK_SECRET,))
    stranger = KieClient("a-key-of-nobody", base_url=sandbox.url)

    def task(situation: str) -> Task:
        if situation == "unknown task":
            return Task("task_" + "0" * 32)
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


_FAL_TASKS: dict[str, tuple[str, str]] = {
    "running": ("fal_in_progress", "fal_not_finished"),
    "image": ("fal_completed", "fal_result_image"),
    "video": ("fal_completed", "fal_result_film"),
    "failed": ("fal_completed_with_error", "fal_result_content_policy"),
    "unknown task": ("fal_unknown_request", "fal_unknown_request"),
}
_FAL_CREATES: dict[str, str | httpx.Response | Exception] = {
    "rate limit": "fal_rate_limited",
    "input": "fal_array_refused_detail",
    "server error": answer(502, {"detail": "Bad Gateway"}),
    "lost answer": httpx.RemoteProtocolError("Server disconnected without sending a response."),
}
_FAL_MARKERS = {
    "running": "",
    "image": "",
    "video": "",
    "failed": "[[fault:validation_image_fails]]",
}
_FAL_RULES: dict[str, dict[str, Any]] = {
    "rate limit": {"trainer_rate_limited": True},
    "input": {"trainer_error": {"value": 422, "at": ["fal_submit"]}},
    "server error": {"trainer_accepted_then_error": {"value": 502, "at": ["fal_submit"]}},
    "lost answer": {"trainer_answer_lost": True},
}
_AT_FAL: dict[str, Any] = {
    "image": FAL_IMAGE,
    "video": FAL_VIDEO,
    "callback": FAL_CALLBACK,
    "films": 1,
    "failed": ("content_policy_violation", ErrorCategory.VALIDATION),
    "refusals": {"rate limit": (ErrorCategory.RATE_LIMIT, True), "input": (ErrorCategory.VALIDATION, False)},
}


def recorded_fal() -> Iterator[World]:
    there = FakeVendor().on("POST", "fal_submitted")
    provider = FalGenerations("fal-id-0123:fal-secret-456789", transport=there.transport, deadline=5.0)
    denying = FakeVendor().on("", "fal_bad_key")
    stranger = FalGenerations("fal-id-0123:of-nobody-4567", transport=denying.transport, deadline=5.0)

    def task(situation: str) -> Task:
        status, result = _FAL_TASKS[situation]
        there.on("/status", status).on("GET", result)
        return Task(FAL_REQUEST)

    def creates_meet(fault: str) -> None:
        there.on("POST", _FAL_CREATES[fault])

    yield World(
        "recorded fal", provider, stranger, task, creates_meet, lambda: len(there.sent("POST")), **_AT_FAL
    )
    provider.close()
    stranger.close()


def sandboxed_fal(sandbox: Sandbox) -> Iterator[World]:
    sandbox.put("settings", video_seconds=0, lora_image_seconds=0)
    provider = FalGenerations(SANDBOX_KEY, queue_url=f"{sandbox.url}/fal")
    stranger = FalGenerations("a-key-of-nobody", queue_url=f"{sandbox.url}/fal")

    def task(situation: str) -> Task:
        if situation == "unknown task":
            return Task("00000000-0000-4000-8000-000000000000")
        if situation == "running":
            sandbox.put("settings", lora_image_seconds=8)
        model = FAL_VIDEO if situation == "video" else FAL_IMAGE
        prompt = INPUTS[model]["prompt"] + _FAL_MARKERS[situation]
        return provider.create(model, {**INPUTS[model], "prompt": prompt}, None)

    def begun() -> int:
        return len(sandbox.get("trainings")["trainings"])

    def creates_meet(fault: str) -> None:
        sandbox.put("faults", **_FAL_RULES[fault])

    yield World("sandbox, fal", provider, stranger, task, creates_meet, begun, **_AT_FAL)
    provider.close()
    stranger.close()
