"""`/files` over real HTTP: links, ranges, caches, names, what is refused."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from core.providers.http import tls
from core.storage import links
from core.storage.buckets import BUCKETS
from core.storage.objects import LocalReader, LocalStorage
from core.web.files import ByteRange, RangeNotSatisfiable, make_routes, parse_range
from tests.unit.storage_samples import SIGNING_KEY, mp4, picture, put, storage_in

PATH = "user-1/image/gen-1_1763651170000.jpg"
BODY = picture("JPEG") + bytes(700_000)


class Site:
    """A server under uvicorn whose storage each test chooses."""

    storage: LocalStorage
    url: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    # The protocol is named because asyncio switches Nagle's delay off only where it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    site.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = Starlette(routes=make_routes(lambda: site.storage))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield site
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def storage(tmp_path: Path, site: Site) -> LocalStorage:
    site.storage = storage_in(tmp_path)
    put(site.storage, PATH, BODY)
    return site.storage


@pytest.fixture
def client(storage: LocalStorage, site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, trust_env=False, verify=tls()) as client:
        yield client


@pytest.fixture
def url(storage: LocalStorage) -> str:
    return storage.url("generations", PATH)


def test_the_whole_file_with_its_headers(client: httpx.Client, url: str) -> None:
    answer = client.get(url)
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(BODY))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == 'inline; filename="gen-1_1763651170000.jpg"'
    assert answer.headers["etag"].startswith('"')


def test_head_has_the_headers_and_no_body(client: httpx.Client, url: str) -> None:
    head, get = client.head(url), client.get(url)
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    part = client.head(url, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


def test_download_makes_it_an_attachment(client: httpx.Client, url: str) -> None:
    answer = client.get(url + "&download=1")
    assert answer.headers["content-disposition"] == 'attachment; filename="gen-1_1763651170000.jpg"'


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-", 0, len(BODY)),
    ("bytes=100-299999", 100, 299_900),
    (f"bytes={len(BODY) - 1}-", len(BODY) - 1, 1),
    ("bytes=-5", len(BODY) - 5, 5),
    (f"bytes=-{len(BODY) + 99}", 0, len(BODY)),
    (f"bytes=5-{10**15}", 5, len(BODY) - 5),
    ("Bytes = 1 - 2", 1, 2),
]


@pytest.mark.parametrize(("header", "start", "length"), RANGES)
def test_a_range(client: httpx.Client, url: str, header: str, start: int, length: int) -> None:
    answer = client.get(url, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == BODY[start : start + length]
    assert answer.headers["content-range"] == f"bytes {start}-{start + length - 1}/{len(BODY)}"
    assert answer.headers["content-length"] == str(length)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,5-6",
        "bytes=",
        "bytes=-",
        "bytes=9-3",
        "bytes=a-b",
        "items=0-1",
        "bytes=--5",
        "bytes=1",
        "x" * 999,
    ],
)
def test_a_range_that_is_not_one_gives_the_whole(client: httpx.Client, url: str, header: str) -> None:
    assert client.get(url, headers={"Range": header}).status_code == 200


@pytest.mark.parametrize("header", [f"bytes={len(BODY)}-", f"bytes={10**17}-", "bytes=-0"])
def test_a_range_beyond_the_end(client: httpx.Client, url: str, header: str) -> None:
    answer = client.get(url, headers={"Range": header})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(BODY)}"
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_ranges_of_an_empty_file() -> None:
    assert parse_range(None, 0) is None
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=0-", 0)
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=-1", 0)
    assert parse_range("bytes=0-0", 1) == ByteRange(0, 1)


def test_a_cached_copy_is_confirmed(client: httpx.Client, url: str) -> None:
    etag = client.get(url).headers["etag"]
    for header in (etag, f'"other", W/{etag}', "*"):
        answer = client.get(url, headers={"If-None-Match": header, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "immutable" in answer.headers["cache-control"]
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_part_of_another_version_is_not_continued(
    client: httpx.Client, storage: LocalStorage, url: str
) -> None:
    etag = client.get(url).headers["etag"]
    assert client.get(url, headers={"Range": "bytes=5-", "If-Range": etag}).status_code == 206
    put(storage, PATH, picture("JPEG"))
    newer = client.get(url, headers={"Range": "bytes=5-", "If-Range": etag})
    assert (newer.status_code, newer.content) == (200, picture("JPEG"))
    assert newer.headers["etag"] != etag


def test_a_video_is_served_to_seek(client: httpx.Client, storage: LocalStorage) -> None:
    put(storage, "u/video/v.mp4", mp4(), "video/mp4")
    answer = client.get(storage.url("generations", "u/video/v.mp4"), headers={"Range": "bytes=0-"})
    assert (answer.status_code, answer.headers["content-type"]) == (206, "video/mp4")


def test_what_a_browser_could_run_is_only_downloaded(client: httpx.Client, storage: LocalStorage) -> None:
    with storage.upload("lora-models") as upload:
        upload.write(b"<script>alert(1)</script>")
        upload.commit("a.html", "application/octet-stream")
    answer = client.get(storage.url("lora-models", "a.html"))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="a.html"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_name_of_every_character_keeps_its_header_whole(
    client: httpx.Client, storage: LocalStorage
) -> None:
    put(storage, "u/a b;c=(d)'e'.jpg", BODY)
    answer = client.get(storage.url("generations", "u/a b;c=(d)'e'.jpg"))
    assert answer.headers["content-disposition"] == "inline; filename=\"a b;c=(d)'e'.jpg\""


def test_an_expiring_link_is_not_kept_by_caches(client: httpx.Client, storage: LocalStorage) -> None:
    answer = client.get(storage.signed_url("generations", PATH, timedelta(minutes=1)))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")


def refusal(client: httpx.Client, url: str, method: str = "GET") -> tuple[int, str]:
    answer = client.request(method, url)
    body = answer.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message", "request_id"}
    assert body["error"]["request_id"]
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, body["error"]["code"]


def test_refusals_have_the_apis_shape(client: httpx.Client, storage: LocalStorage, url: str) -> None:
    old = links.link(SIGNING_KEY, "generations", PATH, datetime.now(UTC) - timedelta(seconds=1))
    assert refusal(client, old) == (403, "link_expired")
    assert refusal(client, url.partition("?")[0]) == (403, "bad_signature")
    assert refusal(client, url + "x") == (403, "bad_signature")
    assert refusal(client, url.replace("/image/", "/video/")) == (403, "bad_signature")
    assert refusal(client, url + "&exp=9999999999") == (403, "bad_signature")
    assert refusal(client, storage.url("generations", "u/none.jpg")) == (404, "not_found")
    assert refusal(client, url, "POST") == (405, "method_not_allowed")
    assert refusal(client, url, "DELETE") == (405, "method_not_allowed")
    assert client.delete(url).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        "/files/generations/../../etc/passwd",
        "/files/generations/..%2f..%2fetc%2fpasswd",
        "/files/generations/%2e%2e/%2e%2e/etc/passwd",
        "/files/..%2f.incoming/x",
        "/files/generations//etc/passwd",
        "/files/generations/%00",
        "/files/generations/a%5c..%5cb",
        "/files/generations/",
    ],
)
def test_no_path_leads_out(client: httpx.Client, path: str) -> None:
    answer = client.get(path + "?sig=guess")
    assert answer.status_code in {403, 404}
    assert b"root:" not in answer.content


@pytest.mark.parametrize("path", ["../../etc/passwd", "a/../../b", "/etc/passwd", "a\x00b"])
def test_even_a_signed_path_does_not_lead_out(client: httpx.Client, path: str) -> None:
    signature = links.sign(SIGNING_KEY, "generations", path, None)
    quoted = path.replace("/", "%2f").replace("\x00", "%00")
    assert refusal(client, f"/files/generations/{quoted}?sig={signature}") == (404, "not_found")


def test_an_unreadable_file_tells_the_visitor_no_path(
    client: httpx.Client, storage: LocalStorage, tmp_path: Path
) -> None:
    loop = tmp_path / "generations" / "loop.jpg"
    loop.symlink_to(loop)
    answer = client.get(storage.url("generations", "loop.jpg"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "storage_error")
    assert str(tmp_path) not in answer.text


class _Watched(LocalStorage):
    """Remembers every reader that it gave out."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, SIGNING_KEY, {bucket.name: bucket for bucket in BUCKETS})
        self.readers: list[LocalReader] = []

    def open(self, bucket: str, path: str) -> LocalReader:
        self.readers.append(super().open(bucket, path))
        return self.readers[-1]


def test_files_are_closed_however_the_sending_ends(client: httpx.Client, site: Site, tmp_path: Path) -> None:
    storage = site.storage = _Watched(tmp_path)
    put(storage, "u/big.jpg", BODY + bytes(30_000_000))
    url, big = storage.url("generations", PATH), storage.url("generations", "u/big.jpg")
    client.head(url)
    client.get(url)
    client.get(url, headers={"Range": "bytes=0-9"})
    client.get(url, headers={"Range": f"bytes={10**9}-"})
    client.get(url, headers={"If-None-Match": "*"})
    with httpx.stream("GET", site.url + big, trust_env=False) as answer:
        next(answer.iter_raw())
    deadline = time.monotonic() + 10
    while not all(reader.closed for reader in storage.readers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [reader.closed for reader in storage.readers] == [True] * 6
