"""Somebody cannot be signed in: what they read, with the way back, and what stays as Streamlit answers it."""

import asyncio
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from core import settings
from core.errors import ErrorCategory, ProviderError
from core.providers import oidc
from core.web import sign_in, sign_in_faults
from core.web.sign_in import SignInDoor
from tests.conftest import free_port
from tests.unit.moody_provider import Moody, moody

OPS = "https://ops.example.com"
ASKED_FOR = {"referer": f"{OPS}/debug_sync?task=a%22b&x=1"}


async def login(request: Request) -> Response:
    """As Streamlit: whatever goes wrong is two words and 400."""
    if "wait" in request.query_params:
        await asyncio.sleep(30)
    return Response("Authentication error", 400)


async def callback(request: Request) -> Response:
    """As Streamlit: sent home, with a login, without one, or with the one that was there."""
    answer, became = RedirectResponse("/", 302), request.query_params.get("became")
    if became == "somebody":
        answer.set_cookie("_streamlit_user", "signed", httponly=True)
        answer.set_cookie("_streamlit_user_1", "more", httponly=True)
    elif became == "nobody":
        answer.delete_cookie("_streamlit_user")
        answer.delete_cookie("_streamlit_user_tokens")
    elif became == "never":
        await asyncio.sleep(30)
    return answer


app = Starlette(
    routes=[Route("/auth/login", login), Route("/oauth2callback", callback)],
    middleware=[Middleware(SignInDoor)],
)


@pytest.fixture
def provider() -> Iterator[Moody]:
    with moody() as found:
        yield found


@pytest.fixture
def client(provider: Moody, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for name, value in {
        "PUBLIC_BASE_URL": OPS,
        "OIDC_METADATA_URL": provider.metadata_url,
        "OIDC_CLIENT_ID": "studio-ops",
        "OIDC_CLIENT_SECRET": "client-secret-of-the-tests",
        "SESSION_SECRET": "session-secret-of-the-tests-0123456789",
    }.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    sign_in.attempts.forget()
    with TestClient(app, base_url=OPS, follow_redirects=False) as found:
        yield found
    settings.current.cache_clear()


def check_page(answer: Any, status: int, said: str, way_back: str) -> None:
    text = unescape(answer.text)
    assert (answer.status_code, said in text) == (status, True), text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) is (status in {429, 503})
    assert f'<a href="{way_back}">Try again</a>' in answer.text
    assert f"<code>{answer.headers['x-request-id']}</code>" in answer.text
    for secret in ("client-secret-of-the-tests", "session-secret-of-the-tests", "Traceback", "Error("):
        assert secret not in text


@pytest.mark.parametrize(
    ("status", "body", "answered", "said"),
    [
        (503, "<h1>down</h1>", 502, "where people sign in, has a fault of its own. Try again in a minute"),
        (500, "{}", 502, "has a fault of its own"),
        (404, "{}", 502, "has no sign-in at the address that is set. Give the error id"),
        (302, "", 502, "has no sign-in at the address that is set"),
        (200, "<html>", 502, "has no sign-in at the address that is set"),
        (200, '{"issuer": "x"}', 502, "python -m jobs doctor names the setting"),
    ],
)
def test_a_provider_that_is_not_well_is_said_on_our_page(
    client: TestClient, provider: Moody, status: int, body: str, answered: int, said: str
) -> None:
    provider.fails(status, body)
    with capture_logs() as logged:
        answer = client.get("/auth/login", headers=ASKED_FOR)
    check_page(answer, answered, said, "/debug_sync?task=a%22b&amp;x=1")
    assert "set-cookie" not in answer.headers
    [line] = [line for line in logged if line["event"] == "sign_in.failed"]
    assert (line["at"], line["log_level"]) == ("/auth/login", "error")


def test_a_provider_that_nobody_reaches(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("OIDC_METADATA_URL", f"http://127.0.0.1:{port}/x")
    settings.current.cache_clear()
    check_page(client.get("/auth/login"), 503, f"127.0.0.1:{port}, where people sign in, cannot be", "/")


def test_a_provider_that_answers_again(client: TestClient) -> None:
    check_page(client.get("/auth/login"), 503, "did not answer a moment ago. Try again", "/")


def test_a_provider_that_says_nothing_holds_nobody_up(
    client: TestClient, provider: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "PATIENCE_S", 0.05)
    for path in ("/auth/login?wait=1", "/oauth2callback?code=1&state=2&became=never"):
        check_page(client.get(path), 503, "does not answer in time", "/")
    monkeypatch.setattr(sign_in, "SLOW_S", 0.0)
    check_page(client.get("/auth/login"), 503, "does not answer in time", "/")
    assert provider.asked == 0, "it was slow already"
    monkeypatch.setattr(sign_in, "SLOW_S", 4.0)
    provider.silent = True
    monkeypatch.setattr(sign_in_faults, "LOOK_WITHIN_S", 0.05)
    monkeypatch.setattr(sign_in, "PATIENCE_S", 10)
    check_page(client.get("/auth/login"), 503, "does not answer in time", "/")


def test_a_way_back_that_brings_nobody_in_keeps_the_page_that_was_asked_for(
    client: TestClient, provider: Moody
) -> None:
    client.cookies.set(sign_in.RETURN_COOKIE, "%2Fdebug_sync%3Ftask%3D1")
    coming = "/oauth2callback?code=secret-code&state=2"
    check_page(
        client.get(f"{coming}&became=nobody"), 502, "did not confirm who you are", "/debug_sync?task=1"
    )
    provider.fails(503)
    check_page(client.get(f"{coming}&became=nobody"), 502, "has a fault of its own", "/debug_sync?task=1")
    said = "says that it could not sign you in"
    check_page(client.get("/oauth2callback?error=server_error&state=2"), 502, said, "/debug_sync?task=1")
    answer = client.get(f"{coming}&became=somebody")
    assert (answer.status_code, answer.headers["location"]) == (302, "/debug_sync?task=1")


@pytest.mark.parametrize(
    "query",
    ["", "?state=2&became=nobody", "?code=1&state=2", "?error=access_denied", "?error=login_required"],
    ids=["signed out", "signed out with cookies", "taken already", "gave up", "not signed in there"],
)
def test_what_a_person_did_themselves_leads_home(client: TestClient, query: str) -> None:
    answer = client.get(f"/oauth2callback{query}")
    assert (answer.status_code, answer.headers["location"]) == (302, "/")


def test_no_more_than_400_is_taken_for_streamlits_refusal(client: TestClient) -> None:
    assert client.post("/auth/login").status_code == 405


def test_whole_metadata(provider: Moody) -> None:
    found = oidc.read(provider.metadata_url)
    assert (found.issuer, found.token_endpoint) == (provider.url, f"{provider.url}/token")


@pytest.mark.parametrize(
    ("status", "body", "category", "said"),
    [
        (500, "", ErrorCategory.SERVICE_ERROR, "answers with HTTP 500"),
        (404, "", ErrorCategory.VALIDATION, "no such document there (HTTP 404)"),
        (200, "[]", ErrorCategory.VALIDATION, "no such document there (HTTP 200)"),
        (200, '{"issuer": 5, "jwks_uri": "x"}', ErrorCategory.VALIDATION, "does not name issuer, auth"),
    ],
)
def test_other_metadata(provider: Moody, status: int, body: str, category: ErrorCategory, said: str) -> None:
    provider.fails(status, body)
    with pytest.raises(ProviderError) as refused:
        oidc.read(provider.metadata_url)
    assert (refused.value.category, said in refused.value.message) == (category, True)


def test_metadata_that_do_not_come(provider: Moody) -> None:
    provider.silent = True
    with pytest.raises(ProviderError) as refused:
        oidc.read(provider.metadata_url, deadline_s=0.05)
    assert refused.value.category is ErrorCategory.TIMEOUT
