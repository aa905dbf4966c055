"""What every endpoint of fal, Replicate, RunPod and the hub does alike: body, faults, key, log line."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from core.sandbox.answers import Dropped
from core.sandbox.fault import Place, Value
from core.sandbox.faults import BadFault, Choice, chance, markers
from core.sandbox.service import Sandbox
from core.sandbox.store import Entry, now_ms
from core.sandbox.trainings import texts_of

MAX_BODY_BYTES = 10 * 1024 * 1024
GATEWAY = {502, 503, 504}
PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class Stop(Exception):
    """Ends the request with this answer, or with a closed connection (None)."""

    def __init__(self, response: Response | None) -> None:
        super().__init__()
        self.response = response


class Manner(Protocol):
    """How a service speaks when something is wrong."""

    scheme: str  # of the Authorization header

    def error(self, status: int, message: str) -> Response:
        """Its answer of that status."""
        ...


@dataclass
class Call:
    """One request: its line in the log, and the faults that strike it."""

    request: Request
    entry: Entry
    struck: dict[str, Value] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Response]]


class Desk:
    """The endpoints of one service."""

    def __init__(self, sandbox: Sandbox, manner: Manner) -> None:
        self._sandbox = sandbox
        self._manner = manner

    def route(self, path: str, kind: str, handler: Handler, methods: Iterable[str] = ("GET",)) -> Route:
        """The handler with its line in the log; `kind` is the line's."""

        async def endpoint(request: Request) -> Response:
            call = Call(request, Entry(kind))
            response: Response | None
            if self._sandbox.holds.wants("arrival", kind):
                await request.body()  # what has arrived is worked on, whatever becomes of who sent it
                await self._sandbox.holds.at("arrival", call.entry)
            try:
                response = await handler(call)
            except Stop as stop:
                response = stop.response
            except ClientDisconnect:
                response = None  # who asked was gone before all of it had come
            entry = call.entry
            entry.ms = now_ms() - entry.at
            if response is not None:
                entry.status = response.status_code
                entry.code = response.status_code
                entry.bytes = len(response.body or b"") if hasattr(response, "body") else 0
            self._sandbox.store.note(entry)
            if self._sandbox.holds.wants("answer", kind):
                await self._sandbox.holds.at("answer", entry)
            return response or Dropped()

        return Route(path, endpoint, methods=list(methods))

    def stop(self, status: int, message: str) -> Stop:
        return Stop(self._manner.error(status, message))

    async def gate(self, call: Call, place: Place, subject: str, marks: Iterable[Choice] = ()) -> None:
        """Latency, death, the key, then the errors that were asked for."""
        call.struck = struck = self._sandbox.book.strike(place, subject, marks)
        call.entry.note = " ".join(struck)
        if "trainer_late" in struck:
            await asyncio.sleep(float(struck["trainer_late"] or 0))
        if "trainer_dead" in struck:
            raise Stop(None)
        self.authorise(call.request)
        if "trainer_html" in struck:
            raise Stop(HTMLResponse(PAGE.format("Just a moment...")))
        if "trainer_rate_limited" in struck:
            raise self.stop(429, "Request was throttled. Your rate limit resets in ~30s.")
        if "trainer_error" in struck:
            raise self._error(struck["trainer_error"])

    def _error(self, value: Value) -> Stop:
        status = int(value or 503)
        if status in GATEWAY:
            return Stop(HTMLResponse(PAGE.format(status), status_code=status))
        return self.stop(status, "Something went wrong, please try again later")

    def authorise(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        wanted = f"{self._manner.scheme} {self._sandbox.key}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise self.stop(401, "Invalid authentication credentials")

    def lose(self, call: Call) -> None:
        """After an acceptance: no answer, or a false one, where that was asked for."""
        if "trainer_answer_lost" in call.struck:
            raise Stop(None)
        if "trainer_accepted_then_error" in call.struck:
            raise self._error(call.struck["trainer_accepted_then_error"])

    def marks(self, call: Call, body: object) -> tuple[Choice, ...]:
        """The faults that the body's texts ask for."""
        try:
            return tuple(mark for text in texts_of(body) for mark in markers(text))
        except BadFault as fault:
            self.authorise(call.request)
            raise self.stop(422, str(fault)) from None

    def fate(
        self, place: Place, training_id: str, marks: tuple[Choice, ...]
    ) -> tuple[dict[str, Value], tuple[Choice, ...]]:
        """What is decided now of a new training, and the marks that strike later."""
        later = tuple(mark for mark in marks if place not in mark.at)
        return self._sandbox.book.strike(place, training_id, marks), later

    def new_id(self) -> str:
        """32 hex digits; the same again for the same seed."""
        seed = self._sandbox.dials.seed
        if seed is None:
            return uuid.uuid4().hex
        text = f"trainings:{seed}:{self._sandbox.store.trainings.count()}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def duration(self, seconds: float, training_id: str) -> int:
        """In ms, with the dials' swing."""
        swing = (2 * chance(f"duration:{training_id}") - 1) * self._sandbox.dials.jitter
        return round(seconds * (1 + swing) * 1000)


async def content_of(request: Request, most: int = MAX_BODY_BYTES) -> bytes | None:
    """The whole body; None when it is larger than `most`."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            return None
    return bytes(content)


async def json_of(request: Request) -> dict[str, Any]:
    """The body's object; an empty one for what is none, whose lack the checks then name."""
    try:
        body = json.loads(await content_of(request) or b"")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def subject_of(service: str, body: Mapping[str, Any]) -> str:
    """What identifies a submission before it has an id: the same again has the same subject."""
    return f"{service}:" + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
