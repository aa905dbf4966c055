"""One contract, every backend: what is promised of storage holds for a folder, Supabase and R2 alike."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from core.errors import InvalidInput, NotFound, StorageError
from core.storage.buckets import BUCKETS
from core.storage.contract import Storage
from core.storage.mover import store_stream
from tests.storage.conftest import Backend
from tests.unit.storage_samples import picture, pieces

JPEG = picture("JPEG")
PATH = "user-1/image/gen-1_1763651170000.jpg"


def put(
    storage: Storage,
    path: str = PATH,
    content: bytes = JPEG,
    kind: str = "image/jpeg",
    bucket: str = "generations",
) -> None:
    with storage.upload(bucket) as upload:
        upload.write(content)
        upload.commit(path, kind)


def content(storage: Storage, path: str = PATH, start: int = 0, length: int | None = None) -> bytes:
    reader = storage.open("generations", path)
    try:
        return b"".join(reader.chunks(start, length))
    finally:
        reader.close()


def test_a_stored_file(storage: Storage, backend: Backend) -> None:
    assert storage.kind == backend.kind
    assert storage.stat("generations", PATH) is None
    put(storage)
    info = storage.stat("generations", PATH)
    assert info is not None
    assert (info.bucket, info.path, info.bytes) == ("generations", PATH, len(JPEG))
    assert info.content_type == "image/jpeg"
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)
    assert content(storage) == JPEG
    assert backend.make().stat("generations", PATH) == info


GOOD_KEYS = ["a.jpg", "a b/(c)'d'!*$@=;:+,?&.jpg", "x" * 251 + ".jpg", "-/_/..a/a../....jpg"]
BAD_KEYS = ["", "/", "../a.jpg", "a//b.jpg", "a/", "кот.jpg", "a%2e%2e/b.jpg", "a#b.jpg", "a\nb"]


def test_keys_that_every_backend_takes(storage: Storage) -> None:
    for path in GOOD_KEYS:
        put(storage, path)
        assert content(storage, path) == JPEG
        assert [info.path for info in storage.find("generations", "")] == [path]
        assert [info.path for info in storage.walk("generations")] == [path]
        assert storage.delete("generations", path)


def test_keys_that_lead_elsewhere_are_refused(storage: Storage) -> None:
    calls: list[Callable[[str], Any]] = [
        lambda path: storage.stat("generations", path),
        lambda path: storage.open("generations", path),
        lambda path: storage.delete("generations", path),
        lambda path: storage.url("generations", path),
        lambda path: storage.signed_url("generations", path, timedelta(hours=1)),
        lambda path: put(storage, path),
    ]
    for path in BAD_KEYS:
        for call in calls:
            with pytest.raises(InvalidInput):
                call(path)
    assert list(storage.walk("generations")) == []


def test_only_known_buckets(storage: Storage) -> None:
    calls: list[Callable[[str], Any]] = [
        lambda bucket: storage.stat(bucket, "a.jpg"),
        lambda bucket: list(storage.walk(bucket)),
        lambda bucket: storage.url(bucket, "a.jpg"),
        lambda bucket: put(storage, bucket=bucket),
    ]
    for bucket in ("", "..", "nobody", "generations/..", "/"):
        for call in calls:
            with pytest.raises(StorageError, match="There is no bucket"):
                call(bucket)


def test_ranges(storage: Storage) -> None:
    body = JPEG + bytes(range(256)) * 2400
    put(storage, content=body)
    reader = storage.open("generations", PATH)
    for start, length in [
        (0, None),
        (0, 1),
        (100, 300_000),
        (len(body) - 1, None),
        (len(body), None),
        (5, 10**9),
    ]:
        wanted = body[start:] if length is None else body[start : start + length]
        assert b"".join(reader.chunks(start, length)) == wanted
    reader.close()
    reader.close()


def test_a_reader_never_mixes_versions(storage: Storage, backend: Backend) -> None:
    put(storage)
    reader = storage.open("generations", PATH)
    put(storage, content=JPEG + b"newer")
    if backend.kind == "local":
        assert b"".join(reader.chunks()) == JPEG
    else:
        with pytest.raises(StorageError, match="written anew") as caught:
            b"".join(reader.chunks())
        assert caught.value.retryable
    reader.close()
    assert content(storage) == JPEG + b"newer"
    now = storage.stat("generations", PATH)
    assert now is not None
    assert now.etag != reader.info.etag


def test_whole_or_nothing_is_visible(storage: Storage) -> None:
    with storage.upload("generations") as upload:
        upload.write(JPEG)
        assert upload.read_at(2, 8) == JPEG[2:10]
        assert storage.stat("generations", PATH) is None
        upload.commit(PATH, "image/jpeg")
        assert storage.stat("generations", PATH) is not None
    with storage.upload("generations") as upload:
        upload.write(b"left without a commit")

    def broken() -> None:
        with storage.upload("generations") as upload:
            upload.write(JPEG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert [info.path for info in storage.walk("generations")] == [PATH]


def test_an_upload_that_is_called_off_while_it_travels_publishes_nothing(
    storage: Storage, backend: Backend
) -> None:
    if backend.kind == "local":
        return

    class CalledOffError(Exception):
        pass

    def call_off() -> None:
        if calls.pop():
            raise CalledOffError

    calls = [True, False]
    with storage.upload("generations") as upload:
        for _ in range(9):
            upload.write(bytes(2 * 1024 * 1024))
        with pytest.raises(CalledOffError):
            upload.commit(PATH, "image/jpeg", call_off)
    assert storage.stat("generations", PATH) is None
    put(storage)
    assert content(storage) == JPEG


def test_the_same_bytes_again_change_nothing_a_reader_sees(storage: Storage) -> None:
    put(storage)
    before = storage.stat("generations", PATH)
    put(storage)
    after = storage.stat("generations", PATH)
    assert before is not None
    assert after is not None
    assert (before.bytes, before.content_type) == (after.bytes, after.content_type)
    assert content(storage) == JPEG
    put(storage, content=JPEG + b"another")
    assert content(storage) == JPEG + b"another"


def test_delete_is_idempotent(storage: Storage) -> None:
    put(storage)
    assert storage.delete("generations", PATH)
    assert not storage.delete("generations", PATH)
    assert storage.stat("generations", PATH) is None
    with pytest.raises(NotFound):
        storage.open("generations", PATH)


def test_find_by_prefix(storage: Storage) -> None:
    for name in (
        "u/image/g1_1.jpg",
        "u/image/g1_1_2.jpg",
        "u/image/g10_1.jpg",
        "u/image/G1_1.jpg",
        "u2/g1_1.jpg",
    ):
        put(storage, name)
    assert [info.path for info in storage.find("generations", "u/image/g1_")] == [
        "u/image/g1_1.jpg",
        "u/image/g1_1_2.jpg",
    ]
    assert [info.path for info in storage.find("generations", "u")] == sorted(
        info.path for info in storage.walk("generations")
    )
    assert len(storage.find("generations", "u/", limit=2)) == 2
    assert storage.find("generations", "nobody/") == []
    with pytest.raises(InvalidInput):
        storage.find("generations", "../")


def test_a_folder_of_more_than_one_page(storage: Storage) -> None:
    names = [f"u/image/{n:03}.jpg" for n in range(105)]
    for name in names:
        put(storage, name, b"x")
    assert [info.path for info in storage.find("generations", "u/image/")] == names
    assert sorted(info.path for info in storage.walk("generations")) == names


def test_what_a_bucket_does_not_take(storage: Storage) -> None:
    with pytest.raises(StorageError, match="takes no application/zip") as caught:
        put(storage, "a.zip", kind="application/zip")
    assert not caught.value.retryable
    with storage.upload("lora-validation") as upload:
        for _ in range(21):
            upload.write(bytes(1024 * 1024))
        with pytest.raises(StorageError, match=r"at most 20 MB a file; this one has 21\.0 MB"):
            upload.commit("a.jpg", "image/jpeg")


def test_concurrent_writers_leave_one_whole_file(storage: Storage) -> None:
    bodies = [JPEG + bytes([n]) * 300_000 for n in range(4)]
    start, faults = threading.Barrier(4), []

    def write(body: bytes) -> None:
        start.wait(10)
        try:
            for _ in range(2):
                put(storage, content=body)
        except Exception as error:  # noqa: BLE001 shown below
            faults.append(error)

    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert faults == []
    assert content(storage) in bodies


def test_the_permanent_url_opens(backend: Backend) -> None:
    put(backend.storage, "u/a b.jpg")
    url = backend.storage.url("generations", "u/a b.jpg")
    if backend.kind == "local":
        assert url.startswith("/files/generations/u/a%20b.jpg?sig=")
        return
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, JPEG)
    assert answer.headers["content-type"] == "image/jpeg"
    with pytest.raises(StorageError, match="private"):
        backend.storage.url("lora-models", "a.json")


def test_a_signed_url_opens_and_expires(backend: Backend) -> None:
    put(backend.storage)
    url = backend.storage.signed_url("generations", PATH, timedelta(hours=1))
    if backend.kind == "local":
        assert "&exp=" in url
        return
    assert httpx.get(url).content == JPEG
    if backend.kind == "r2":
        assert "X-Amz-Expires=3600" in url
        return
    expired = backend.storage.signed_url("generations", PATH, timedelta(seconds=1))
    ends = datetime.now(UTC) + timedelta(seconds=5)
    while httpx.get(expired).status_code == 200:
        assert datetime.now(UTC) < ends
    with pytest.raises(NotFound):
        backend.storage.signed_url("generations", "nobody.jpg", timedelta(hours=1))


def test_a_stream_is_moved_and_its_lease_is_renewed(storage: Storage) -> None:
    told: list[None] = []
    stored = store_stream(
        pieces(JPEG), len(JPEG), storage, "generations", lambda _: PATH, progress=lambda: told.append(None)
    )
    assert (stored.path, stored.bytes, stored.url) == (PATH, len(JPEG), storage.url("generations", PATH))
    assert content(storage) == JPEG


def test_check_and_prepare(backend: Backend) -> None:
    for bucket in BUCKETS:
        assert backend.storage.prepare(bucket) in {"made", "unchanged"}
        backend.storage.check(bucket.name)
        assert list(backend.storage.walk(bucket.name)) == []
