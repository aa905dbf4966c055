"""The API's one shape of errors, its body limit, and its headers."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log
from core.errors import InvalidInput, StudioOpsError

MAX_BODY = 1024 * 1024

_log = log.get(__name__)
_CODES = {
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}


def error(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    """`{"error": {"code", "message", "request_id"}}`; `more` names, for example, the field at fault."""
    body = {"code": code, "message": message, "request_id": log.request_id(), **more}
    return JSONResponse({"error": body}, status, headers={"Cache-Control": "no-store"})


def install(app: FastAPI) -> None:
    """Make every error of `app` answer in the one shape, none with a stack trace."""

    @app.exception_handler(StudioOpsError)
    async def _ours(_: Request, fault: StudioOpsError) -> JSONResponse:
        if fault.http_status >= 500:
            _log.error("api.failed", code=fault.code, message=fault.message)
        more = {"field": fault.field} if isinstance(fault, InvalidInput) else {}
        return error(fault.http_status, fault.code, fault.message, **more)

    @app.exception_handler(RequestValidationError)
    async def _input(_: Request, fault: RequestValidationError) -> JSONResponse:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query"})
        return error(400, "invalid_input", f"{where or 'body'}: {first['msg']}", field=where or "body")

    @app.exception_handler(HTTPException)
    async def _http(_: Request, fault: HTTPException) -> JSONResponse:
        return error(fault.status_code, _CODES.get(fault.status_code, "http_error"), str(fault.detail))

    @app.exception_handler(SQLAlchemyError)
    async def _database(_: Request, fault: SQLAlchemyError) -> JSONResponse:
        _log.error("api.database_failed", error=type(fault).__name__, exc_info=fault)
        return error(500, "database_failed", "The database did not do it. Nothing was changed; try again.")

    @app.exception_handler(Exception)
    async def _any(_: Request, fault: Exception) -> JSONResponse:
        _log.error("api.crashed", exc_info=fault)
        return error(500, "internal_error", "Something went wrong on our side. The log knows the request id.")


class RequestGuard:
    """Gives every request an id, caps its body, and sets the headers that every answer carries."""

    def __init__(self, app: ASGIApp, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._max = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = log.new_request_id()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max:
            refusal = error(413, "too_large", f"The body is larger than {self._max // 1024} KB.")
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _capped(receive, self._max), send_with_headers)


def _capped(receive: Receive, most: int) -> Receive:
    """`receive` that stops a body without, or with a false, Content-Length."""
    seen: MutableMapping[str, int] = {"bytes": 0}

    async def capped() -> Message:
        message = await receive()
        seen["bytes"] += len(message.get("body", b""))
        if seen["bytes"] > most:
            raise HTTPException(413, f"The body is larger than {most // 1024} KB.")
        return message

    return capped


__all__ = ["MAX_BODY", "RequestGuard", "error", "install"]
