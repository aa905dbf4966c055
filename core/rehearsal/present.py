"""What is under way when the rehearsal begins: rows whose tasks really stand at the sandbox.

Nothing of it is sent to anybody by us: the tasks are planted, and the product follows them to their end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core import database
from core.deliveries import policy
from core.deliveries.models import DeliveryState as S
from core.deliveries.models import EventKind
from core.deliveries.tools import Tools
from core.errors import ErrorCategory
from core.providers import catalogue, kie_models
from core.rehearsal import course
from core.rehearsal.control import Control, Planted
from core.rehearsal.models import CUSTOMER, PRESENT, numbered_id
from core.rehearsal.repository import SQL

_STILL = {"aspect_ratio": "4:3", "resolution": "1K"}
_FILM = {"aspect_ratio": "16:9", "duration": "5", "sound": False}
_FLUX, _KLING = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"


@dataclass(frozen=True)
class Scene:
    """A delivery under way, or one that stopped for a person.

    `age` is since it was sent; `marker` are the faults that its task meets at the sandbox, `ends_in` when
    that task ends, before now when negative, never when None. `left` is until KIE deletes the result.
    """

    name: str
    model: str
    prompt: str
    age: timedelta
    state: S
    ends_in: timedelta | None
    marker: str = ""
    left: timedelta | None = None
    category: ErrorCategory | None = None
    message: str | None = None
    attempt: int = 0
    code: str | None = None
    refused: bool = False  # KIE never took it, so it has no task


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def _hours(number: float) -> timedelta:
    return timedelta(hours=number)


_REFUSING = "[[fault:server_error@file=503]]"
_SAID_503 = "The result's server answered 503. It is tried again."
SCENES = (
    Scene("new", _FLUX, "A lantern in falling snow", _seconds(12), S.AWAITING_PROVIDER, _seconds(40)),
    Scene("film", _KLING, "Waves rolling over black sand", _seconds(70), S.AWAITING_PROVIDER, _seconds(60)),
    Scene("queued", _FLUX, "A bakery window before sunrise", _seconds(5), S.AWAITING_PROVIDER, _seconds(75)),
    Scene("slow", _KLING, "A kite over dunes, slow pan", _seconds(300), S.AWAITING_PROVIDER, _seconds(150)),
    Scene(
        "stuck",
        _FLUX,
        "Studio portrait with a red backdrop",
        timedelta(minutes=38),
        S.AWAITING_PROVIDER,
        None,
        "[[fault:stuck]]",
    ),
    Scene(
        "stuck film",
        _KLING,
        "Drone flight along a fjord",
        timedelta(minutes=95),
        S.AWAITING_PROVIDER,
        None,
        "[[fault:stuck]]",
    ),
    Scene(
        "expiring soon",
        _KLING,
        "Time lapse of a night market",
        timedelta(days=14) - _hours(0.75),
        S.AWAITING_DELIVERY,
        -(timedelta(days=14) - _hours(0.75)),
        _REFUSING,
        left=_hours(0.75),
        category=ErrorCategory.SERVICE_ERROR,
        message=_SAID_503,
        attempt=9,
    ),
    Scene(
        "expiring today",
        _FLUX,
        "Flat lay of autumn leaves",
        timedelta(days=14) - _hours(7),
        S.AWAITING_DELIVERY,
        -(timedelta(days=14) - _hours(7)),
        _REFUSING,
        left=_hours(7),
        category=ErrorCategory.SERVICE_ERROR,
        message=_SAID_503,
        attempt=9,
    ),
    Scene(
        "expiring tomorrow",
        _FLUX,
        "A heron in a misty pond",
        timedelta(days=13) - _hours(2),
        S.AWAITING_DELIVERY,
        -(timedelta(days=13) - _hours(2)),
        _REFUSING,
        left=_hours(26),
        category=ErrorCategory.SERVICE_ERROR,
        message=_SAID_503,
        attempt=9,
    ),
    Scene(
        "lost",
        _KLING,
        "Slow motion of a breaking wave",
        timedelta(days=15),
        S.LOST,
        -timedelta(days=15),
        "[[fault:expired_url=410]]",
        left=-timedelta(days=1),
        category=ErrorCategory.FILE_ERROR,
        message="KIE has deleted the result. The result answers 410.",
        attempt=9,
    ),
    Scene(
        "no picture",
        _FLUX,
        "Close-up of a mechanical watch",
        _hours(3),
        S.NEEDS_ATTENTION,
        -_hours(3),
        "[[fault:html_as_jpg]]",
        left=timedelta(days=14),
        category=ErrorCategory.FILE_ERROR,
        message="KIE's file cannot be opened as a picture or video.",
        attempt=8,
    ),
    Scene(
        "delivered at KIE, not here",
        _FLUX,
        "A tiled courtyard in Lisbon",
        _hours(26),
        S.NEEDS_ATTENTION,
        -_hours(25),
        left=timedelta(days=13),
        category=ErrorCategory.SERVICE_ERROR,
        message="KIE has been working on it for a day. Ask KIE, or start a new generation.",
    ),
    Scene(
        "answer lost",
        _FLUX,
        "A row of beach huts at noon",
        _hours(5),
        S.NEEDS_ATTENTION,
        None,
        category=ErrorCategory.NETWORK,
        message=course.UNKNOWN,
        refused=True,
    ),
    *(
        Scene(
            f"failed, {ending.category}",
            _FLUX,
            f"A glass of iced tea, take {n + 1}",
            _hours(2 + 1.7 * n),
            S.FAILED,
            None if ending.refused else -_hours(2 + 1.6 * n),
            "" if ending.refused else f"[[fault:provider_fail={ending.code}]]",
            category=ending.category,
            message=ending.message,
            code=ending.code,
            refused=ending.refused,
        )
        for n, ending in enumerate(course.one_of_each_failure())
    ),
)


def plant(now: datetime, control: Control, tools: Tools) -> int:
    """Plant the scenes' tasks at the sandbox and write their rows; how many."""
    taken = [(n, scene) for n, scene in enumerate(SCENES) if not scene.refused]
    planted = control.plant([_task(n, scene, tools) for n, scene in taken])
    tasks = {n: task for (n, _), task in zip(taken, planted, strict=True)}
    rows = [_row(n, scene, tasks.get(n), now) for n, scene in enumerate(SCENES)]
    with database.transaction() as connection:
        SQL["plant"].run(connection, rows=json.dumps(rows, default=str))
    return len(rows)


def _input(scene: Scene, prompt: str) -> dict[str, Any]:
    chosen: Mapping[str, Any] = _FILM if scene.model == _KLING else _STILL
    return catalogue.validate(scene.model, {"prompt": prompt, **chosen})


def _task(n: int, scene: Scene, tools: Tools) -> dict[str, Any]:
    prompt = f"{scene.prompt} {scene.marker}".strip()
    return {
        "model": scene.model,
        "input": _input(scene, prompt),
        "callBackUrl": tools.callback_url(numbered_id(PRESENT, n)),
        "age_seconds": scene.age.total_seconds(),
        "ends_in_seconds": scene.ends_in.total_seconds() if scene.ends_in is not None else None,
    }


def _row(n: int, scene: Scene, task: Planted | None, now: datetime) -> dict[str, Any]:
    """The row as the product would have left it; what is due, is due within its usual pause."""
    begun = now - scene.age
    finished = scene.left is not None
    due = {
        S.AWAITING_PROVIDER: now + (policy.WATCHED_POLL if scene.ends_in else 5 * policy.SLOWEST_POLL),
        S.AWAITING_DELIVERY: now + timedelta(seconds=20 * (n + 1)),
    }.get(scene.state)
    queued = scene.name == "queued" or scene.refused
    said = (
        "success"
        if finished
        else "fail"
        if scene.state is S.FAILED
        else "queuing"
        if queued
        else "generating"
    )
    ended = scene.state in {S.LOST, S.FAILED}
    usd = catalogue.estimate_usd(scene.model, _input(scene, scene.prompt))
    return {
        "id": numbered_id(PRESENT, n),
        "user_id": numbered_id(CUSTOMER, n % 5),
        "kind": "video" if scene.model == _KLING else "image",
        "model": scene.model,
        "prompt": scene.prompt,
        "input": _input(scene, scene.prompt),
        "status": "failed" if ended else "queued" if queued else "generating",
        "state": scene.state,
        "task_id": task.task_id if task else None,
        "result_urls": list(task.result_urls) if task and finished else None,
        "submitted_at": begun,
        "provider_state": None if scene.refused else said,
        "provider_read_at": begun + timedelta(seconds=30) if finished else now,
        "result_expires_at": now + scene.left if scene.left is not None else None,
        "category": scene.category,
        "code": scene.code,
        "message": scene.message,
        "attempt": scene.attempt,
        "next_attempt_at": due,
        "updated_at": now - min(scene.age, timedelta(minutes=7)),
        "usd": str(usd) if finished else None,
        "credits": str(usd / kie_models.USD_PER_CREDIT),
        "usd_per_credit": str(kie_models.USD_PER_CREDIT),
        "price_version": kie_models.PRICE_VERSION,
        "end_event": EventKind.REFUSED if scene.refused and scene.code else _END_EVENTS.get(scene.state),
    }


_END_EVENTS = {
    S.LOST: EventKind.LOST,
    S.FAILED: EventKind.PROVIDER_FAILED,
    S.NEEDS_ATTENTION: EventKind.NEEDS_ATTENTION,
    S.AWAITING_DELIVERY: EventKind.DOWNLOAD_FAILED,
}
