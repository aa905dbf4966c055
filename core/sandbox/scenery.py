"""Pictures that could be photographs, from a seed: a lake among hills, or lights behind a figure.

Everything is computed at up to 896 px on the long side; larger pictures are scaled up before the grain is
laid over them, as a film scan would be.
"""

import hashlib
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from core.sandbox.landscape import Landscape
from core.sandbox.nightlights import nightlights

Frame = NDArray[np.float32]

RENDER_SIDE = 896
NIGHT_WORDS = ("portrait", "woman", "man ", "person", "city", "street", "neon", "night", "lights", "fashion")
BRIGHTEST = 1.3  # light above 1 rolls off into white
_TONES = [
    min(round(255 * v * (1.36 - 0.34 * v) / 1.02), 255) for v in (n / 255 * BRIGHTEST for n in range(256))
]
MEGAPIXEL = 1_100_000
JPEG_LEAST, JPEG_MOST = 150_000, 400_000


def render(*, seed: str, prompt: str, size: tuple[int, int], extension: str) -> bytes:
    """An encoded picture of `size` (width, height) pixels; the same arguments give the same bytes."""
    generator = np.random.default_rng(
        int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    )
    scale = min(1.0, RENDER_SIDE / max(size))
    width, height = round(size[0] * scale), round(size[1] * scale)
    words = prompt.lower()
    if any(word in words for word in NIGHT_WORDS):
        frame = nightlights(generator, width, height)
    else:
        frame = Landscape(generator, width, height, words).frame(0.0)
    return encode(_grain(develop(frame, size), generator), extension)


def develop(frame: Frame, size: tuple[int, int]) -> Image.Image:
    """The scene (height × width × 3, about 0 to 1) toned, vignetted, scaled to `size`."""
    height, width = frame.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    lens = (1.06 - 0.17 * (x * x + y * y)) * np.float32(255 / BRIGHTEST)
    pixels = np.clip(frame * lens[:, :, None], 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels).point(_TONES * 3)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return picture


def _grain(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    tile = np.clip(128 + generator.normal(0, 3.2, (256, 256)), 0, 255).astype(np.uint8)
    across, down = picture.width // 256 + 1, picture.height // 256 + 1
    film = Image.fromarray(np.tile(tile, (down, across))[: picture.height, : picture.width])
    return ImageChops.add(picture, film.convert("RGB"), scale=1, offset=-128)


def encode(picture: Image.Image, extension: str) -> bytes:
    """JPEG between 150 and 400 KB at about a megapixel, or PNG."""
    if extension == "png":
        return _saved(picture, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    content = _saved(picture, "JPEG", quality=87, subsampling=2)
    large = picture.width * picture.height > MEGAPIXEL
    if large or JPEG_LEAST <= len(content) <= JPEG_MOST:
        return content
    quality = 80 if len(content) > JPEG_MOST else 93
    return _saved(picture, "JPEG", quality=quality, subsampling=2 if quality == 80 else 0)


def _saved(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, format_name, **options)
    return stream.getvalue()
