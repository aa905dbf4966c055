"""What Streamlit's sign-in leaves open: the requested page, the cookies' flags and age, and how often."""

import re
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import settings
from core.errors import TooManyRequests
from core.web.own_pace import OwnPace

LOGIN, CALLBACK = "/auth/login", "/oauth2callback"
RETURN_COOKIE = "studio_ops_return"
# For how long a login may take until the page that was asked for is forgotten. Seconds.
RETURN_KEPT_S = 600
MAX_RETURN = 2_000
_OF_A_LOGIN = re.compile(r"_streamlit_user(?:_tokens)?(?:_\d+)?=")
_PLACE = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_NOT_PAGES = (LOGIN, "/auth/", CALLBACK, "/api/", "/_", "/files/", "/media/")

attempts = OwnPace(20, 1 / 6, "sign-ins from one address")


class SignInDoor:
    """ASGI middleware around Streamlit's sign-in.

    A login comes back to the page that it was begun on. Cookies get Secure where people come by https, and
    those of a login live as long as a sign-in may. Attempts are counted by address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path in {LOGIN, CALLBACK}:
            try:
                attempts.take((scope.get("client") or ("?",))[0])
            except TooManyRequests as refused:
                retry = {"Retry-After": str(refused.retry_after)}
                await PlainTextResponse(refused.message, 429, retry)(scope, receive, send)
                return
        place = _place_of(scope) if path in {LOGIN, CALLBACK} else None

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if path == LOGIN and place:
                    headers.append("set-cookie", _cookie(quote(place, safe=""), RETURN_KEPT_S))
                elif path == CALLBACK and place and headers.get("location") == "/":
                    headers["location"] = place
                    headers.append("set-cookie", _cookie("", 0))
                _mend_cookies(headers)
            await send(message)

        await self._app(scope, receive, send_on)


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
