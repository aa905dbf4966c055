"""What a file is, by its bytes, and whether its end is there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.storage.file_types import (
    AVIF,
    GIF,
    JPEG,
    MP4,
    PNG,
    QUICKTIME,
    WEBM,
    WEBP,
    FileType,
    is_complete,
    looks_like_text,
    sniff,
)
from tests.unit.storage_samples import box, mp4, picture, webm


def complete(file_type: FileType, content: bytes) -> bool:
    return is_complete(file_type, len(content), lambda offset, length: content[offset : offset + length])


FTYP = box(b"ftyp", b"isom\x00\x00\x02\x00")
MOOV, MDAT = box(b"moov", b"m" * 300), box(b"mdat", b"d" * 3000)

WHOLE: dict[str, tuple[FileType, bytes]] = {
    "jpeg": (JPEG, picture("JPEG")),
    "jpeg with a thumbnail": (JPEG, picture("JPEG", thumbnail=True)),
    "jpeg with bytes after its end": (JPEG, picture("JPEG") + b"\x00" * 100),
    "jpeg with a long appendix": (JPEG, picture("JPEG") + b"z" * 3_000_000),
    "jpeg with fill bytes": (JPEG, b"\xff\xd8\xff\xff\xff\xda\x00\x02data\xff\xd9"),
    "png": (PNG, picture("PNG")),
    "png with bytes after its end": (PNG, picture("PNG") + b"tail"),
    "webp": (WEBP, picture("WEBP")),
    "gif": (GIF, picture("GIF")),
    "avif": (AVIF, picture("AVIF")),
    "mp4": (MP4, mp4()),
    "mp4 of another brand": (MP4, mp4(b"mp42")),
    "mp4 with its index at the end": (MP4, FTYP + MDAT + MOOV),
    "mp4 in fragments": (MP4, FTYP + MOOV + (box(b"moof", b"x") + MDAT) * 3),
    "mp4 with a 64-bit box": (MP4, FTYP + MOOV + box(b"mdat", b"d" * 3000, wide=True)),
    "mp4 whose last box runs to the end": (MP4, FTYP + MOOV + b"\x00\x00\x00\x00mdat" + b"d" * 99),
    "mp4 with padding": (MP4, mp4() + b"\x00" * 5),
    "mov": (QUICKTIME, mp4(b"qt  ")),
    "webm": (WEBM, webm()),
    "webm of unknown length": (WEBM, webm(unknown_length=True)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_known_and_complete(name: str) -> None:
    file_type, content = WHOLE[name]
    assert sniff(content[:4096]) is file_type
    assert complete(file_type, content)


CUT = {
    name: WHOLE[name]
    for name in ("jpeg", "jpeg with a thumbnail", "png", "webp", "gif", "avif", "mp4", "mov", "webm")
} | {"mp4 with its index at the end": (MP4, FTYP + MDAT + MOOV)}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.999])
def test_cut_files_are_not_complete(name: str, part: float) -> None:
    file_type, content = CUT[name]
    assert not complete(file_type, content[: int(len(content) * part)])


def test_a_cut_photo_is_not_saved_by_its_thumbnails_end() -> None:
    content = picture("JPEG", thumbnail=True)
    assert content.count(b"\xff\xd9") == 2
    assert not complete(JPEG, content[:-2])


def test_an_mp4_without_index_or_data_is_not_complete() -> None:
    assert not complete(MP4, FTYP + MDAT)
    assert not complete(MP4, FTYP + MOOV)


NOT_OURS = {
    "nothing": b"",
    "html": b"<!doctype html><html><body>403</body></html>",
    "json": b'{"code": 404}',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "zip": b"PK\x03\x04" + b"\x00" * 60,
    "exe": b"MZ\x90\x00" + b"\x00" * 60,
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "wav, also RIFF": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "heic, also ftyp": box(b"ftyp", b"heic\x00\x00\x00\x00"),
    "matroska, also EBML": b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska",
    "html that begins like nothing": b"\x00\x00<html>",
    "one byte of a jpeg": b"\xff",
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_other_files_are_not_taken_for_ours(name: str) -> None:
    assert sniff(NOT_OURS[name]) is None


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (NOT_OURS["html"], True),
        (NOT_OURS["json"], True),
        ("Доступ запрещён".encode(), True),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", True),
        (NOT_OURS["zip"], False),
        (b"", False),
    ],
)
def test_texts_are_told_from_binaries(head: bytes, text: bool) -> None:
    assert looks_like_text(head) is text


HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\x00\x00\x00WEBP", FTYP, webm()[:16])


@settings(deadline=None, derandomize=True)
@given(head=st.sampled_from(HEADS), rest=st.binary(max_size=300))
def test_hostile_bytes_never_raise(head: bytes, rest: bytes) -> None:
    content = head + rest
    file_type = sniff(content)
    assert file_type is not None
    assert complete(file_type, content) in {True, False}


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8" + b"\xff\xe0\x00\x00" * 200_000, FTYP + box(b"free") * 200_000],
    ids=["jpeg segments", "mp4 boxes"],
)
def test_millions_of_parts_do_not_keep_us_busy(content: bytes) -> None:
    reads = 0

    def read_at(offset: int, length: int) -> bytes:
        nonlocal reads
        reads += 1
        return content[offset : offset + length]

    file_type = sniff(content)
    assert file_type is not None
    assert not is_complete(file_type, len(content), read_at)
    assert reads <= 100_001
