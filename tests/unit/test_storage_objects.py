"""The folder's storage: keys, atomicity, crashes, rivals, a full disk."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import InvalidInput, NotFound, SettingsError, StorageError
from core.settings import load
from core.storage.backend import from_settings
from core.storage.contract import MAX_KEY, check_key
from core.storage.objects import LocalStorage, named_errors
from core.storage.rules import content_type_of
from tests.unit.storage_samples import picture, put, storage_in

ROOT = Path(__file__).resolve().parents[2]
JPEG = picture("JPEG")
PATH = "user-1/image/gen-1_1763651170000.jpg"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return storage_in(tmp_path)


def content(storage: LocalStorage, path: str = PATH) -> bytes:
    reader = storage.open("generations", path)
    try:
        return b"".join(reader.chunks())
    finally:
        reader.close()


GOOD_KEYS = [
    "a.jpg",
    PATH,
    "a b/(c)'d'!*$@=;:+,?&.png",
    "x" * 255,
    "-/_/..a/a../...",
    "/".join(["d" * 99] * 8),
]
BAD_KEYS = [
    *("", "/", "/etc/passwd", "a/", "a//b", "//a", "./a", "a/./b", ".", "..", "../a", "a/../../b", "a/.."),
    *("a\\b", "a\x00b", "a\nb", "кот.jpg", "a%2e%2e/b", "a~b", "a#b", "a|b", 'a"b', "<a>", "a\ud800"),
    *("x" * 256, "a/" * (MAX_KEY // 2) + "a", "x/" + "y" * 256),
]


@pytest.mark.parametrize("path", GOOD_KEYS)
def test_keys_that_every_backend_takes(storage: LocalStorage, path: str) -> None:
    assert check_key(path) == path
    assert storage.stat("generations", path) is None


@pytest.mark.parametrize("path", BAD_KEYS)
@pytest.mark.parametrize(
    "call",
    [
        lambda storage, path: storage.stat("generations", path),
        lambda storage, path: storage.open("generations", path),
        lambda storage, path: storage.delete("generations", path),
        lambda storage, path: storage.url("generations", path),
        lambda storage, path: storage.signed_url("generations", path, timedelta(hours=1)),
        lambda storage, path: put(storage, path, JPEG),
    ],
    ids=["stat", "open", "delete", "url", "signed_url", "put"],
)
def test_keys_that_lead_elsewhere_are_refused_everywhere(
    storage: LocalStorage, tmp_path: Path, call: Callable[[LocalStorage, str], object], path: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        call(storage, path)
    assert caught.value.field == "path"
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize("bucket", ["", "..", ".incoming", "nobody", "generations/..", "/"])
def test_only_known_buckets(storage: LocalStorage, bucket: str) -> None:
    with pytest.raises(StorageError, match="There is no bucket"):
        storage.stat(bucket, "a.jpg")
    with pytest.raises(StorageError, match="There is no bucket"), storage.upload(bucket):
        pass


def test_a_stored_file(storage: LocalStorage) -> None:
    put(storage, PATH, JPEG)
    info = storage.stat("generations", PATH)
    assert info is not None
    assert (info.bucket, info.path, info.bytes, info.content_type) == (
        "generations",
        PATH,
        len(JPEG),
        "image/jpeg",
    )
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)
    assert content(storage) == JPEG


def test_ranges(storage: LocalStorage) -> None:
    body = JPEG + bytes(600_000)
    put(storage, PATH, body)
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


def test_a_reader_keeps_its_version(storage: LocalStorage) -> None:
    put(storage, PATH, JPEG)
    reader = storage.open("generations", PATH)
    put(storage, PATH, JPEG + b"newer")
    assert b"".join(reader.chunks()) == JPEG
    reader.close()
    now = storage.stat("generations", PATH)
    assert now is not None
    assert now.etag != reader.info.etag


def test_nothing_is_seen_before_the_commit(storage: LocalStorage, tmp_path: Path) -> None:
    with storage.upload("generations") as upload:
        upload.write(JPEG)
        assert storage.stat("generations", PATH) is None
        assert storage.find("generations", "user-1/") == []
        upload.commit(PATH, "image/jpeg")
        assert storage.stat("generations", PATH) is not None
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_an_upload_that_is_left_leaves_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    def broken() -> None:
        with storage.upload("generations") as upload:
            upload.write(JPEG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with storage.upload("generations") as upload:
        upload.write(JPEG)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


def test_delete_is_idempotent(storage: LocalStorage) -> None:
    put(storage, PATH, JPEG)
    assert storage.delete("generations", PATH)
    assert not storage.delete("generations", PATH)
    assert not storage.delete("generations", "user-1/image")
    assert not storage.delete("generations", PATH + "/below")
    with pytest.raises(NotFound):
        storage.open("generations", PATH)


def test_find_by_prefix(storage: LocalStorage) -> None:
    for name in ("u/image/g1_1.jpg", "u/image/g1_1_2.jpg", "u/image/g10_1.jpg", "u2/image/g1_1.jpg"):
        put(storage, name, JPEG)
    assert [info.path for info in storage.find("generations", "u/image/g1_")] == [
        "u/image/g1_1.jpg",
        "u/image/g1_1_2.jpg",
    ]
    assert len(storage.find("generations", "")) == 4
    assert len(storage.find("generations", "u/", limit=2)) == 2
    assert storage.find("generations", "nobody/") == []
    with pytest.raises(InvalidInput):
        storage.find("generations", "../")


def test_a_file_where_a_folder_should_be_is_said(storage: LocalStorage) -> None:
    put(storage, "user-1/a.jpg", JPEG)
    put(storage, "folder.jpg/b.jpg", JPEG)
    with pytest.raises(StorageError, match="A file stands where a folder"):
        put(storage, "user-1/a.jpg/b.jpg", JPEG)
    with pytest.raises(StorageError, match="A file stands where a folder"):
        put(storage, "folder.jpg", JPEG)
    assert storage.stat("generations", "user-1/a.jpg/b.jpg") is None


def test_directories_and_pipes_are_no_files(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, PATH, JPEG)
    os.mkfifo(tmp_path / "generations" / "pipe.jpg")
    for path in ("user-1", "user-1/image", "pipe.jpg"):
        assert storage.stat("generations", path) is None
        with pytest.raises(NotFound):
            storage.open("generations", path)


def test_bucket_rules(storage: LocalStorage) -> None:
    with pytest.raises(StorageError, match="takes no application/zip"):
        put(storage, "a.zip", b"PK", "application/zip")
    with pytest.raises(StorageError, match="would be served as application/octet-stream"):
        put(storage, "a.exe", JPEG, "image/jpeg")
    with storage.upload("lora-validation") as upload:
        for _ in range(21):
            upload.write(bytes(1024 * 1024))
        with pytest.raises(StorageError, match=r"at most 20 MB a file; this one has 21\.0 MB"):
            upload.commit("a.jpg", "image/jpeg")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("a.JPG", "image/jpeg"),
        ("a.mp4", "video/mp4"),
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("jpg", "image/jpeg"),
        ("a.safetensors", "application/octet-stream"),
    ],
)
def test_content_types_come_from_a_safe_table(path: str, content_type: str) -> None:
    assert content_type_of(path) == content_type


def test_two_writers_of_one_key_leave_one_whole_file(storage: LocalStorage, tmp_path: Path) -> None:
    bodies = [JPEG + bytes([n]) * 400_000 for n in range(6)]
    start, seen, done = threading.Barrier(7), set(), threading.Event()

    def write(body: bytes) -> None:
        start.wait(10)
        for _ in range(5):
            put(storage, PATH, body)

    def watch() -> None:
        start.wait(10)
        while not done.is_set():
            if storage.stat("generations", PATH):
                seen.add(content(storage))

    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    watcher = threading.Thread(target=watch)
    for thread in (*writers, watcher):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert seen
    assert seen <= set(bodies)
    assert content(storage) in bodies
    assert len([found for found in tmp_path.rglob("*") if found.is_file()]) == 1


_WRITER = """
import sys, time
from pathlib import Path
from tests.unit.storage_samples import picture, storage_in

with storage_in(Path(sys.argv[1])).upload("generations") as upload:
    upload.write(picture("JPEG"))
    print("written", flush=True)
    time.sleep(60)
    upload.commit("a.jpg", "image/jpeg")
"""


def test_a_kill_in_the_middle_leaves_nothing_to_see_and_is_cleared_later(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    writer.stdout.close()
    storage = storage_in(tmp_path)
    assert storage.find("generations", "") == []
    (left,) = (tmp_path / ".incoming").iterdir()
    put(storage, PATH, JPEG)
    assert left.exists()  # another process could still be writing one of this age
    old = time.time() - 2 * 24 * 3600
    os.utime(left, (old, old))
    put(storage_in(tmp_path), PATH, JPEG)
    assert not left.exists()


_FULL = """
import resource, sys
from pathlib import Path
from core.errors import StorageError
from tests.unit.storage_samples import put, storage_in

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    put(storage_in(Path(sys.argv[1])), "a.jpg", bytes(1_000_000))
except StorageError as error:
    print(error.retryable, error.message)
"""


def test_a_file_that_finds_no_room_says_what_to_do(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"True The disk that holds {tmp_path} is full")
    assert "STUDIO_OPS_DATA_DIR" in run.stdout
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize(
    ("fault", "retryable", "words"),
    [
        (errno.ENOSPC, True, "is full"),
        (errno.EDQUOT, True, "is full"),
        (errno.EACCES, False, "cannot be written"),
        (errno.EROFS, False, "cannot be written"),
        (errno.EIO, True, "failed"),
    ],
)
def test_each_fault_of_the_disk_has_its_remedy(fault: int, retryable: bool, words: str) -> None:
    with pytest.raises(StorageError) as caught, named_errors(Path("/data")):
        raise OSError(fault, os.strerror(fault))
    assert (caught.value.retryable, words in caught.value.message) == (retryable, True)


def test_check_proves_that_a_bucket_can_be_written(storage: LocalStorage, tmp_path: Path) -> None:
    storage.check("generations")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, no folder")
    with pytest.raises(StorageError):
        storage_in(blocked).check("generations")


def test_the_settings_choose_the_folder_and_need_a_key(tmp_path: Path) -> None:
    values = {"STUDIO_OPS_DATA_DIR": str(tmp_path)}
    with pytest.raises(SettingsError, match="FILES_SIGNING_KEY"):
        from_settings(load(values))
    storage = from_settings(load({**values, "FILES_SIGNING_KEY": "k"}))
    storage.check("generations")
    assert (tmp_path / "files" / "generations").is_dir()
