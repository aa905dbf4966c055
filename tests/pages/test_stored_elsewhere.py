"""Files that lie at Supabase or R2: the pages may show them, and show nothing of other hosts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from core import settings
from core.settings import load
from core.web.headers import SecurityHeaders, content_security_policy
from pages.components import media
from tests.storage.addresses import environment
from tests.unit.generations import generation

SUPABASE = "https://abcdefghijklmnopqrst.supabase.co"
R2 = "https://files.example.com"


@pytest.fixture(params=["supabase", "r2"])
def kept_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An address in the storage that the settings choose."""
    kind: str = request.param
    given = environment(kind, SUPABASE, tmp_path)
    if kind == "r2":
        given |= {
            "CLOUDFLARE_R2_ENDPOINT": "acc.r2.cloudflarestorage.com",
            "CLOUDFLARE_R2_PUBLIC_URL": f"{R2}/",
        }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    folder = "/storage/v1/object/public" if kind == "supabase" else ""
    yield f"{SUPABASE if kind == 'supabase' else R2}{folder}/generations/u/image/a.jpg"
    monkeypatch.undo()
    settings.current.cache_clear()


async def hello(_: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def policy() -> dict[str, str]:
    """The rules of a page's content security policy, by name."""
    app = Starlette(routes=[Route("/", hello)], middleware=[Middleware(SecurityHeaders)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        header = (await client.get("/")).headers["content-security-policy"]
    rules = (rule.partition(" ") for rule in header.split("; "))
    return {name: sources for name, _, sources in rules}


def test_the_browser_may_load_pictures_and_films_from_there(kept_at: str) -> None:
    found = asyncio.run(policy())
    origin = "/".join(kept_at.split("/")[:3])
    for rule in ("img-src", "media-src"):
        assert origin in found[rule].split()
    if origin == R2:
        assert "https://acc.r2.cloudflarestorage.com" in found["img-src"].split()
    for rule in ("script-src", "connect-src", "frame-src", "default-src"):
        assert origin not in found[rule]


def test_a_folder_lets_nothing_more_in(tmp_path: Path) -> None:
    assert load(environment("local", "", tmp_path)).storage_origins == ()
    assert "img-src 'self' data: blob:;" in content_security_policy()


def test_pages_show_what_lies_there(kept_at: str) -> None:
    shown = media.of_generation(generation(asset_url=kept_at))
    assert shown is not None
    assert f'<img src="{kept_at}"' in media.full_html(shown, "fox")
    assert f'<img src="{kept_at}"' in media.thumbnail_html(shown, "image")
    button = media.download_html(shown)
    assert ' target="_blank"' in button
    assert (f'href="{kept_at}?download=image_' in button) is ("supabase" in kept_at)


def test_pages_show_nothing_of_other_hosts(kept_at: str) -> None:
    for host in ("https://other.example.com", kept_at.replace("https://", "http://").split("/gen")[0]):
        shown = media.of_generation(generation(asset_url=f"{host}/a.jpg"))
        assert shown is not None
        assert "<img" not in media.full_html(shown, "fox")
