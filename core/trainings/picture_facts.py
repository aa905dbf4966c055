"""What a picture's header says, read without decoding anything: a bomb is known before it is opened."""

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from core.storage.file_types import JPEG, PNG, WEBP, FileType

_MAX_PARTS = 100_000  # segments before a JPEG's frame, chunks of a PNG; real files have far fewer
_WINDOW = 256 * 1024
# SOF0 to SOF15 without DHT, JPG and DAC, which stand among them (ITU-T T.81, table B.1).
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PLAIN_COLOURS = {2: True, 0: False, 3: False, 4: False, 6: False}


@dataclass(frozen=True)
class PictureFacts:
    """Size in pixels as stored, before any rotation. `plain`: 8 bits of red, green and blue each, or what
    JPEG and WebP make of them, without transparency."""

    width: int
    height: int
    plain: bool
    animated: bool = False


def read_facts(file: BinaryIO, file_type: FileType) -> PictureFacts | None:
    """What the header of a file of that type says; None when it makes no sense."""
    file.seek(0)
    if file_type is JPEG:
        return _jpeg(file)
    if file_type is PNG:
        return _png(file)
    return _webp(file) if file_type is WEBP else None


def _jpeg(file: BinaryIO) -> PictureFacts | None:
    file.seek(2)
    for _ in range(_MAX_PARTS):
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return None
        if head[1] == 0xFF:  # fill byte
            file.seek(-3, 1)
            continue
        length = int.from_bytes(head[2:4], "big")
        if head[1] in _FRAMES:
            frame = file.read(6)
            if len(frame) < 6:
                return None
            height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            return PictureFacts(width, height, plain=frame[0] == 8 and frame[5] == 3)
        if head[1] == 0xDA or length < 2:
            return None
        file.seek(length - 2, 1)
    return None


def _png(file: BinaryIO) -> PictureFacts | None:
    head = file.read(33)
    if len(head) < 33 or head[12:16] != b"IHDR":
        return None
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    plain, animated = head[24] == 8 and _PLAIN_COLOURS.get(head[25], False), False
    for _ in range(_MAX_PARTS):
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[4:] in {b"IDAT", b"IEND"}:
            break
        animated = animated or chunk[4:] == b"acTL"
        plain = plain and chunk[4:] != b"tRNS"
        file.seek(int.from_bytes(chunk[:4], "big") + 4, 1)
    return PictureFacts(width, height, plain, animated)


def png_is_sound(file: BinaryIO) -> bool:
    """Whether every chunk of a PNG has its checksum; the decoder does not look at those of the pixels."""
    file.seek(8)
    for _ in range(_MAX_PARTS):
        chunk = file.read(8)
        if len(chunk) < 8:
            return False
        checksum, rest = zlib.crc32(chunk[4:]), int.from_bytes(chunk[:4], "big")
        while rest and (part := file.read(min(rest, _WINDOW))):
            checksum, rest = zlib.crc32(part, checksum), rest - len(part)
        if rest or file.read(4) != checksum.to_bytes(4, "big"):
            return False
        if chunk[4:] == b"IEND":
            return True
    return False


def _webp(file: BinaryIO) -> PictureFacts | None:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    head = file.read(30)
    kind = head[12:16]
    if len(head) < 30:
        return None
    if kind == b"VP8X":
        width, height = int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        return PictureFacts(width, height, plain=not head[20] & 0x10, animated=bool(head[20] & 0x02))
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return PictureFacts((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1, plain=not bits >> 28 & 1)
    if kind == b"VP8 ":
        width, height = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
        return PictureFacts(width & 0x3FFF, height & 0x3FFF, plain=True)
    return None
