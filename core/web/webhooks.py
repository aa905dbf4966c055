"""What trainers and fal's models report and pods push: checked by its signature, recorded, made due; never
believed."""

import asyncio
import contextvars
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.routing import Route

from core.deliveries import service as deliveries
from core.deliveries import tools as delivery_tools
from core.deliveries.models import Callback
from core.errors import InvalidInput, NotFound, StudioOpsError
from core.providers.http import parse_json
from core.providers.training import WebhookEvent
from core.trainings import pushing, service, tools
from core.trainings.tools import MAX_WEIGHTS, WEIGHTS, Tools
from core.web import answers
from core.web.openapi import WEBHOOK_BODY, refusals

P = ParamSpec("P")
R = TypeVar("R")

router = APIRouter(tags=["Trainings"])
# Of their own, so that a burst of webhooks never waits behind calls that wait for a provider.
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="webhook")
Run = Annotated[
    str | None, Query(description="The id that the address given to the provider carries", max_length=64)
]
Generation = Annotated[
    str | None, Query(description="Our generation's id, as in the address given to fal", max_length=64)
]
Signature = Annotated[str, Query(description="The signature within the address given to the pod")]
_REFUSALS = refusals(400, 401, 404, 408, 413, 500, 502)
_PUSH_REFUSALS = refusals(400, 401, 404, 408, 413, 500)


@router.post("/fal/webhook", responses=_REFUSALS, openapi_extra={"requestBody": WEBHOOK_BODY})
async def fal(request: Request, run: Run = None, generation: Generation = None) -> dict[str, Any]:
    """fal reports a training, a test image or a generation; its ED25519 signature is checked with fal's
    public keys."""
    if generation is None:
        return await _received("fal", request, run)
    generation_id = _id(generation, "generation")
    known = await _in_a_thread(_take_generation, generation_id, dict(request.headers), await request.body())
    return {"ok": True, "duplicate": known.duplicate}


@router.post("/replicate/webhook", responses=_REFUSALS, openapi_extra={"requestBody": WEBHOOK_BODY})
async def replicate(request: Request, run: Run = None) -> dict[str, Any]:
    """Replicate reports a training; its HMAC-SHA256 signature is checked with the account's secret."""
    return await _received("replicate", request, run)


async def _received(provider: str, request: Request, run: str | None) -> dict[str, Any]:
    call_id = None if run is None else _id(run, "run")
    headers, body = dict(request.headers), await request.body()
    known = await _in_a_thread(_take, provider, call_id, headers, body)
    return {"ok": True, "duplicate": known.duplicate}


async def _in_a_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`work`'s result, from a thread that knows this request's id."""
    run = partial(contextvars.copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, run)


def _id(given: str, name: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise InvalidInput(name, f"The webhook's {name} is no id of ours.") from None


def _take(provider: str, call_id: UUID | None, headers: dict[str, str], body: bytes) -> service.Received:
    outside = tools.current()
    return service.receive_webhook(provider, call_id, _verified(provider, headers, body, outside), outside)


def _verified(provider: str, headers: dict[str, str], body: bytes, outside: Tools) -> WebhookEvent:
    trainer = outside.trainers.get(provider)
    if trainer is None:
        raise NotFound(f"{provider} is not configured here.")
    return trainer.verify(headers, body, outside.clock())


def _take_generation(generation_id: UUID, headers: dict[str, str], body: bytes) -> deliveries.Received:
    event = _verified("fal", headers, body, tools.current())
    said = parse_json(body.decode("utf-8", "replace"))
    callback = Callback(
        task_id=event.remote_id,
        generation_id=generation_id,
        body_sha256=hashlib.sha256(body).hexdigest(),
        body=said if isinstance(said, dict) else {},
        signed=True,
        provider="fal",
        says=event.says,
        says_success=event.says == "OK",
    )
    return deliveries.receive_callback(callback, delivery_tools.current())


@router.put("/trainings/{call_id}/progress", status_code=204, responses=_PUSH_REFUSALS)
async def progress(call_id: UUID, request: Request, sig: Signature) -> None:
    """A pod of ours tells how far it is."""
    outside = tools.current()
    pushing.check(call_id, pushing.PROGRESS_PART, sig, outside)
    body = await request.body()
    await to_thread.run_sync(pushing.progress, call_id, body, outside)


async def weights(request: Request) -> Response:
    """A pod of ours uploads its weights, up to two gigabytes, which are never held in memory."""
    outside = tools.current()
    try:
        call_id = UUID(request.path_params["call_id"])
        pushing.check(call_id, pushing.WEIGHTS_PART, request.query_params.get("sig", ""), outside)
        await to_thread.run_sync(pushing.check_open, call_id)
        await _stream(request, call_id, outside)
    except ValueError:
        return answers.error(404, NotFound.code, "No training of ours is under way here.")
    except StudioOpsError as fault:
        return answers.error(fault.http_status, fault.code, fault.message)
    return Response(status_code=204)


async def _stream(request: Request, call_id: UUID, outside: Tools) -> None:
    """The body, chunk by chunk, into storage; nothing of one that breaks off or is too large is kept."""
    manager = outside.storage.upload(WEIGHTS)
    upload = await to_thread.run_sync(manager.__enter__)
    try:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_WEIGHTS:
                raise TooLarge(f"The weights have more than {MAX_WEIGHTS / 1e9:.1f} GB.")
            await to_thread.run_sync(upload.write, chunk)
        path = pushing.incoming_path(call_id)
        await to_thread.run_sync(upload.commit, path, "application/octet-stream")
    finally:
        await to_thread.run_sync(manager.__exit__, None, None, None)


class TooLarge(StudioOpsError):
    """More bytes than there is room for."""

    code = "too_large"
    http_status = 413


# Before the API's own routes, whose bodies are small.
routes = [Route("/api/trainings/{call_id}/weights", weights, methods=["PUT"])]
