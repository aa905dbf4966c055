"""Around Streamlit's sign-in: the page that was asked for, the cookies, how often, and who did something."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.proto.BackMsg_pb2 import BackMsg

from core import settings
from core.web import sign_in
from core.web.sign_in import SignInDoor
from pages.components import activity
from pages.components.activity import Listening

OPS = "https://ops.example.com"


async def login(_: Request) -> Response:
    return RedirectResponse("https://login.example.com/authorize", 302)


async def callback(request: Request) -> Response:
    answer = RedirectResponse(request.query_params.get("to", "/"), 302)
    age = 30 * 24 * 3600
    for name in ("_streamlit_user", "_streamlit_user_1", "_streamlit_user_tokens", "_streamlit_xsrf"):
        answer.set_cookie(name, "x", httponly=True, samesite="lax", max_age=age)
    return answer


app = Starlette(
    routes=[Route("/auth/login", login), Route("/oauth2callback", callback)],
    middleware=[Middleware(SignInDoor)],
)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("PUBLIC_BASE_URL", OPS)
    monkeypatch.setenv("SESSION_HOURS", "2")
    settings.current.cache_clear()
    sign_in.attempts.forget()
    with TestClient(app, base_url=OPS, follow_redirects=False) as found:
        yield found
    settings.current.cache_clear()


def returned(client: TestClient, referer: str | None) -> str:
    client.get("/auth/login", headers={"referer": referer} if referer else {})
    return str(client.get("/oauth2callback").headers["location"])


@pytest.mark.parametrize(
    ("referer", "place"),
    [
        (f"{OPS}/debug_sync?task=abc%20d&x=1", "/debug_sync?task=abc%20d&x=1"),
        (f"{OPS}/?show=Past", "/?show=Past"),
        (f"{OPS}/", "/"),
        (None, "/"),
        ("https://evil.example/debug_sync", "/"),
        (f"{OPS}.evil.example/debug_sync", "/"),
        ("http://ops.example.com/debug_sync", "/"),
        (f"{OPS}//evil.example/x", "/"),
        (f"{OPS}/\\evil.example", "/"),
        (f"{OPS}/auth/logout", "/"),
        (f"{OPS}/oauth2callback?code=1", "/"),
        (f"{OPS}/api/health", "/"),
        (f"{OPS}/{'x' * 3000}", "/"),
    ],
)
def test_a_login_comes_back_to_the_page_that_it_was_begun_on(
    client: TestClient, referer: str | None, place: str
) -> None:
    assert returned(client, referer) == place
    assert returned(client, None) == "/"


@pytest.mark.parametrize(
    "forged", ["//evil.example", "https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%0d%0aX: y"]
)
def test_a_forged_cookie_leads_nowhere_else(client: TestClient, forged: str) -> None:
    answer = client.get("/oauth2callback", headers={"cookie": f"{sign_in.RETURN_COOKIE}={forged}"})
    assert answer.headers["location"] == "/"


def test_only_the_way_home_is_changed(client: TestClient) -> None:
    client.get("/auth/login", headers={"referer": f"{OPS}/budget"})
    assert client.get("/oauth2callback?to=/elsewhere").headers["location"] == "/elsewhere"


def test_cookies_are_secure_and_a_login_lives_as_long_as_a_sign_in(client: TestClient) -> None:
    answer = client.get("/oauth2callback")
    cookies = {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
    for name in ("_streamlit_user", "_streamlit_user_1", "_streamlit_user_tokens"):
        assert "Max-Age=7200" in cookies[name], name
    assert "Max-Age=2592000" in cookies["_streamlit_xsrf"]
    for line in cookies.values():
        assert line.count("Secure") == 1
        assert "SameSite=lax" in line


def test_without_tls_cookies_stay_as_they_are(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_BASE_URL", "http://127.0.0.1:8501")
    settings.current.cache_clear()
    assert "Secure" not in str(client.get("/oauth2callback").headers.get_list("set-cookie"))


def test_sign_ins_have_a_pace(client: TestClient) -> None:
    answers = [client.get("/auth/login") for _ in range(21)]
    assert [answer.status_code for answer in answers] == [302] * 20 + [429]
    assert "Too many sign-ins from one address" in answers[-1].text
    assert int(answers[-1].headers["retry-after"]) >= 1


def message(*, timer: bool = False) -> bytes:
    asked = BackMsg()
    asked.rerun_script.query_string = "x=1"
    asked.rerun_script.is_auto_rerun = timer
    return bytes(asked.SerializeToString())


@pytest.mark.parametrize(
    ("data", "persons"),
    [
        (message(), True),
        (message(timer=True), False),
        (BackMsg(stop_script=True).SerializeToString(), False),
        (b"", False),
        (b"\xff\xfe nonsense", False),
    ],
)
def test_what_a_person_asked_for(data: bytes, persons: bool) -> None:
    assert activity.is_a_persons(data) is persons


async def hear(scope: dict[str, Any], *said: bytes) -> None:
    """Let a socket say these messages."""
    waiting = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "bytes": one} for one in said)]

    async def receive() -> Any:
        return waiting.pop(0)

    async def product(_: Any, receive: Any, __: Any) -> None:
        while waiting:
            await receive()

    await Listening(product)(scope, receive, None)  # type: ignore[arg-type]


def socket(cookie: str, *protocols: str) -> dict[str, Any]:
    return {"type": "websocket", "headers": [(b"cookie", cookie.encode())], "subprotocols": list(protocols)}


@pytest.mark.parametrize(
    ("protocols", "said", "noted"),
    [
        pytest.param(("streamlit", "xsrf"), [message()], True, id="opened"),
        pytest.param(("streamlit", "xsrf", "session"), [message()], False, id="came back"),
        pytest.param(
            ("streamlit", "xsrf", "session"), [message(), message()], True, id="came back, then clicked"
        ),
        pytest.param(("streamlit", "xsrf"), [message(timer=True)] * 5, False, id="refreshed"),
    ],
)
def test_the_socket_tells_what_people_do(protocols: tuple[str, ...], said: list[bytes], noted: bool) -> None:
    cookies = {"_streamlit_user": f"{protocols}{len(said)}{noted}", "_streamlit_xsrf": "y"}
    asyncio.run(hear(socket("; ".join(f"{k}={v}" for k, v in cookies.items()), *protocols), *said))
    at = activity.last(cookies | {"_streamlit_xsrf": "another"})
    assert (at is not None) is noted
    if at is not None:
        assert datetime.now(UTC) - at < timedelta(minutes=1)


def test_who_has_no_login_is_not_listened_to() -> None:
    assert activity.login_of({"_streamlit_xsrf": "y"}) is None
    assert activity.last({}) is None
