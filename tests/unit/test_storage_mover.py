"""The mover: what it stores, and that whatever it refuses leaves the key and the folder untouched."""

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ErrorCategory, StorageError
from core.storage.file_types import FileType
from core.storage.mover import StoredObject, UnusableFile, store_stream
from tests.unit.storage_samples import box, mp4, picture, pieces, put, storage_in

JPEG = picture("JPEG")


def key(file_type: FileType) -> str:
    return f"user-1/{file_type.kind}/gen-1_1763651170000.{file_type.extension}"


def move(root: Path, content: bytes, length: int | None = None, max_bytes: int = 10_000_000) -> StoredObject:
    return store_stream(pieces(content), length, storage_in(root), "generations", key, max_bytes)


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("content", "ending", "content_type"),
    [
        (JPEG, "image/gen-1_1763651170000.jpg", "image/jpeg"),
        (picture("PNG"), "image/gen-1_1763651170000.png", "image/png"),
        (picture("WEBP"), "image/gen-1_1763651170000.webp", "image/webp"),
        (mp4(), "video/gen-1_1763651170000.mp4", "video/mp4"),
    ],
)
def test_a_file_is_stored_under_its_real_type(
    tmp_path: Path, content: bytes, ending: str, content_type: str
) -> None:
    stored = move(tmp_path, content, len(content))
    assert stored.path == f"user-1/{ending}"
    assert (stored.bucket, stored.bytes, stored.content_type) == ("generations", len(content), content_type)
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert stored.url == storage_in(tmp_path).url("generations", stored.path)
    assert (tmp_path / "generations" / stored.path).read_bytes() == content
    assert files_in(tmp_path) == [f"generations/{stored.path}"]


def test_a_length_that_is_not_said_is_no_fault(tmp_path: Path) -> None:
    assert move(tmp_path, JPEG, None).bytes == len(JPEG)


REFUSED = {
    "shorter than announced": (JPEG, len(JPEG) + 1, True, "cut off"),
    "longer than announced": (JPEG, len(JPEG) - 1, True, "cut off"),
    "cut at the source": (JPEG[:-50], len(JPEG) - 50, True, "cut off"),
    "a cut video of matching length": (mp4()[:-50], None, True, "cut off"),
    "empty": (b"", 0, True, "empty"),
    "a web page": (b"<!doctype html><p>Access denied</p>", None, True, "web page"),
    "a message": (b'{"error": "expired"}', None, True, "message"),
    "a program": (b"\x7fELF" + b"\x00" * 100, None, False, "no known"),
    "too large as announced": (JPEG, 10_000_001, False, "larger than"),
    "too large unannounced": (JPEG + b"\x00" * 10_000_000, None, False, "larger than"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused_leaves_nothing(tmp_path: Path, fault: str) -> None:
    content, length, retryable, words = REFUSED[fault]
    with pytest.raises(UnusableFile) as caught:
        move(tmp_path, content, length)
    assert (caught.value.retryable, caught.value.category) == (retryable, ErrorCategory.FILE_ERROR)
    assert words in caught.value.message
    assert files_in(tmp_path) == []


def test_too_large_is_noticed_while_it_streams(tmp_path: Path) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield JPEG[:1000]

    with pytest.raises(UnusableFile):
        store_stream(endless(), None, storage_in(tmp_path), "generations", key, 50_000)
    assert taken <= 52_000


def test_a_source_that_breaks_off_keeps_the_earlier_file(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    put(storage, "user-1/image/gen-1_1763651170000.jpg", JPEG)

    def broken() -> Iterator[bytes]:
        yield JPEG[:2000]
        raise ConnectionResetError("peer went away")

    with pytest.raises(ConnectionResetError):
        store_stream(broken(), None, storage, "generations", key)
    assert files_in(tmp_path) == ["generations/user-1/image/gen-1_1763651170000.jpg"]
    assert (tmp_path / "generations/user-1/image/gen-1_1763651170000.jpg").read_bytes() == JPEG


def test_moving_again_changes_nothing_that_a_reader_sees(tmp_path: Path) -> None:
    assert move(tmp_path, JPEG) == move(tmp_path, JPEG)


def test_a_key_out_of_the_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"no '\.\.'"):
        store_stream([JPEG], None, storage_in(tmp_path), "generations", lambda _: "../../etc/x.jpg")
    assert files_in(tmp_path) == []


def test_a_type_that_the_bucket_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="takes no video/mp4"):
        store_stream([mp4()], None, storage_in(tmp_path), "lora-validation", lambda _: "a.mp4")
    assert files_in(tmp_path) == []


def test_what_reading_raises_ends_the_move(tmp_path: Path) -> None:
    class LeaseLost(Exception):
        pass

    def chunks() -> Iterator[bytes]:
        yield JPEG
        yield b"\x00" * 2_500_000
        raise LeaseLost

    with pytest.raises(LeaseLost):
        store_stream(chunks(), None, storage_in(tmp_path), "generations", key)
    assert files_in(tmp_path) == []


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    data = box(b"ftyp", b"isom\x00\x00\x02\x00") + box(b"moov", b"m" * 300)
    block, blocks = b"d" * 65_536, 640  # 40 MB

    def video() -> Iterator[bytes]:
        yield data + (8 + len(block) * blocks).to_bytes(4, "big") + b"mdat"
        for _ in range(blocks):
            yield block

    tracemalloc.start()
    stored = store_stream(video(), None, storage_in(tmp_path), "generations", key)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stored.bytes > 40_000_000
    assert peak < 2_000_000
