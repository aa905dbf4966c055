"""Pictures that look like something, as files of every kind that people drop on a page."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def photograph(seed: int = 1, width: int = 640, height: int = 640, grain: float = 4.0) -> Image.Image:
    """Soft shapes and a little grain; another seed is another picture."""
    chance = np.random.default_rng(seed)
    shapes = Image.fromarray(chance.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noise = chance.normal(0, grain, soft.shape) if grain else 0
    return Image.fromarray(np.clip(soft + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format_name: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def jpeg(seed: int = 1, width: int = 640, height: int = 640, **options: Any) -> bytes:
    return encoded(photograph(seed, width, height), quality=90, **options)


def rotated(orientation: int, image: Image.Image) -> bytes:
    """A JPEG whose camera noted how it was held; `image` is stored as it is."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, quality=95, exif=exif)


def grey_16(width: int = 640, height: int = 640) -> bytes:
    """A PNG of 16 bits, from black at the left to white at the right."""
    row = np.linspace(0, 65_535, width).astype(np.uint16)
    return encoded(Image.fromarray(np.tile(row, (height, 1))), "PNG")


def rgb_16(width: int = 640, height: int = 640) -> bytes:
    """A PNG with 16 bits a colour, which Pillow reads and does not write."""
    image = np.asarray(photograph(3, width, height), dtype=np.uint16) * 257
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in image)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def bomb(side: int = 20_000) -> bytes:
    """A small PNG of side × side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\x00" + bytes(side * 3)
    data = b"".join(packer.compress(row) for _ in range(50)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND")


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def animated(format_name: str = "WEBP") -> bytes:
    frames = [photograph(seed, 640, 640) for seed in (1, 2)]
    return encoded(frames[0], format_name, save_all=True, append_images=frames[1:], duration=100)


def put(folder: Path, content: bytes, name: str = "photo.jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path
