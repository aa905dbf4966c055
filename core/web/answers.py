"""The API's one shape of errors, its limits on bodies, and its headers."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log
from core.errors import Busy, InvalidInput, NotFound, StudioOpsError, TooManyRequests

MAX_BODY = 1024 * 1024
# A body has to arrive within this time, however it is cut into pieces. Seconds.
BODY_WITHIN_S = 20.0

_log = log.get(__name__)
_CODES = {
    400: "invalid_input",
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
}


class _Ascii(JSONResponse):
    """JSON in ASCII alone: a lone surrogate, which JSON can carry and UTF-8 cannot, is written escaped."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """`{"error": {"code", "message", "request_id"}}`; `more` names, for example, the field at fault."""
    request_id = log.request_id() or log.new_request_id()
    body = {"code": code, "message": message, "request_id": request_id, **more}
    always = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id}
    return _Ascii({"error": body}, status, headers={**always, **(headers or {})})


class NothingHere:
    """ASGI endpoint of paths that look like ours and are not: 404 to every method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.new_request_id()
        await error(NotFound.http_status, NotFound.code, "There is nothing at this address.")(
            scope, receive, send
        )


def install(app: FastAPI) -> None:
    """Make every error of `app` answer in the one shape, none with a stack trace."""

    @app.exception_handler(StudioOpsError)
    async def _ours(_: Request, fault: StudioOpsError) -> JSONResponse:
        if fault.http_status >= 500:
            _log.error("api.failed", code=fault.code, message=fault.message)
        more = {"field": fault.field} if isinstance(fault, InvalidInput) else {}
        headers = (
            {"Retry-After": str(fault.retry_after)} if isinstance(fault, Busy | TooManyRequests) else None
        )
        return error(fault.http_status, fault.code, fault.message, headers, **more)

    @app.exception_handler(RequestValidationError)
    async def _input(_: Request, fault: RequestValidationError) -> JSONResponse:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query"})
        field = "body" if first["type"] == "json_invalid" else where or "body"
        return error(400, "invalid_input", f"{field}: {first['msg']}", field=field)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, fault: HTTPException) -> JSONResponse:
        code = _CODES.get(fault.status_code, "http_error")
        return error(fault.status_code, code, str(fault.detail), fault.headers)

    @app.exception_handler(SQLAlchemyError)
    async def _database(_: Request, fault: SQLAlchemyError) -> JSONResponse:
        _log.error("api.database_failed", error=type(fault).__name__, exc_info=fault)
        return error(500, "database_failed", "The database did not do it. Nothing was changed; try again.")

    @app.exception_handler(Exception)
    async def _any(_: Request, fault: Exception) -> JSONResponse:
        _log.error("api.crashed", exc_info=fault)
        return error(500, "internal_error", "Something went wrong on our side. The log knows the request id.")


class RequestGuard:
    """Gives every request an id, limits its body, and sets the headers that every answer carries.

    `max_body` is in bytes, `body_within_s` the seconds that the whole body may take; `larger` has both for
    paths where files are sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body: int = MAX_BODY,
        body_within_s: float = BODY_WITHIN_S,
        larger: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        self._app = app
        self._usual = (max_body, body_within_s)
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = log.new_request_id()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
            await send(message)

        path = scope["path"].removeprefix(scope.get("root_path", ""))
        most, within_s = self._larger.get(path, self._usual)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            refusal = error(413, "too_large", f"The body is larger than {most // 1024:,} KB.")
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _Body(receive, most, within_s), send_with_headers)


class _Body:
    """A `receive` that stops a body that is too large, whatever its Content-Length says, or too slow.

    Once the body is complete it waits as long as it takes, for that is waiting for a disconnect.
    """

    def __init__(self, receive: Receive, most: int, within_s: float) -> None:
        self._receive = receive
        self._most = most
        self._within_s = within_s
        self._bytes = 0
        self._deadline: float | None = None
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._within_s
        try:
            message = await asyncio.wait_for(self._receive(), max(self._deadline - now, 0))
        except TimeoutError:
            # Closed, because the rest of the body would otherwise be taken for the next request.
            raise HTTPException(
                408,
                f"The body did not arrive within {self._within_s:g} seconds. Send it again.",
                headers={"Connection": "close"},
            ) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            raise HTTPException(413, f"The body is larger than {self._most // 1024:,} KB.")
        self._complete = not message.get("more_body", False)
        return message


__all__ = ["MAX_BODY", "NothingHere", "RequestGuard", "error", "install"]
