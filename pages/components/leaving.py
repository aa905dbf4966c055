"""Streamlit's own way out, `/auth/logout`: whoever takes it is signed out here as well, on every machine."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

from core import access, log, settings
from core.errors import NotAllowed, NotSignedIn, StudioOpsError
from core.staff import policy, service
from core.web import sign_in, sign_in_faults
from pages.components import times

LOGOUT = "/auth/logout"
_LOGIN = "_streamlit_user"
# Another site that leads a browser there signs nobody out.
_ELSEWHERE = {"cross-site", "same-site"}
_HEADLINE = "You could not be signed out"
_SAID = (
    "Your sign-in could not be ended, because the database does not answer; it still counts. Try again in a"
    " minute; if it stays, give the error id to whoever runs Studio Ops."
)

_log = log.get(__name__)


class Leaving:
    """ASGI middleware. The sign-ins end before Streamlit clears the cookie; when they cannot, it keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != LOGOUT or not settings.current().signs_in:
            await self._app(scope, receive, send)
            return
        error_id, asked = log.new_request_id(), HTTPConnection(scope)
        if asked.headers.get("sec-fetch-site", "none") in _ELSEWHERE:
            await RedirectResponse("/", 302)(scope, receive, send)
            return
        try:
            await run_in_threadpool(_end, login_of(asked.cookies))
        except (StudioOpsError, SQLAlchemyError) as error:
            _log.error("sign_out.failed", exc_info=error)
            failed = sign_in_faults.page(_HEADLINE, _SAID, 503, again=LOGOUT, error_id=error_id)
            await failed(scope, receive, send)
            return
        await self._clear(scope, receive, send)

    async def _clear(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have Streamlit clear the cookie, which is worth nothing now, if the provider lets it."""
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        try:
            async with asyncio.timeout(sign_in.PATIENCE_S):
                await self._app(scope, receive, keep)
        except TimeoutError:
            await RedirectResponse("/", 302)(scope, receive, send)
            return
        for message in said:
            await send(message)


def login_of(cookies: Mapping[str, str]) -> Mapping[str, Any]:
    """What the provider said of the login in these cookies; nothing without one that is signed by us."""

    def part(name: str) -> bytes | None:
        value = cookies.get(name)
        return decode_signed_value(get_cookie_secret(), name, value.encode("latin-1")) if value else None

    try:
        said = json.loads(get_cookie_with_chunks(part, _LOGIN) or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _end(claims: Mapping[str, Any]) -> None:
    """End the sign-ins of whoever this login is; one that has ended already, or never began, is left so."""
    try:
        service.sign_out(access.signed_in(policy.key_of(policy.identity_of(claims))), times.now())
    except (NotSignedIn, NotAllowed):
        return
