"""The routes of KIE generations: create, callback, sync, debug."""

import asyncio
import base64
import contextvars
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from core import access, settings
from core.access import Action, Actor
from core.deliveries import sending, service, tools
from core.deliveries.models import Callback, Generation
from core.diagnosis import remedies, report
from core.diagnosis.checks import diagnose
from core.diagnosis.findings import Remedy
from core.errors import Busy, InvalidInput, NotSignedIn
from core.providers.http import parse_json
from core.trainings import drawing
from core.trainings import tools as training_tools
from core.web.auth import caller
from core.web.openapi import CALLBACK_BODY, refusals

P = ParamSpec("P")
R = TypeVar("R")

router = APIRouter(tags=["KIE"])
Caller = Annotated[Actor, Depends(caller)]
TaskId = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._:-]+$")]

# A signed callback may be this old; a replay of an hour ago is refused.
MAX_SIGNATURE_AGE_S = 15 * 60
# Callbacks have threads of their own: they never wait behind creates and syncs that wait for KIE, and
# a burst of them opens only so many connections to the database.
_CALLBACK_THREADS = ThreadPoolExecutor(6, thread_name_prefix="callback")


class Places:
    """Threads for calls that wait for KIE: a slow KIE holds up nothing else, and nobody queues for one."""

    def __init__(self, most: int) -> None:
        self._threads = CapacityLimiter(most)
        self._free = most

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`work`'s result, from a thread that knows this request's id; Busy when all are taken."""
        if self._free == 0:
            raise Busy("Too many requests wait for KIE just now. Try again in a few seconds.", retry_after=5)
        self._free -= 1
        try:
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._threads)
        finally:
            self._free += 1


PLACES = Places(16)


class NewTask(BaseModel):
    """What to generate; the same `requestKey` twice makes one generation."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=200)
    input: dict[str, Any]
    userId: UUID | None = None  # noqa: N815 - the wire's spelling
    requestKey: str | None = Field(  # noqa: N815
        default=None, min_length=8, max_length=200, pattern=r"^[\x21-\x7e]+$"
    )


def standing(generation: Generation) -> dict[str, Any]:
    """A generation as the API tells it."""
    url = generation.shown_url
    if url and url.startswith("/"):
        url = settings.current().public_base_url.rstrip("/") + url
    return {
        "generationId": str(generation.id),
        "taskId": generation.task_id,
        "status": generation.status,
        "deliveryState": generation.delivery_state,
        "assetUrl": url if generation.asset_url else None,
        "url": url,
        "model": generation.model,
        "kind": generation.kind,
        "error": generation.failure_message,
        "createdAt": generation.created_at.isoformat(),
    }


@router.post(
    "/kie/createTask", status_code=201, responses=refusals(400, 401, 402, 403, 408, 409, 413, 500, 503)
)
async def create_task(task: NewTask, actor: Caller) -> dict[str, Any]:
    """Write the row, then send the one paid request.

    When KIE's answer is lost, `taskId` is null and the generation is followed all the same.
    """
    return await PLACES.run(_create, task, actor)


def _create(task: NewTask, actor: Actor) -> dict[str, Any]:
    with_tools = tools.current()
    wanted = service.NewGeneration(
        model=task.model,
        input=task.input,
        request_key=task.requestKey or uuid.uuid4().hex,
        user_id=task.userId,
    )
    generation = service.create(actor, wanted, with_tools, send_later=False)
    return standing(sending.submit(generation.id, with_tools) or generation)


@router.post(
    "/kie/callback",
    responses=refusals(400, 401, 404, 408, 413, 500, 503),
    openapi_extra={"requestBody": CALLBACK_BODY},
)
async def callback(
    request: Request,
    secret: Annotated[str, Query(description="KIE_CALLBACK_SECRET, as in the address given to KIE")] = "",
    generation: Annotated[str | None, Query(description="Our generation's id")] = None,
) -> dict[str, Any]:
    """KIE reports a finished task: recorded, made due, answered; what it says is not believed."""
    said = await _said(request, secret)
    received = Callback(
        task_id=said.task_id,
        generation_id=_own_id("generation", generation),
        body_sha256=said.sha256,
        body=said.body,
        signed=said.signed,
        says=(state := _state_in(said.body)),
        says_success=state == "success",
    )
    known = await _in_callback_thread(service.receive_callback, received, tools.current())
    return {"code": 200, "msg": "success", "duplicate": known.duplicate}


@router.post(
    "/kie/images/callback",
    responses=refusals(400, 401, 404, 408, 413, 500, 503),
    openapi_extra={"requestBody": CALLBACK_BODY},
)
async def image_callback(
    request: Request,
    secret: Annotated[str, Query(description="KIE_CALLBACK_SECRET, as in the address given to KIE")] = "",
    image: Annotated[str | None, Query(description="Our id of the image")] = None,
) -> dict[str, Any]:
    """KIE reports an image that was generated for a training's images; like any other callback."""
    said = await _said(request, secret)
    image_id = _own_id("image", image)
    if image_id is None:
        raise InvalidInput("image", "The callback names no image of ours.")
    duplicate = await _in_callback_thread(
        drawing.receive_callback, image_id, said.task_id, said.sha256, training_tools.current()
    )
    return {"code": 200, "msg": "success", "duplicate": duplicate}


@dataclass(frozen=True)
class _Said:
    """What a callback with the right secret says, of a task that it names."""

    task_id: str
    body: dict[str, Any] = field(repr=False)
    sha256: str
    signed: bool


async def _said(request: Request, secret: str) -> _Said:
    current = settings.current()
    _check_secret(
        secret, current.kie_callback_secret.get_secret_value() if current.kie_callback_secret else ""
    )
    raw = await request.body()
    body = _json_object(raw)
    task_id = _task_id(body)
    key = current.kie_webhook_hmac_key
    if key is not None:
        _check_signature(request, task_id, key.get_secret_value())
    return _Said(task_id, body, hashlib.sha256(raw).hexdigest(), signed=key is not None)


async def _in_callback_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    run = partial(contextvars.copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_CALLBACK_THREADS, run)


def _check_secret(given: str, secret: str) -> None:
    if not secret or not hmac.compare_digest(given.encode(), secret.encode()):
        raise NotSignedIn("The callback's secret is wrong. It must be that of KIE_CALLBACK_SECRET.")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = parse_json(raw.decode())
    except UnicodeDecodeError:
        body = None
    if not isinstance(body, dict):
        raise InvalidInput("body", "The callback is not a JSON object.")
    return body


def _task_id(body: dict[str, Any]) -> str:
    data = body.get("data", body)
    found = (data.get("taskId") or data.get("task_id")) if isinstance(data, dict) else None
    if not isinstance(found, str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,200}", found):
        raise InvalidInput("taskId", "The callback names no task id, or one that is no id.")
    return found


def _state_in(body: dict[str, Any]) -> str:
    data = body.get("data", body)
    return str(data.get("state", "")) if isinstance(data, dict) else ""


def _own_id(name: str, given: str | None) -> UUID | None:
    if given is None:
        return None
    try:
        return UUID(given)
    except ValueError:
        raise InvalidInput(name, f"The callback's {name} is no id of ours.") from None


def _check_signature(request: Request, task_id: str, key: str) -> None:
    """KIE signs "taskId.timestamp", not the body (https://docs.kie.ai/common-api/webhook-verification)."""
    timestamp = request.headers.get("x-webhook-timestamp", "")
    given = request.headers.get("x-webhook-signature", "")
    expected = base64.b64encode(
        hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    ).decode()
    if not re.fullmatch(r"\d{1,12}", timestamp) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotSignedIn("The callback's signature is missing or wrong. Check KIE_WEBHOOK_HMAC_KEY.")
    if abs(datetime.now(UTC).timestamp() - int(timestamp)) > MAX_SIGNATURE_AGE_S:
        raise NotSignedIn("The callback's signature is too old. It counts for 15 minutes.")


@router.get("/kie/sync", responses=refusals(400, 401, 403, 404, 409, 500, 503))
async def sync(taskId: TaskId, actor: Caller) -> dict[str, Any]:  # noqa: N803 - the wire's spelling
    """Bring one task up to date now, and say where it stands; `taskId` may be a generation's own id too.

    For staff the verdict comes along, and a delivered file that our storage has lost is fetched again.
    """
    return await PLACES.run(_sync, taskId, actor)


def _sync(task_id: str, actor: Actor) -> dict[str, Any]:
    if actor.kind != "customer":
        access.check(actor, Action.SYNC_GENERATION)
    generation, _ = report.named(task_id, actor)
    with_tools = tools.current()
    if service.answers_from_row(actor, generation, with_tools):
        return standing(generation)
    after = standing(remedies.carry_out(actor, Remedy.SYNC, generation.id, with_tools))
    if not actor.may(Action.DEBUG_GENERATION):
        return after
    seen = report.look(actor, generation.id, with_tools)
    if diagnose(seen).remedies[:1] == (Remedy.FETCH_AGAIN,):
        after = standing(remedies.carry_out(actor, Remedy.FETCH_AGAIN, generation.id, with_tools))
        seen = report.look(actor, generation.id, with_tools)
    return {**after, **report.verdict(actor, seen, diagnose(seen))}


@router.get("/debug/kie", responses=refusals(400, 401, 403, 404, 500, 503))
async def debug(actor: Caller, taskId: TaskId | None = None) -> dict[str, Any]:  # noqa: N803
    """One task's evidence with a diagnosis, or the newest ten; `taskId` may be a generation's own id too."""
    return await PLACES.run(_debug, taskId, actor)


def _debug(task_id: str | None, actor: Actor) -> dict[str, Any]:
    if task_id is None:
        return {"recent": [standing(generation) for generation in report.newest(actor)]}
    return report.of_task(actor, task_id, tools.current())
