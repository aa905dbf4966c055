"""The ZIP that a trainer fetches: the same images make the same bytes.

Stored, not deflated: photographs do not shrink, and deflating them takes a hundred times as long. Written
here and not by `zipfile`, which goes back to fill in each header, so that the file had to be read again
for its hash. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from core.errors import InvalidInput
from core.storage.file_types import HEAD_BYTES, sniff

MAX_BYTES = 52_428_800  # of the bucket character-references
_CHUNK = 256 * 1024
_AT_ONCE = 4
# The first moment that a ZIP can name, 1980-01-01 00:00:00, as time and date.
_WRITTEN_AT = (0, 1 << 5 | 1)
_VERSION, _UNIX, _STORED, _READABLE = 20, 3, 0, 0o100644 << 16
# What a file's own header and its line in the directory have in common; and what only the latter has.
_FACTS, _PLACE = struct.Struct("<5H3L2H"), struct.Struct("<3H2L")
# A file's own header and its line in the directory, which both carry its name; the archive's end.
_PER_FILE, _END = 30 + 46, 22


@dataclass(frozen=True)
class Archive:
    """A written ZIP; `sha256` in hex is of its bytes."""

    path: Path
    bytes: int
    sha256: str


def write(images: Sequence[Path], target: Path) -> Archive:
    """Write `image_001.jpg` and so on, in the order given, each with the extension that its bytes ask for.

    Raises InvalidInput, with nothing written, for one that would be too large or for what is no image.
    """
    named = [(_name(n, path), path) for n, path in enumerate(images, start=1)]
    problem = too_large([path.stat().st_size for path in images])
    if problem:
        raise InvalidInput("images", problem)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        checksums = list(pool.map(_checksum, images))
    with target.open("wb", buffering=0) as file:
        written = _Written(file)
        entries = [
            _add(written, name.encode(), path, checksum)
            for (name, path), checksum in zip(named, checksums, strict=True)
        ]
        _end(written, entries)
    return Archive(target, written.bytes, written.digest.hexdigest())


def size_of(sizes: Sequence[int]) -> int:
    """The most bytes that the ZIP of images of these sizes can have."""
    return sum(sizes) + len(sizes) * (_PER_FILE + 2 * len("image_001.webp")) + _END


def too_large(sizes: Sequence[int], numbers: Sequence[int] | None = None) -> str | None:
    """Why images of these sizes make no ZIP that can be stored, and what to do; None when they do.

    `numbers` are what people know the images by, 1 and on when not given.
    """
    whole = size_of(sizes)
    if whole <= MAX_BYTES:
        return None
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    known_as = numbers[largest] if numbers else largest + 1
    return (
        f"Together the images have {whole / 1e6:,.1f} MB; the training's ZIP may have {MAX_BYTES / 1e6:,.1f}"
        f" MB. Take some away, the largest first (image {known_as} has {sizes[largest] / 1e6:,.1f} MB), or"
        " add them as JPEG of at most 2048 pixels."
    )


def _name(n: int, path: Path) -> str:
    with path.open("rb") as file:
        file_type = sniff(file.read(HEAD_BYTES))
    if file_type is None or file_type.kind != "image":
        raise InvalidInput("images", f"Image {n} is no image. Take it away and add it anew.")
    return f"image_{n:03}.{file_type.extension}"


class _Written:
    """A file that is written from its beginning to its end, hashed on the way."""

    def __init__(self, file: BinaryIO | RawIOBase) -> None:
        self._file = file
        self.bytes = 0
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        self.bytes += len(content)
        self.digest.update(content)


def _checksum(path: Path) -> int:
    checksum = 0
    for chunk in _chunks(path):
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def _add(written: _Written, name: bytes, path: Path, checksum: int) -> bytes:
    """Write one image, whose checksum is known, so that nothing has to be gone back to; its line in the
    directory (APPNOTE.TXT 4.3.7 and 4.3.12)."""
    begins, size = written.bytes, path.stat().st_size
    facts = _FACTS.pack(_VERSION, 0, _STORED, *_WRITTEN_AT, checksum, size, size, len(name), 0)
    written.write(b"PK\x03\x04" + facts + name)
    for chunk in _chunks(path):
        written.write(chunk)
    place = _PLACE.pack(0, 0, 0, _READABLE, begins)
    return b"PK\x01\x02" + struct.pack("<BB", _VERSION, _UNIX) + facts + place + name


def _end(written: _Written, entries: Sequence[bytes]) -> None:
    """Write the directory and what says where it is (4.3.16)."""
    begins, directory = written.bytes, b"".join(entries)
    count = len(entries)
    written.write(directory)
    written.write(b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, len(directory), begins, 0))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
