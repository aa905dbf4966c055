"""How much one caller may ask for, and how often somebody without a good credential may try."""

import hashlib
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log
from core.errors import TooManyRequests
from core.web import answers
from core.web.own_pace import OwnPace

# One key or token: the company's own servers ask with one key for all of their customers.
CALLS = OwnPace(1_000, 200, "requests")
# One address that is not let in: mistyped keys are a few, guesses and scans are many.
REFUSALS = OwnPace(60, 1, "requests without a good credential")
_REFUSED = {401, 403}

_log = log.get(__name__)


class Crowds:
    """ASGI middleware: 429 with Retry-After for a credential that asks too often, and for an address that is
    refused too often.

    A good credential is let in whatever its address has done: behind a proxy many share one, the
    providers' callbacks among them. What is saved is the answer to the others, not the look at them.
    """

    def __init__(self, app: ASGIApp, calls: OwnPace = CALLS, refusals: OwnPace = REFUSALS) -> None:
        self._app, self._calls, self._refusals = app, calls, refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        credential = _credential(dict(scope["headers"]))
        if credential:
            try:
                self._calls.take(credential)
            except TooManyRequests as much:
                log.new_request_id()
                await _too_many(much)(scope, receive, send)
                return
        await self._app(scope, receive, _Watched(send, scope, receive, self._refusals))


class _Watched:
    """A `send` that gives a refused address 429 in place of its answer once it has had too many."""

    def __init__(self, send: Send, scope: Scope, receive: Receive, refusals: OwnPace) -> None:
        self._send, self._scope, self._receive, self._refusals = send, scope, receive, refusals
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start" and message["status"] in _REFUSED:
            try:
                self._refusals.take(_address(self._scope))
            except TooManyRequests as much:
                self._replaced = True
                _log.warning("api.refused_too_often", retry_after=much.retry_after)
                await _too_many(much)(self._scope, self._receive, self._send)
                return
        await self._send(message)


def _too_many(much: TooManyRequests) -> ASGIApp:
    return answers.error(much.http_status, much.code, much.message, {"Retry-After": str(much.retry_after)})


def _credential(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"authorization") or headers.get(b"x-api-key")
    return hashlib.sha256(given).hexdigest() if given else None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
