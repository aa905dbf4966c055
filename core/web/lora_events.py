"""Events of a LoRA's training as server-sent events: for any number of listeners one question a second.

An event's id names a state of the LoRA. A client that comes back with `Last-Event-ID` hears what has changed
since; one that has heard the end already is told to stay away (204). Each listener costs one task that waits
for its disconnect; what there is to say is written by the one task that asks.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from core import log
from core.access import Actor
from core.errors import Busy, TooManyRequests
from core.loras import views
from core.loras.models import Standing
from core.web import lora_shapes
from core.web.auth import customer
from core.web.lora_models import READS, threaded
from core.web.openapi import refusals

router = APIRouter(prefix="/v1/lora-models", tags=["LoRAs"])
ASKED_EVERY_S = 1.0
PING_EVERY_S = 15.0
# A listener whose connection takes nothing for so long is let go.
PATIENCE_S = 2.0
RETRY_MS = 3_000
MAX_LISTENERS = 5_000
MAX_OF_ONE_USER = 100
# Connections end after so long; clients come back by themselves, with a token that is still good.
LONGEST_S = 3_600.0
_PING = b": ping\n\n"
_log = log.get(__name__)


def event_id(standing: Standing) -> str:
    """The name of a state: the same state has the same one in every process."""
    said = json.dumps(lora_shapes.standing(standing), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def event(standing: Standing) -> bytes:
    """A state as an event."""
    said = json.dumps(lora_shapes.standing(standing), separators=(",", ":"))
    return f"id: {event_id(standing)}\nevent: status\ndata: {said}\n\n".encode()


@dataclass(slots=True, eq=False)
class Listener:
    """One open connection; `heard` is the id of the last event that it got."""

    lora_id: UUID
    actor: Actor
    send: Send
    heard: str | None
    until: float
    open: bool = True

    async def write(self, text: bytes, *, last: bool = False) -> None:
        """Send it; a connection that takes nothing, or is gone, is not open any more."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.send({"type": "http.response.body", "body": text, "more_body": not last})
        except (TimeoutError, OSError):
            self.open = False
        if last:
            self.open = False


class Hub:
    """This process's listeners, and the one task that asks the database for all of them."""

    def __init__(self) -> None:
        self._by_lora: dict[UUID, set[Listener]] = {}
        self._of_user: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self.questions = 0

    def __len__(self) -> int:
        return sum(self._of_user.values())

    def check_room(self, actor: Actor) -> None:
        """Raise Busy or TooManyRequests when no further listener may come."""
        if len(self) >= MAX_LISTENERS:
            raise Busy("Too many listeners are here just now. Ask for the status instead.", retry_after=30)
        if self._of_user[actor.id] >= MAX_OF_ONE_USER:
            raise TooManyRequests(
                f"You listen to {MAX_OF_ONE_USER} LoRAs already. Close one first.", retry_after=5
            )

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Have the listener hear what changes, while the block lasts."""
        self._by_lora.setdefault(listener.lora_id, set()).add(listener)
        self._of_user[listener.actor.id] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tell(), name="lora events")
        try:
            yield
        finally:
            listener.open = False
            others = self._by_lora[listener.lora_id]
            others.discard(listener)
            if not others:
                del self._by_lora[listener.lora_id]
            self._of_user[listener.actor.id] -= 1
            if not self._of_user[listener.actor.id]:
                del self._of_user[listener.actor.id]

    async def _tell(self) -> None:
        """Ask and tell until nobody listens any more."""
        pinged = time.monotonic()
        while self._by_lora:
            await asyncio.sleep(ASKED_EVERY_S)
            ids = list(self._by_lora)
            try:
                found = await threaded(lambda ids=ids: views.standings(ids))  # type: ignore[misc]
            except SQLAlchemyError as error:
                _log.warning("lora_events.no_answer", error=type(error).__name__)
                continue
            self.questions += 1
            for lora_id, standing in found.items():
                await self._tell_of(lora_id, standing)
            if time.monotonic() - pinged >= PING_EVERY_S:
                pinged = time.monotonic()
                await self._ping()

    async def _tell_of(self, lora_id: UUID, standing: Standing) -> None:
        name, said = event_id(standing), event(standing)
        for listener in tuple(self._by_lora.get(lora_id, ())):
            if not listener.open:
                continue
            if not views.may_see(listener.actor, standing):
                await listener.write(b"", last=True)
            elif listener.heard != name:
                listener.heard = name
                await listener.write(said, last=standing.is_over)

    async def _ping(self) -> None:
        now = time.monotonic()
        for listeners in tuple(self._by_lora.values()):
            for listener in tuple(listeners):
                if listener.open:
                    await listener.write(_PING, last=now >= listener.until)


HUB = Hub()


class _Stream(Response):
    """An answer that goes on until its listener leaves or there is no more to say."""

    def __init__(self, actor: Actor, lora_id: UUID, first: Standing, heard: str | None) -> None:
        self._actor, self._lora_id, self._first, self._heard = actor, lora_id, first, heard
        self.status_code = 200
        self.background = None
        self.body = b""
        self.media_type = "text/event-stream"
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        name = event_id(self._first)
        listener = Listener(self._lora_id, self._actor, send, name, time.monotonic() + LONGEST_S)
        said = b"" if self._heard == name else event(self._first)
        await listener.write(f"retry: {RETRY_MS}\n\n".encode() + said, last=self._first.is_over)
        if not listener.open:
            return
        with HUB.listening(listener):
            while (await receive())["type"] != "http.disconnect":
                pass


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The LoRA's status now and whenever it changes, until it is completed or failed",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 5d41402abc4b2a76\nevent: status\ndata: {"progress":40}\n\n',
            }
        },
    },
    204: {"description": "The client has heard the end already; it need not come back"},
}


@router.get(
    "/{lora_id}/events",
    response_class=Response,
    responses=_ANSWERS | refusals(400, 401, 403, 404, 429, 500, 503),
    summary="A LoRA's status as it changes",
)
async def lora_events(
    _request: Request,
    lora_id: UUID,
    actor: Annotated[Actor, Depends(customer)],
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> Any:
    """Server-sent events; a dropped connection goes on where it was by Last-Event-ID."""
    await READS.take(actor.id)
    HUB.check_room(actor)
    first = await threaded(lambda: views.status(actor, lora_id))
    if first.is_over and last_event_id == event_id(first):
        return Response(status_code=204)
    return _Stream(actor, lora_id, first, last_event_id)
