"""What a file really is, by its bytes, and whether it is all there.

A host's Content-Type and a file's name are claims; the first bytes are the fact. The end is looked
at too: a file cut off at its source can come with a Content-Length that matches the cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

HEAD_BYTES = 4096
_WINDOW = 1024 * 1024
_TAIL = 64 * 1024
_MAX_PARTS = 100_000  # segments or boxes; real files have far fewer, hostile ones could have millions

# Reads up to `length` bytes at `offset`.
ReadAt = Callable[[int, int], bytes]


@dataclass(frozen=True)
class FileType:
    content_type: str
    extension: str
    kind: Literal["image", "video"]


JPEG = FileType("image/jpeg", "jpg", "image")
PNG = FileType("image/png", "png", "image")
WEBP = FileType("image/webp", "webp", "image")
GIF = FileType("image/gif", "gif", "image")
AVIF = FileType("image/avif", "avif", "image")
MP4 = FileType("video/mp4", "mp4", "video")
QUICKTIME = FileType("video/quicktime", "mov", "video")
WEBM = FileType("video/webm", "webm", "video")

_MP4_BRANDS = (b"iso", b"mp4", b"avc1", b"M4V", b"MSNV", b"dash", b"f4v", b"3gp", b"hvc1", b"cmf")


def sniff(head: bytes) -> FileType | None:
    """The type that the first HEAD_BYTES of a file show, or None for any that is not ours to keep."""
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp":
        return _type_by_brand(head)
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:128]:
        return WEBM
    return None


def _type_by_brand(head: bytes) -> FileType | None:
    brand = head[8:12]
    if brand in {b"avif", b"avis"}:
        return AVIF
    if brand == b"qt  ":
        return QUICKTIME
    return MP4 if brand.startswith(_MP4_BRANDS) else None


def looks_like_text(head: bytes) -> bool:
    """Whether a page or a message (HTML, XML, JSON, plain text) stands where a file should."""
    start = head[:512].removeprefix(b"\xef\xbb\xbf")
    return bool(start) and all(byte >= 32 or byte in b"\t\n\r\f" for byte in start) and b"\x7f" not in start


def is_complete(file_type: FileType, size: int, read_at: ReadAt) -> bool:
    """Whether a file of `size` bytes has its own format's end. What follows the end is tolerated.

    Proves that nothing was cut off, not that the content decodes.
    """
    if file_type is JPEG:
        return _jpeg_ends(size, read_at)
    if file_type is PNG:
        return _contains(b"IEND\xaeB`\x82", 8, size, read_at)
    if file_type is GIF:
        return read_at(max(size - 64, 0), 64).rstrip(b"\x00").endswith(b"\x3b")
    if file_type is WEBP:
        return int.from_bytes(read_at(4, 4), "little") + 8 <= size
    if file_type is WEBM:
        return _webm_ends(size, read_at)
    return _boxes_end(size, read_at, {b"meta"} if file_type is AVIF else {b"moov"})


def _contains(marker: bytes, start: int, size: int, read_at: ReadAt) -> bool:
    """Whether `marker` stands in the file at or after `start`; its usual place, the tail, comes first."""
    if marker in read_at(max(start, size - _TAIL), _TAIL):
        return True
    overlap = len(marker) - 1
    return any(marker in read_at(offset, _WINDOW + overlap) for offset in range(start, size - _TAIL, _WINDOW))


def _jpeg_ends(size: int, read_at: ReadAt) -> bool:
    """An end marker after the first scan; embedded thumbnails, which have their own, lie before it."""
    offset = 2
    for _ in range(_MAX_PARTS):
        marker = read_at(offset, 4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return False
        if marker[1] == 0xFF:  # fill byte
            offset += 1
        elif marker[1] == 0xDA:
            return _contains(b"\xff\xd9", offset, size, read_at)
        else:
            offset += 2 + max(int.from_bytes(marker[2:4], "big"), 2)
    return False


def _boxes_end(size: int, read_at: ReadAt, wanted: set[bytes]) -> bool:
    """ISO base media (MP4, MOV, AVIF): whole top-level boxes to the end, the `wanted` ones and the
    media data among them."""
    seen: set[bytes] = set()
    offset = 0
    for _ in range(_MAX_PARTS):
        header = read_at(offset, 16)
        if len(header) < 8:  # the end, or a few bytes of padding after it
            break
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big") if len(header) == 16 else size
        elif length == 0:  # reaches to the end of the file, so its own end cannot be checked
            length = size - offset
        if length < 8 and wanted <= seen:  # padding after whole boxes
            break
        if length < 8 or offset + length > size:
            return False
        seen.add(name)
        offset += length
    return wanted | {b"mdat"} <= seen


def _webm_ends(size: int, read_at: ReadAt) -> bool:
    """EBML header, then one Segment that fits; one of unknown length (a live recording) passes."""
    header = _vint(read_at(4, 8))
    if header is None:
        return False
    segment = 4 + header[1] + header[0]
    if read_at(segment, 4) != b"\x18\x53\x80\x67":
        return False
    length = _vint(read_at(segment + 4, 8))
    if length is None:
        return False
    value, width = length
    unknown = value == (1 << (7 * width)) - 1
    return unknown or segment + 4 + width + value <= size


def _vint(data: bytes) -> tuple[int, int] | None:
    """An EBML number and its width in bytes."""
    if not data or not data[0]:
        return None
    width = 9 - data[0].bit_length()
    if len(data) < width:
        return None
    return int.from_bytes(data[:width], "big") & ((1 << (7 * width)) - 1), width
