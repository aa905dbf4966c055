"""Pictures decoded: a glance at one, a thumbnail, and the JPEG that fits made of one that does not."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

LONGEST_SIDE = 2048
THUMBNAIL_SIDE = 256
# Enough to hash and to show; a JPEG is then decoded at down to an eighth of its size.
_GLANCE_SIDE = 512
_QUALITY = 95
# libjpeg puts it where the data of a picture end too early, and tells nobody: Pillow drops its warnings. What
# a progressive file lacks only makes it coarser, which no look at the pixels can tell.
_MISSING = 128
_ORIENTATION_TAG = 0x0112
_FORMATS = ("JPEG", "PNG", "WEBP")
# https://exiftool.org/TagNames/EXIF.html, 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises over a file that is not as it should be.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,  # where warnings are errors
)


class Unreadable(Exception):
    """The file does not decode to its end."""


@dataclass(frozen=True)
class Glance:
    """A small upright RGB picture of a file that has been decoded to its end; `orientation` as in EXIF.

    `fades`: it ends, as it is stored, in rows of the very grey that a decoder puts where pixels are missing.
    """

    picture: Image.Image
    orientation: int
    transparent: bool
    fades: bool = False


def glance(path: Path, size: tuple[int, int] | None = None) -> Glance:
    """Decode the whole file and keep a small picture of it.

    Raises Unreadable, also when the decoder finds another `size` than the header's reader did.
    """
    with _opened(path) as image:
        if size is not None and image.size != size:
            raise Unreadable
        transparent = image.has_transparency_data
        orientation = _orientation(image)
        small = _small(image, _GLANCE_SIDE)
        return Glance(_upright(small, orientation), orientation, transparent, _fades(small))


def _fades(picture: Image.Image) -> bool:
    """Whether at least a hundredth of the rows, at the end, is plain middle grey, and not all of it."""
    grey = (np.asarray(picture) == _MISSING).all(axis=(1, 2))
    last = max(1, round(picture.height / 100))
    return bool(grey[-last:].all() and not grey.all())


def thumbnail(path: Path) -> bytes:
    """An upright JPEG with no side over THUMBNAIL_SIDE. Raises Unreadable."""
    return small_jpeg(glance(path).picture)


def small_jpeg(picture: Image.Image) -> bytes:
    """An RGB picture as a thumbnail's bytes."""
    small, out = picture.copy(), io.BytesIO()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


def convert(source: Path, target: Path) -> None:
    """Write an upright RGB JPEG in sRGB, alpha on white, no side over LONGEST_SIDE. Raises Unreadable."""
    with _opened(source) as image:
        orientation, profile = _orientation(image), image.info.get("icc_profile")
        done = _upright(_small(image, LONGEST_SIDE, profile), orientation)
    done.save(target, "JPEG", quality=_QUALITY, subsampling=0)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image, to be decoded within the block, whose faults become Unreadable."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except _BROKEN as error:
        raise Unreadable(str(error)) from error


def _orientation(image: Image.Image) -> int:
    """As EXIF says, 1 when it says nothing that makes sense."""
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
    except _BROKEN:
        return 1
    return found if found in _UPRIGHT else 1


def _small(image: Image.Image, side: int, profile: bytes | None = None) -> Image.Image:
    """The picture in RGB, no side over `side`; never enlarged."""
    scale = min(1.0, side / max(image.size))
    wanted = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    image.draft(None, wanted)
    image.load()
    plain = _eight_bits(image)
    if plain.mode == "P":
        plain = plain.convert("RGBA" if plain.has_transparency_data else "RGB")
    if plain.size != wanted:
        plain = plain.resize(wanted, Image.Resampling.LANCZOS)
    return _rgb(plain, profile)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 bits, which Pillow would clip, by their upper eight."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))


def _rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.new("RGB", above.size, "white")
        image.paste(above, mask=above.getchannel("A"))
    if profile and image.mode in {"RGB", "CMYK", "L"}:
        try:
            found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            turned = ImageCms.profileToProfile(image, found, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, *_BROKEN):
            turned = None
        if turned is not None:
            return turned
    return image.convert("RGB")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
