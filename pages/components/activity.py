"""When a person last did something in the pages, as told apart from what refreshes by itself.

Every run of a script begins with a message of the browser, which says whether a timer has sent it. Scripts
are not told; so the socket is listened to, and the time kept beside the cookie of the login.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

MOST_KEPT = 5_000
_LOGIN = "_streamlit_user"
_last: OrderedDict[str, datetime] = OrderedDict()
_guard = threading.Lock()


def login_of(cookies: Mapping[str, str]) -> str | None:
    """What the login's cookies are known by here; None without one."""
    parts = sorted((name, value) for name, value in cookies.items() if name.startswith(_LOGIN))
    return hashlib.sha256(repr(parts).encode()).hexdigest() if parts else None


def last(cookies: Mapping[str, str]) -> datetime | None:
    """When the person with this login last did something in this process; None for not yet."""
    login = login_of(cookies)
    with _guard:
        return _last.get(login) if login else None


def note(login: str, at: datetime) -> None:
    """The person with this login has done something."""
    with _guard:
        _last[login] = at
        _last.move_to_end(login)
        while len(_last) > MOST_KEPT:
            _last.popitem(last=False)


def is_a_persons(data: bytes) -> bool:
    """Whether this message of the browser asks for a run that no timer has asked for."""
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return False
    return message.WhichOneof("type") == "rerun_script" and not message.rerun_script.is_auto_rerun


class Listening:
    """ASGI middleware that notes what people do. The first run of a socket that was cut off is nobody's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        login = login_of(HTTPConnection(scope).cookies) if scope["type"] == "websocket" else None
        if login is None:
            await self._app(scope, receive, send)
            return
        # A browser that comes back names the session that it had, after its protocol and token.
        resuming = len(scope.get("subprotocols") or ()) > 2

        async def heard() -> Message:
            nonlocal resuming
            message = await receive()
            if message["type"] == "websocket.receive" and is_a_persons(message.get("bytes") or b""):
                if not resuming:
                    note(login, datetime.now(UTC))
                resuming = False
            return message

        await self._app(scope, heard, send)
