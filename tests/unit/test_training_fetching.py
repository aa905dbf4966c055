"""Images by their addresses: direct first, through the proxy second, tried again, each with its line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from core.errors import SettingsError
from core.settings import load
from core.trainings import fetching
from core.trainings.fetching import FetchedImage, Proxy, Way, fetch_all, fetcher_for, proxy_for
from tests.unit.image_host import ImageHost, image_host
from tests.unit.photographs import jpeg

PHOTO = jpeg(1, 300, 300)
PAGE = b"<!doctype html><html><body>Sign in</body></html>"
REMEDY = "Open the address in a browser"


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as found:
        yield found


@pytest.fixture
def proxy_host() -> Iterator[ImageHost]:
    with image_host() as found:
        yield found


class Run:
    """One call of fetch_all with its pauses."""

    def __init__(self, folder: Path, host: ImageHost, proxy_host: ImageHost | None = None) -> None:
        self._folder, self._host, self._proxy_host = folder, host, proxy_host
        self.pauses: list[float] = []

    def __call__(self, *urls: str) -> list[FetchedImage]:
        fetcher = self._host.fetcher()
        proxy = None
        if self._proxy_host is not None:
            proxy = Proxy(f"{self._proxy_host.url}/api/image-proxy", self._proxy_host.fetcher())
        try:
            return list(fetch_all(urls, self._folder, fetcher, self.pauses.append, proxy))
        finally:
            fetcher.close()
            if proxy:
                proxy.fetcher.close()


def test_images_come_directly_in_their_order_with_a_line_each(tmp_path: Path, host: ImageHost) -> None:
    photos = [jpeg(seed, 300, 300) for seed in range(5)]
    urls = [host.gives(f"/{n}.jpg", photo) + "?token=s3cret-of-the-link" for n, photo in enumerate(photos)]
    with capture_logs() as lines:
        found = Run(tmp_path, host)(*urls)
    assert [image.path.read_bytes() for image in found if image.path] == photos
    assert {(image.way, image.failed, image.failure) for image in found} == {(Way.DIRECT, (), None)}
    told = sorted((line["image"], line["way"], line["kb"]) for line in lines)
    assert told == [(f"{n + 1}/5", "direct", round(len(photos[n]) / 1000, 1)) for n in range(5)]
    assert "s3cret" not in repr(lines) + repr(found)


def test_a_stumble_is_tried_again_after_pauses_that_double(tmp_path: Path, host: ImageHost) -> None:
    url = host.gives("/a.jpg", b"busy", "text/plain", 503)
    host.gives("/a.jpg", PHOTO, status=0)
    host.gives("/a.jpg", PHOTO)
    run = Run(tmp_path, host)
    with capture_logs() as lines:
        (found,) = run(url)
    assert found.path is not None
    assert found.path.read_bytes() == PHOTO
    assert (run.pauses, len(host.asked)) == ([2.0, 4.0], 3)
    assert [line["event"].rpartition("_")[2] for line in lines] == ["failed", "failed", "fetched"]


def test_a_host_that_asks_for_patience_gets_it(tmp_path: Path, host: ImageHost) -> None:
    url = host.gives("/a.jpg", b"slower", "text/plain", 429)
    host.headers["/a.jpg"]["Retry-After"] = "7"
    run = Run(tmp_path, host)
    assert run(url)[0].path is None
    assert run.pauses == [7.0, 7.0]


def test_the_proxy_is_asked_at_once_where_direct_fails(
    tmp_path: Path, host: ImageHost, proxy_host: ImageHost
) -> None:
    url = host.gives("/a.jpg", b"forbidden", "text/plain", 403) + "?a=1&b=2"
    proxy_host.gives("/api/image-proxy", PHOTO)
    run = Run(tmp_path, host, proxy_host)
    with capture_logs() as lines:
        (found,) = run(url)
    assert (found.way, found.failed, run.pauses) == (Way.PROXY, (Way.DIRECT,), [])
    address = f"http%3A%2F%2F127.0.0.1%3A{host.port}%2Fa.jpg%3Fa%3D1%26b%3D2"
    assert proxy_host.asked == [f"/api/image-proxy?url={address}"]
    assert [line["way"] for line in lines] == ["direct", "proxy"]


BROKEN = [
    ("gone", 404, "text/plain", b"none", "no longer has the file", 1),
    ("a page", 200, "text/html", PAGE, "answers with a page or a text, not with an image", 3),
    ("nothing", 200, "image/jpeg", b"", "answers with nothing", 3),
    ("down", 500, "text/plain", b"down", "cannot serve the file now", 3),
]


@pytest.mark.parametrize(
    ("status", "kind", "body", "says", "tries"), [pytest.param(*rest, id=name) for name, *rest in BROKEN]
)
def test_what_cannot_be_had_says_why_and_what_to_do(
    tmp_path: Path, host: ImageHost, status: int, kind: str, body: bytes, says: str, tries: int
) -> None:
    (found,) = Run(tmp_path, host)(host.gives("/a.jpg", body, kind, status))
    assert found.failure is not None
    assert says in found.failure
    assert REMEDY in found.failure
    assert (found.path, found.failed, len(host.asked)) == (None, (Way.DIRECT,), tries)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://10.0.0.7/a.jpg", "Only https URLs are fetched"),
        ("https://169.254.169.254/latest/meta-data", "are not allowed"),
        ("https://example.com/a.jpg", "add it to ALLOWED_FETCH_HOSTS"),
        ("file:///etc/passwd", "Only https URLs are fetched"),
        ("not an address", "characters no URL has"),
    ],
)
def test_what_the_guard_refuses_goes_no_way_at_all(
    tmp_path: Path, host: ImageHost, proxy_host: ImageHost, url: str, says: str
) -> None:
    run = Run(tmp_path, host, proxy_host)
    (found,) = run(url)
    assert found.failure is not None
    assert says in found.failure
    assert found.failure.endswith("add the file.")
    assert (found.refused, found.failed, run.pauses) == (True, (), [])
    assert host.asked == proxy_host.asked == []


def test_a_file_that_is_too_large_is_given_up(
    tmp_path: Path, host: ImageHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)
    (found,) = Run(tmp_path, host)(host.gives("/a.jpg", PHOTO))
    assert found.failure is not None
    assert "which is too large" in found.failure
    assert len(host.asked) == 1


# Settings.

R2 = {
    "CLOUDFLARE_R2_ACCESS_KEY_ID": "id",
    "CLOUDFLARE_R2_SECRET_ACCESS_KEY": "secret",
    "CLOUDFLARE_R2_BUCKET": "b",
    "CLOUDFLARE_R2_ENDPOINT": "acc.r2.cloudflarestorage.com",
    "CLOUDFLARE_R2_PUBLIC_URL": "https://files.example.com",
}


def test_where_zips_go() -> None:
    assert not load({}).zips_to_r2
    assert load(R2).zips_to_r2
    assert not load({**R2, "USE_LOCAL_ZIP_STORAGE": "true"}).zips_to_r2
    assert not load({**R2, "CLOUDFLARE_R2_BUCKET": ""}).zips_to_r2
    with pytest.raises(SettingsError, match="CLOUDFLARE_R2_PUBLIC_URL must be a URL"):
        load({**R2, "CLOUDFLARE_R2_PUBLIC_URL": "files"})


def test_the_proxys_address_is_checked_at_the_start() -> None:
    assert proxy_for(load({})) is None
    found = proxy_for(load({"IMAGE_PROXY_URL": "https://app.example.com/api/image-proxy?v=2"}))
    assert found is not None
    assert found.of("https://a/b") == "https://app.example.com/api/image-proxy?v=2&url=https%3A%2F%2Fa%2Fb"
    found.fetcher.close()
    for wrong in ("app.example.com", "http://app.example.com/x", "https://u:p@app.example.com/x"):
        with pytest.raises(SettingsError, match="IMAGE_PROXY_URL"):
            load({"IMAGE_PROXY_URL": wrong})
    local = {"STUDIO_OPS_LOCAL_STACK": "http://127.0.0.1:9", "DATABASE_URL": "postgresql://u@127.0.0.1/x"}
    with pytest.raises(SettingsError, match="IMAGE_PROXY_URL must point at this machine"):
        load({**local, "KIE_BASE_URL": "http://127.0.0.1:9", "IMAGE_PROXY_URL": "https://app.example.com/x"})


def test_our_own_storage_is_a_host_that_images_come_from() -> None:
    environment = {
        "STORAGE_BACKEND": "supabase",
        "SUPABASE_URL": "https://abcdefgh.supabase.co",
        "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
        "ALLOWED_FETCH_HOSTS": "cdn.example.com",
    }
    fetcher = fetcher_for(load(environment))
    for url in ("https://abcdefgh.supabase.co/storage/v1/x.jpg", "https://cdn.example.com/x.jpg"):
        fetcher._rules.check_url(url)
    fetcher.close()
