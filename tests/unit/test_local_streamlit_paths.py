"""Streamlit's page names its server, so that a deep link asks for nothing that does not exist."""

import asyncio
import hashlib

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from core.web import front_end
from core.web.streamlit_paths import OURS, SCRIPT_PATH, KnownBase

PAGE = "<!DOCTYPE html><html><head><title>x</title></head><body>" + "text " * 500 + "</body></html>"


async def page(request: Request) -> Response:
    if request.headers.get("if-none-match"):
        return Response(status_code=304)
    return HTMLResponse(PAGE)


async def text(_: Request) -> Response:
    return PlainTextResponse("<head>")


async def missing(_: Request) -> Response:
    return HTMLResponse("<head>", status_code=404)


@pytest.fixture
def app() -> Starlette:
    routes = [Route("/page", page), Route("/text", text), Route("/missing", missing)]
    return Starlette(routes=routes, middleware=[Middleware(KnownBase), Middleware(GZipMiddleware)])


def get(app: Starlette, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers={"accept": "text/html", **headers})

    return asyncio.run(ask())


def test_the_page_names_the_server_before_streamlits_own_script(app: Starlette) -> None:
    answer = get(app, "/page", **{"accept-encoding": "gzip"})
    version = hashlib.sha256(get(app, SCRIPT_PATH).content).hexdigest()[:12]
    tag = f'<script src="{SCRIPT_PATH}?{version}"></script>'
    assert answer.text.startswith(f"<!DOCTYPE html><html><head>{tag}<title>")
    assert answer.text.endswith("</html>")
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_page_kept_by_the_browser_is_sent_again(app: Starlette) -> None:
    assert get(app, "/page", **{"if-none-match": "x"}).status_code == 200


def test_the_script_points_at_the_root(app: Starlette) -> None:
    answer = get(app, SCRIPT_PATH)
    assert answer.headers["content-type"].startswith("text/javascript")
    first, rest = answer.text.split("\n", 1)
    assert first == 'window.__streamlit={BACKEND_BASE_URL:location.origin+"/"};'
    assert rest.encode().startswith(front_end.fetching_ahead())
    assert all(f"{{\n{path.read_text()}}}\n" in rest for path in OURS)
    assert get(app, SCRIPT_PATH, "HEAD").content == b""


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        ("/text", {}, "not HTML"),
        ("/missing", {}, "an error"),
        ("/page", {"accept": "*/*"}, "nobody opens it in a browser"),
    ],
)
def test_other_answers_stay_as_they_are(
    app: Starlette, path: str, headers: dict[str, str], reason: str
) -> None:
    assert SCRIPT_PATH not in get(app, path, **headers).text, reason


def test_a_head_request_has_no_body(app: Starlette) -> None:
    answer = get(app, "/page", "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
