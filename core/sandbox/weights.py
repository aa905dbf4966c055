"""LoRA weights that are real safetensors files, small or of any size, and the tar that Replicate makes."""

import json
import random
import tarfile
from collections.abc import Mapping, Sequence

from core.sandbox.pictures import Padded, Source, Whole

RANK = 4
WIDTH = 3072
BLOCKS = 2
# A BF16's upper byte: the sign of any byte, and always the same small exponent.
_SMALL = bytes(0x3C | byte & 0x80 for byte in range(256))
_LAYERS = ("attn.to_q", "attn.to_k", "attn.to_v")


def safetensors(seed: str, metadata: Mapping[str, str], size: int = 0) -> Source:
    """A FLUX LoRA in the diffusers' spelling; the same seed gives the same bytes.

    With a `size` it has one more tensor, so that the whole file is about that large.
    """
    shapes = {
        f"transformer.single_transformer_blocks.{block}.{layer}.lora_{side}.weight": shape
        for block in range(BLOCKS)
        for layer in _LAYERS
        for side, shape in (("A", [RANK, WIDTH]), ("B", [WIDTH, RANK]))
    }
    each = RANK * WIDTH * 2
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    for n, (name, shape) in enumerate(shapes.items()):
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [n * each, (n + 1) * each]}
    small = len(shapes) * each
    more = max(size - small, 0)
    if more:
        name = "transformer.proj_out.lora_B.weight"
        header[name] = {"dtype": "U8", "shape": [more], "data_offsets": [small, small + more]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text + _numbers(seed, small)
    return Padded(head, len(head) + more) if more else Whole(head)


def _numbers(seed: str, size: int) -> bytes:
    """Small BF16 numbers of either sign."""
    drawn = random.Random(f"weights:{seed}").randbytes(size // 2)
    pairs = bytearray(size)
    pairs[0::2] = drawn
    pairs[1::2] = drawn.translate(_SMALL)
    return bytes(pairs)


class Joined:
    """Sources one after the other."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self._parts = parts

    @property
    def size(self) -> int:
        return sum(part.size for part in self._parts)

    def part(self, start: int, stop: int) -> bytes:
        found, at = [], 0
        for part in self._parts:
            low, high = max(start - at, 0), min(stop - at, part.size)
            if low < high:
                found.append(part.part(low, high))
            at += part.size
        return b"".join(found)


def tar(files: Mapping[str, Source], mtime: int) -> Source:
    """An uncompressed tar of these files."""
    parts: list[Source] = []
    for name, source in files.items():
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = source.size, mtime, 0o644
        parts += [Whole(info.tobuf(tarfile.USTAR_FORMAT)), source, Whole(bytes(-source.size % 512))]
    return Joined([*parts, Whole(bytes(1024))])


def text(content: str) -> Source:
    """A text file."""
    return Whole(content.encode())
