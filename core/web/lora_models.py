"""The routes of LoRAs for customers: list, create, detail, status, events.

A LoRA that is private or hidden exists for its creator alone: to others every route answers as if there were
none, and no total counts it.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from core.access import Actor
from core.errors import InvalidInput
from core.loras import cursors, files, policy, views
from core.loras.models import Search, Sort
from core.trainings import tools as training_tools
from core.web import lora_creating, lora_shapes
from core.web.auth import customer
from core.web.kie import Places
from core.web.openapi import refusals
from core.web.pace import Pace
from core.work.allowances import Allowance

router = APIRouter(prefix="/v1/lora-models", tags=["LoRAs"])
READS = Pace(Allowance("reads", 100, 20), "requests")
CREATES = Pace(Allowance("trainings", 5, 1 / 30), "trainings asked for")
T = TypeVar("T")
_THREADS = CapacityLimiter(8)
_CREATING = Places(4)


async def _reader(actor: Annotated[Actor, Depends(customer)]) -> Actor:
    await READS.take(actor.id)
    return actor


async def _creator(actor: Annotated[Actor, Depends(customer)]) -> Actor:
    await CREATES.take(actor.id)
    return actor


Reader = Annotated[Actor, Depends(_reader)]
_ETAG = {"ETag": {"description": "Names this answer; send it as If-None-Match", "schema": {"type": "string"}}}
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since that ETag"}}


async def threaded(work: Callable[[], T]) -> T:
    """`work`'s result, from one of this API's own threads."""
    return await to_thread.run_sync(work, limiter=_THREADS)


@router.get(
    "",
    response_model=lora_shapes.LoraList,
    responses=refusals(400, 401, 403, 429, 500),
    summary="LoRAs of the library",
)
async def list_loras(
    actor: Reader,
    status: Literal["pending", "training", "validating", "completed", "failed"] | None = None,
    search: Annotated[
        str | None, Query(max_length=policy.MAX_TEXT, description="Words of name or description")
    ] = None,
    sort: Sort = Sort.RECENT,
    limit: Annotated[int, Query(ge=1, le=views.MAX_PAGE)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31, description="At most 10,000; beyond, go on by cursor")] = 0,
    cursor: Annotated[
        str | None, Query(max_length=2_000, description="next_cursor of the page before")
    ] = None,
    mine: Annotated[bool, Query(description="One's own alone")] = False,
    creator: Annotated[str | None, Query(max_length=policy.MAX_TEXT)] = None,
    base_model: Annotated[str | None, Query(max_length=policy.MAX_TEXT)] = None,
    tag: Annotated[str | None, Query(max_length=policy.MAX_TEXT)] = None,
    rating: Annotated[Decimal | None, Query(ge=1, le=5, description="Stars on average, at least")] = None,
    published: bool | None = None,
    archived: bool = False,
    since: Annotated[datetime | None, Query(description="Made at or after that time")] = None,
    until: Annotated[datetime | None, Query(description="Made before that time")] = None,
) -> Response:
    """Shared LoRAs and one's own, by page: `next_cursor` leads to any depth, `offset` to 10,000."""
    wanted = Search(
        text=search,
        status=status,
        creator=creator,
        mine=mine,
        since=_aware("since", since),
        until=_aware("until", until),
        base_model=base_model,
        tag=tag,
        rating=rating,
        published=published,
        archived=archived,
        sort=sort,
    )
    if cursor is not None and offset:
        raise InvalidInput("cursor", "Send cursor or offset, not both.")
    after = cursors.place_of(cursor, wanted) if cursor is not None else None
    loras, found = await threaded(lambda: views.told(actor, wanted, limit=limit, after=after, offset=offset))
    rest = {
        "total": found.total,
        "total_is_exact": found.total_is_exact,
        "total_text": f"{found.total:,}{'' if found.total_is_exact else '+'}",
        "limit": limit,
        "offset": offset,
        "next_cursor": cursors.cursor_of(found.next, wanted) if found.next else None,
    }
    text = f'{{"lora_models":{loras},{json.dumps(rest)[1:]}'
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})


def _aware(name: str, at: datetime | None) -> datetime | None:
    """A time of a query, in UTC where it names no zone."""
    if at is None:
        return None
    if not 1970 <= at.year <= 2999:
        raise InvalidInput(name, f"{name} must be a time from 1970 to 2999.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@router.post(
    "",
    status_code=201,
    response_model=lora_shapes.Created,
    responses=refusals(400, 401, 402, 403, 408, 409, 413, 422, 429, 500, 503),
    openapi_extra={
        "requestBody": lora_shapes.NEW_BODY,
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key leads to the same training, however often it is sent",
                "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
            }
        ],
    },
    summary="Train a LoRA",
)
async def create_lora(request: Request, actor: Annotated[Actor, Depends(_creator)]) -> JSONResponse:
    """Begin the training of a LoRA from images of its character; five a month and user."""
    key = lora_creating.key_of(request)
    wanted = await lora_creating.read(request)
    try:
        run, repeated = await _CREATING.run(
            lora_creating.create, actor, wanted, key, training_tools.current()
        )
    finally:
        wanted.close()
    said = f"The training of “{run.lora_name}” has begun. It takes 5 to 60 minutes."
    headers = {"Location": f"/api/v1/lora-models/{run.lora_id}"}
    if repeated:
        headers["Idempotency-Replayed"] = "true"
    return _answer(
        {"lora_id": str(run.lora_id), "status": "pending", "message": said}, status=201, headers=headers
    )


@router.get(
    "/{lora_id}",
    response_model=lora_shapes.LoraDetail,
    responses={200: {"headers": _ETAG}} | _UNCHANGED | refusals(400, 401, 403, 404, 429, 500),
    summary="One LoRA",
)
async def get_lora(request: Request, lora_id: UUID, actor: Reader) -> Response:
    """A LoRA with the addresses of its files."""
    body = await threaded(lambda: _detail(actor, lora_id))
    return _tagged(request, body)


def _detail(actor: Actor, lora_id: UUID) -> dict[str, Any]:
    found, tools = views.get(actor, lora_id), training_tools.current()
    link = files.weights_link(found, tools.storage, own=views.owns(actor, found))
    return lora_shapes.detail(found, tools.absolute) | {"storage_url": tools.absolute(link) if link else None}


@router.get(
    "/{lora_id}/status",
    response_model=lora_shapes.LoraStatus,
    responses={200: {"headers": _ETAG}} | _UNCHANGED | refusals(400, 401, 403, 404, 429, 500),
    summary="How far a LoRA is",
)
async def lora_status(request: Request, lora_id: UUID, actor: Reader) -> Response:
    """How far a LoRA is; for polling. `/events` tells it without being asked again."""
    found = await threaded(lambda: views.status(actor, lora_id))
    return _tagged(request, lora_shapes.standing(found))


def _answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, status, headers={"Cache-Control": "no-store", **(headers or {})})


def _tagged(request: Request, body: dict[str, Any]) -> Response:
    """The answer with its ETag, or 304 when the caller has it already."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    tag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    given = request.headers.get("if-none-match", "")
    if given.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in given.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="application/json", headers=headers)
