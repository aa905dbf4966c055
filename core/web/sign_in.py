"""What Streamlit's sign-in leaves open: the page that was asked for, what goes wrong, cookies, how often."""

import asyncio
import re
import time
from functools import partial
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log, settings
from core.door import CALLBACK
from core.errors import TooManyRequests
from core.web import sign_in_faults
from core.web.own_pace import OwnPace
from core.web.sign_in_faults import Fault

LOGIN = "/auth/login"
RETURN_COOKIE = "studio_ops_return"
# For how long a login may take until the page that was asked for is forgotten. Seconds.
RETURN_KEPT_S = 600
MAX_RETURN = 2_000
# For longer nobody should wait for a provider, however slowly it answers; one that has taken SLOW_S and then
# failed is not asked once more for the reason. Seconds.
PATIENCE_S, SLOW_S = 10.0, 4.0
_OF_A_LOGIN = re.compile(r"_streamlit_user(?:_tokens)?(?:_\d+)?=")
_PLACE = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_NOT_PAGES = (LOGIN, "/auth/", CALLBACK, "/api/", "/_", "/files/", "/media/")

attempts = OwnPace(20, 1 / 6, "sign-ins from one address")
_log = log.get(__name__)


class SignInDoor:
    """ASGI middleware around Streamlit's sign-in.

    A login comes back to the page that it was begun on, and one that fails is said on a page of ours. Cookies
    get Secure where people come by https, and those of a login live as long as a sign-in may. Attempts are
    counted by address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                _mend_cookies(MutableHeaders(scope=message))
            await send(message)

        if scope["path"] in {LOGIN, CALLBACK}:
            await self._sign_in(scope, receive, send_on)
        else:
            await self._app(scope, receive, send_on)

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        error_id, place = log.new_request_id(), _place_of(scope)
        back = partial(sign_in_faults.page, sign_in_faults.HEADLINE, again=place or "/", error_id=error_id)
        try:
            attempts.take((scope.get("client") or ("?",))[0])
        except TooManyRequests as much:
            too_many = back(much.message, much.http_status, retry_after=much.retry_after)
            await too_many(scope, receive, send)
            return
        begun = time.monotonic()
        said = await self._asked(scope, receive)
        fault = await _fault_of(scope, said, slow=time.monotonic() - begun >= SLOW_S)
        if fault is None:
            for message in said or ():
                await send(_with_place(scope["path"], place, message))
            return
        _log.error("sign_in.failed", at=scope["path"], why=fault.why, status=fault.status)
        await back(fault.sentence, fault.status)(scope, receive, send)

    async def _asked(self, scope: Scope, receive: Receive) -> list[Message] | None:
        """Streamlit's whole answer; None when the provider kept it waiting for too long."""
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._app(scope, receive, keep)
        except TimeoutError:
            return None
        return said


async def _fault_of(scope: Scope, said: list[Message] | None, *, slow: bool) -> Fault | None:
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    slow = slow or said is None
    if scope["path"] == LOGIN and (said is None or sign_in_faults.refuses(said)):
        return await sign_in_faults.of_login(slow=slow)
    if scope["path"] == CALLBACK and (said is None or sign_in_faults.brings_nobody(said, query)):
        return await sign_in_faults.of_callback(query, slow=slow)
    return None


def _with_place(path: str, place: str | None, message: Message) -> Message:
    """Streamlit's answer, with the page that was asked for kept on the way out and opened on the way back."""
    if message["type"] == "http.response.start" and place:
        headers = MutableHeaders(scope=message)
        if path == LOGIN:
            headers.append("set-cookie", _cookie(quote(place, safe=""), RETURN_KEPT_S))
        elif headers.get("location") == "/":
            headers["location"] = place
            headers.append("set-cookie", _cookie("", 0))
    return message


def _place_of(scope: Scope) -> str | None:
    """The page of ours that a login was begun on, by the address that the browser came from or the cookie."""
    headers = Headers(scope=scope)
    if scope["path"] == CALLBACK:
        return _checked(unquote(cookie_parser(headers.get("cookie", "")).get(RETURN_COOKIE, "")))
    came, own = urlsplit(headers.get("referer", "")), urlsplit(settings.current().public_base_url)
    if (came.scheme, came.netloc) != (own.scheme, own.netloc):
        return None
    return _checked(f"{came.path or '/'}{f'?{came.query}' if came.query else ''}")


def _checked(place: str) -> str | None:
    """`place` when it is a page on this server, and nothing that leads away from it or round in circles."""
    if len(place) > MAX_RETURN or place == "/" or place.startswith(_NOT_PAGES):
        return None
    return place if _PLACE.fullmatch(place) else None


def _cookie(value: str, seconds: int) -> str:
    return f"{RETURN_COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"


def _mend_cookies(headers: MutableHeaders) -> None:
    """Secure behind TLS, and no cookie of a login that outlives a sign-in."""
    given = headers.getlist("set-cookie")
    if not given:
        return
    current = settings.current()
    most = int(current.session_hours * 3600)
    del headers["set-cookie"]
    for cookie in given:
        if _OF_A_LOGIN.match(cookie):
            cookie = re.sub(
                r"(?i)(; *max-age=)(\d+)", lambda found: f"{found[1]}{min(int(found[2]), most)}", cookie
            )
        if current.behind_tls and not re.search(r"(?i); *secure(;|$)", cookie):
            cookie = f"{cookie}; Secure"
        headers.append("set-cookie", cookie)
