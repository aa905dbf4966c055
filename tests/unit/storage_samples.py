"""Small real files of every type that results come in, and a local storage to put them into."""

import functools
import io
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from core.storage.buckets import BUCKETS
from core.storage.objects import LocalStorage

SIGNING_KEY = b"a-signing-key-for-tests"


def storage_in(root: Path) -> LocalStorage:
    return LocalStorage(root, SIGNING_KEY, {bucket.name: bucket for bucket in BUCKETS})


def put(storage: LocalStorage, path: str, content: bytes, content_type: str = "image/jpeg") -> None:
    with storage.upload("generations") as upload:
        upload.write(content)
        upload.commit(path, content_type)


def pieces(content: bytes, size: int = 1000) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@functools.cache
def picture(format_name: str, side: int = 96, thumbnail: bool = False) -> bytes:
    """A noisy picture; `thumbnail` puts a whole small JPEG into its header, as cameras do."""
    noise = bytes((x * 7 + (x * x) // 13) % 256 for x in range(side * side * 3))
    image = Image.frombytes("RGB", (side, side), noise)
    options = {"exif": b"Exif\x00\x00" + picture("JPEG", 16)} if thumbnail else {}
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def box(name: bytes, body: bytes = b"", wide: bool = False) -> bytes:
    """An ISO base media box."""
    if wide:
        return struct.pack(">I4sQ", 1, name, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, name) + body


def mp4(brand: bytes = b"isom") -> bytes:
    return box(b"ftyp", brand + b"\x00\x00\x02\x00") + box(b"moov", b"m" * 300) + box(b"mdat", b"d" * 3000)


def webm(unknown_length: bool = False) -> bytes:
    header = b"\x1a\x45\xdf\xa3" + b"\x87" + b"\x42\x82\x84webm"
    body = b"\x15\x49\xa9\x66" + b"c" * 1000
    length = b"\x01" + b"\xff" * 7 if unknown_length else struct.pack(">Q", len(body) | 1 << 56)
    return header + b"\x18\x53\x80\x67" + length + body
