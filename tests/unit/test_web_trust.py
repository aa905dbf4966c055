"""Headers of every answer, other sites' pages, and callers who ask too often."""

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from core import settings
from core.errors import SettingsError
from core.settings import load
from core.web.cross_origin import AllowedOrigins
from core.web.crowds import Crowds
from core.web.headers import SecurityHeaders
from core.web.own_pace import OwnPace
from core.web.routes import MIDDLEWARE

CONFIGURED = {"DATABASE_URL": "postgresql://127.0.0.1/ops"}
Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    def change(**environment: str) -> None:
        for name, value in {**CONFIGURED, **environment}.items():
            monkeypatch.setenv(name, value)
        settings.current.cache_clear()

    yield change
    settings.current.cache_clear()


async def answer(request: Request) -> PlainTextResponse:
    given = request.headers.get("authorization", "")
    return PlainTextResponse("hello", 401 if given in {"", "Bearer wrong"} else 200)


def client(*middleware: Middleware) -> httpx.AsyncClient:
    app = Starlette(
        routes=[Route("/", answer, methods=["GET", "POST"])],
        middleware=list(middleware),
    )
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://ops.example")


def ask(http: httpx.AsyncClient, *requests: tuple[str, dict[str, str]]) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        return [await http.request(method, "/", headers=headers) for method, headers in requests]

    return asyncio.run(run())


# Headers.


@pytest.mark.parametrize(
    ("base", "stays"), [("https://ops.example.com", True), ("http://ops.example.com", False)]
)
def test_every_answer_has_its_headers_and_stays_behind_tls(
    configure: Configure, base: str, stays: bool
) -> None:
    configure(PUBLIC_BASE_URL=base)
    [found] = ask(client(Middleware(SecurityHeaders)), ("GET", {}))
    headers = found.headers
    assert found.status_code == 401
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["object-src"] == "'none'"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "'unsafe-eval'" not in policy["script-src"].split()
    assert "*" not in headers["content-security-policy"]
    assert ("strict-transport-security" in headers) is stays


def test_the_policy_lets_in_files_of_the_configured_storage_alone(configure: Configure) -> None:
    configure(
        STORAGE_BACKEND="supabase",
        SUPABASE_URL="https://abc.supabase.co",
        SUPABASE_SERVICE_ROLE_KEY="sb_secret_of_the_tests",
    )
    [found] = ask(client(Middleware(SecurityHeaders)), ("GET", {}))
    policy = dict(part.split(" ", 1) for part in found.headers["content-security-policy"].split("; "))
    assert policy["img-src"] == "'self' data: blob: https://abc.supabase.co"
    assert policy["media-src"] == "'self' blob: https://abc.supabase.co"
    assert "supabase" not in policy["script-src"] + policy["connect-src"]


# Other sites' pages.

APP = {"Origin": "https://app.example.com", "Authorization": "Bearer good"}
OTHER = {**APP, "Origin": "https://evil.example"}


def test_no_other_site_may_read_anything_by_default(configure: Configure) -> None:
    configure()
    asks = {**APP, "Access-Control-Request-Method": "GET"}
    answers = ask(client(Middleware(AllowedOrigins)), ("GET", APP), ("OPTIONS", asks))
    assert not [name for one in answers for name in one.headers if name.startswith("access-control")]


def test_sites_that_are_named_may_and_others_may_not(configure: Configure) -> None:
    configure(ALLOWED_ORIGINS="https://app.example.com, https://www.example.com/")
    asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    mine, theirs, may, may_not = ask(
        client(Middleware(AllowedOrigins)),
        ("GET", APP),
        ("GET", OTHER),
        ("OPTIONS", {"Origin": APP["Origin"], **asks}),
        ("OPTIONS", {"Origin": OTHER["Origin"], **asks}),
    )
    assert mine.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-origin" not in theirs.headers
    assert (may.status_code, may.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
    assert may_not.status_code == 400
    assert not [one for one in (mine, may) if "access-control-allow-credentials" in one.headers]


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "https://*.example.com",
        "null",
        "app.example.com",
        "http://app.example.com",
        "https://app.example.com/path",
        "https://user@app.example.com",
        "https://app.example.com?x=1",
        "https://good.example.com,*",
    ],
)
def test_an_origin_that_is_none_stops_the_start(origins: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS must name sites"):
        load({**CONFIGURED, "ALLOWED_ORIGINS": origins})


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "https://app.example.com:8443", "http://localhost:3000"]
)
def test_origins(origin: str) -> None:
    assert load({**CONFIGURED, "ALLOWED_ORIGINS": origin}).origins == (origin,)


# Callers who ask too often.


def crowds(calls: int = 5, refusals: int = 3) -> Middleware:
    now = [0.0]
    return Middleware(
        Crowds,
        calls=OwnPace(calls, 1, "requests", lambda: now[0]),
        refusals=OwnPace(refusals, 1, "requests without a good credential", lambda: now[0]),
    )


def test_a_credential_that_asks_too_often_is_told_to_wait_and_others_are_not() -> None:
    mine, theirs = {"Authorization": "Bearer mine"}, {"X-API-Key": "theirs", "Authorization": "Bearer theirs"}
    found = ask(client(crowds()), *[("GET", mine)] * 6, ("GET", theirs))
    assert [one.status_code for one in found] == [200] * 5 + [429, 200]
    assert found[5].headers["retry-after"] == "1"
    assert found[5].json()["error"]["code"] == "rate_limited"


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}])
def test_an_address_that_is_refused_too_often_hears_nothing_more(given: dict[str, str]) -> None:
    found = ask(client(crowds(calls=100)), *[("GET", given)] * 5)
    assert [one.status_code for one in found] == [401] * 3 + [429] * 2
    assert "good credential" in found[4].json()["error"]["message"]


def test_pages_api_webhooks_and_files_all_have_it() -> None:
    assert {"Crowds", "SecurityHeaders"} <= {getattr(one.cls, "__name__", "") for one in MIDDLEWARE}


def test_behind_one_proxy_a_good_credential_is_let_in_whatever_the_others_do() -> None:
    good = {"Authorization": "Bearer good"}
    found = ask(client(crowds(calls=100)), *[("GET", {})] * 5, ("GET", good), ("GET", {}))
    assert [one.status_code for one in found][4:] == [429, 200, 429]
