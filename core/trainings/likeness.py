"""Which pictures look nearly the same: a perceptual hash that survives scaling and compression."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Of 64 bits: the same photograph at another size or quality differs in 0 to 4, another of the same face in
# more than 10.
NEARLY_THE_SAME = 6
_SIDE, _KEPT = 32, 8


def _cosines() -> NDArray[np.float64]:
    """The first _KEPT rows of the discrete cosine transform of _SIDE values."""
    rows, columns = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :]
    return np.cos(np.pi * (2 * columns + 1) * rows / (2 * _SIDE))


_DCT = _cosines()


def perceptual_hash(picture: Image.Image) -> str:
    """64 bits in hex: which of the lowest frequencies are above their median."""
    small = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    frequencies = (_DCT @ np.asarray(small, dtype=np.float64) @ _DCT.T).ravel()
    bits = frequencies > np.median(frequencies[1:])
    return bytes(np.packbits(bits)).hex()


def distance(one: str, other: str) -> int:
    """In how many bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def doubles(hashes: Mapping[int, str]) -> dict[int, int]:
    """The pictures, by number, that look nearly the same as an earlier one, each with that one's number."""
    found: dict[int, int] = {}
    earlier: list[int] = []
    for n in sorted(hashes):
        same = next((e for e in earlier if distance(hashes[e], hashes[n]) <= NEARLY_THE_SAME), None)
        if same is None:
            earlier.append(n)
        else:
            found[n] = same
    return found
