"""What a photograph is worth to a training: the verdict on a file by its bytes, before money is spent.

Pure over the file. `pictures` makes the image fit that does not.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import InvalidInput
from core.storage.file_types import HEAD_BYTES, JPEG, PNG, FileType, is_complete, looks_like_text, sniff
from core.trainings import pictures
from core.trainings.likeness import perceptual_hash
from core.trainings.picture_facts import PictureFacts, png_is_sound, read_facts
from core.trainings.pictures import LONGEST_SIDE, Glance, Unreadable

MAX_BYTES = 50 * 1024 * 1024  # what the bucket takes
# A phone's 64 megapixels fit. Decoded they take 200 MB; whatever is larger is refused by its header.
MAX_PIXELS = 80_000_000
SMALL_SIDE, SMALLEST_SIDE = 512, 256
Thumbnail = bytes  # of a JPEG
_TAKEN = {"image/jpeg", "image/png", "image/webp"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}
_LYING = {5, 6, 7, 8}  # EXIF orientations that swap width and height
_DAMAGED = "The file is damaged or cut off. Export or download it again, then add it anew."
_FADES = (
    "It ends in plain grey, as a file does of which a part is missing. Look at it in full, and add it anew"
    " unless that is the picture."
)


class Verdict(StrEnum):
    """What becomes of an image: used as it is, made to fit, used with a doubt, or left out."""

    FITS = "fits"
    CONVERTED = "converted"
    WARNED = "warned"
    REFUSED = "refused"


@dataclass(frozen=True)
class Inspected:
    """One file as it came. Width and height are those that a person sees, rotation applied and before any
    conversion, 0 when unknown; `format` is an extension by the bytes, empty for what is no image of ours.
    `converts`: `prepare` changes it. Each of the `reasons` is a sentence."""

    format: str
    width: int
    height: int
    bytes: int
    sha256: str
    phash: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    converts: bool = False


def inspect(path: Path) -> Inspected:
    """The verdict on a file."""
    size, digest = measure(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file_type = sniff(head)
        facts = read_facts(file, file_type) if file_type else None
    known = file_type.extension if file_type else ""
    width, height = (facts.width, facts.height) if facts else (0, 0)

    refusal = _by_type(file_type, head, size) or _by_header(facts, file_type, path, size)
    if refusal or facts is None:
        return Inspected(known, width, height, size, digest, "", Verdict.REFUSED, (refusal or _DAMAGED,))
    try:
        glance = pictures.glance(path, (width, height))
    except Unreadable:
        return Inspected(known, width, height, size, digest, "", Verdict.REFUSED, (_DAMAGED,))
    if glance.orientation in _LYING:
        width, height = height, width

    changes = _changes(facts, glance)
    verdict, doubts = _by_size(width, height, Verdict.CONVERTED if changes else Verdict.FITS)
    if glance.fades and file_type is JPEG and verdict is not Verdict.REFUSED:
        verdict, doubts = Verdict.WARNED, (*doubts, _FADES)
    reasons = doubts if verdict is Verdict.REFUSED else (*doubts, *changes)
    likeness = perceptual_hash(glance.picture)
    return Inspected(known, width, height, size, digest, likeness, verdict, reasons, converts=bool(changes))


def measure(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 in hex of a file, which is read as a stream."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def prepare(source: Path, target: Path) -> None:
    """Write `source` to `target` as an upright RGB JPEG without transparency, no side over LONGEST_SIDE.

    Raises InvalidInput when it cannot be decoded.
    """
    try:
        pictures.convert(source, target)
    except Unreadable:
        raise InvalidInput("images", _DAMAGED) from None


def thumbnail(path: Path) -> Thumbnail:
    """A small upright JPEG of the image. Raises InvalidInput when it cannot be decoded."""
    try:
        return pictures.thumbnail(path)
    except Unreadable:
        raise InvalidInput("images", _DAMAGED) from None


def _by_type(file_type: FileType | None, head: bytes, size: int) -> str | None:
    """Why this is no image that a training takes, whatever its name says."""
    save = "Save it as JPEG, PNG or WebP and add that."
    if not size:
        return "The file is empty. Choose it again."
    if size > MAX_BYTES:
        return f"It has {size / 1e6:,.1f} MB; an image may have {MAX_BYTES / 1e6:,.1f} MB. Save it smaller."
    if file_type and file_type.content_type in _TAKEN:
        return None
    if file_type:
        what = "video" if file_type.kind == "video" else file_type.extension.upper()
        return f"This is a {what}, which no trainer takes. {save}"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return f"This is a HEIC photograph, which no trainer takes. {save}"
    if head.startswith(b"PK\x03\x04"):
        return "This is a ZIP archive. Unpack it and add the images themselves."
    if looks_like_text(head):
        return "This is a text or a web page, not an image, whatever its name says. Add the image itself."
    return f"This is not an image, or of a kind that no trainer takes. {save}"


def _by_header(facts: PictureFacts | None, file_type: FileType | None, path: Path, size: int) -> str | None:
    """Why it must not or cannot be decoded."""
    if facts is None or file_type is None or not (facts.width and facts.height):
        return _DAMAGED
    if facts.width * facts.height > MAX_PIXELS:
        return (
            f"It says that it has {facts.width:,} × {facts.height:,} pixels, more than the"
            f" {MAX_PIXELS // 1_000_000} megapixels that are opened. Save it with at most"
            f" {LONGEST_SIDE} pixels on its longest side."
        )
    if facts.animated:
        return "This is an animation, of which a training can use nothing. Save one frame as a still image."
    with path.open("rb") as file:

        def read_at(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        whole = is_complete(file_type, size, read_at) and (file_type is not PNG or png_is_sound(file))
        return None if whole else _DAMAGED


def _changes(facts: PictureFacts, glance: Glance) -> tuple[str, ...]:
    """What has to change for it to fit, a sentence each."""
    found = []
    if glance.orientation != 1:
        found.append("It is turned upright, as its camera noted.")
    if glance.transparent:
        found.append("What is transparent becomes white.")
    elif not facts.plain:
        found.append("Its colours become plain RGB.")
    longest = max(facts.width, facts.height)
    if longest > LONGEST_SIDE:
        found.append(f"Its longest side of {longest:,} pixels becomes {LONGEST_SIDE:,}.")
    return tuple(found)


def _by_size(width: int, height: int, verdict: Verdict) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict by the resolution that a trainer gets to see, with the doubts about it."""
    shortest = round(min(width, height) * min(1.0, LONGEST_SIDE / max(width, height)))
    size = f"{width:,} × {height:,} pixels"
    if shortest < SMALLEST_SIDE:
        shown = "" if max(width, height) <= LONGEST_SIDE else f" (its shorter side becomes {shortest})"
        told = f"At {size}{shown} it is too small: it needs {SMALLEST_SIDE} on its shorter side,"
        return Verdict.REFUSED, (f"{told} better {SMALL_SIDE}. Take a larger one.",)
    if shortest < SMALL_SIDE:
        told = f"At {size} it is small: with {SMALL_SIDE} on its shorter side the likeness gets better."
        return Verdict.WARNED, (told,)
    return verdict, ()
