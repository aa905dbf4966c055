"""GET /api/image-proxy: images of allowed hosts, streamed to whoever has a key or a token; nothing else."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from core.web import image_proxy
from tests.journeys.users import JWT_SECRET, customer, is_error, token
from tests.journeys.world import World, until
from tests.unit.image_host import ImageHost, image_host
from tests.unit.photographs import encoded, jpeg, photograph

PHOTO = jpeg(1, 520, 520)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageHost]:
    """A host of images in the place of the sandbox, which the local profile may fetch from."""
    with image_host() as found:
        fetcher = found.fetcher()
        monkeypatch.setattr(image_proxy, "_fetcher", lambda: fetcher)
        yield found
        fetcher.close()


@pytest.fixture
def get(world: World) -> Callable[..., httpx.Response]:
    def ask(url: str, web: httpx.Client = world.web) -> Any:
        return web.get("/api/image-proxy", params={"url": url})

    return ask


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PHOTO, "image/jpeg"), (encoded(photograph(2, 900, 900), "PNG"), "image/png")],
    ids=["a small one", "one in many pieces"],
)
def test_an_image_comes_through_by_its_bytes(
    get: Callable[..., httpx.Response], host: ImageHost, content: bytes, kind: str
) -> None:
    answer = get(host.gives("/a", content, "text/html") + "?x=1&y=2")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, content, kind)
    assert host.asked == ["/a?x=1&y=2"]
    assert answer.headers["cache-control"] == "private, max-age=3600"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    until(lambda: image_proxy._open_now == 0)


def test_a_customer_may_and_a_stranger_may_not(
    world: World, get: Callable[..., httpx.Response], configure: Callable[..., None], host: ImageHost
) -> None:
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    url = host.gives("/a.jpg", PHOTO)
    with customer(world, token(str(uuid4()))) as web:
        assert get(url, web).content == PHOTO
    with customer(world, token(str(uuid4()), exp=1)) as web:
        assert is_error(get(url, web), 401, "not_signed_in")
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.7/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "https://example.com/a.jpg",
        "file:///etc/passwd",
        "nonsense",
    ],
)
def test_other_addresses_are_refused(get: Callable[..., httpx.Response], host: ImageHost, url: str) -> None:
    assert is_error(get(url), 400, "fetch_refused")
    assert host.asked == []


def test_what_is_no_image_is_refused(get: Callable[..., httpx.Response], host: ImageHost) -> None:
    for n, content in enumerate((b"<html><script>alert(1)</script>", b"<svg xmlns='x'/>", b"", bytes(9000))):
        assert is_error(get(host.gives(f"/{n}", content)), 415, "not_an_image")
    assert is_error(get(host.gives("/down", b"", status=500)), 502, "fetch_failed")
    assert is_error(get(host.url + "/none"), 502, "fetch_failed")
    until(lambda: image_proxy._open_now == 0)


def test_what_is_too_large_or_too_much_is_refused(
    get: Callable[..., httpx.Response], host: ImageHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = host.gives("/a.jpg", PHOTO)
    with monkeypatch.context() as patch:
        patch.setattr(image_proxy, "MAX_BYTES", 1000)
        assert is_error(get(url), 413, "too_large")
    with monkeypatch.context() as patch:
        patch.setattr(image_proxy, "_open_now", image_proxy.AT_ONCE)
        assert is_error(get(url), 503, "busy")
    assert get(url).content == PHOTO


def test_one_that_breaks_off_is_not_taken_for_whole(
    get: Callable[..., httpx.Response], host: ImageHost
) -> None:
    large = encoded(photograph(3, 900, 900), "PNG")
    with pytest.raises(httpx.HTTPError):
        get(host.gives("/a.png", large, status=0))
    assert get(host.gives("/b.jpg", PHOTO)).content == PHOTO
    until(lambda: image_proxy._open_now == 0)


def test_it_needs_an_address(world: World) -> None:
    assert is_error(world.web.get("/api/image-proxy"), 400, "invalid_input")
    document = world.web.get("/api/openapi.json").json()["paths"]["/image-proxy"]["get"]
    assert set(document["responses"]) >= {"200", "400", "401", "413", "415", "502", "503"}
    assert list(document["responses"]["200"]["content"]) == ["image/*"]
