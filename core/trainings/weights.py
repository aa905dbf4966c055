"""Trained weights as they arrive: whether they are a safetensors file, and out of a trainer's archive.

https://huggingface.co/docs/safetensors: eight bytes with the header's length, a JSON header that names
every tensor with its type, shape and place, then the tensors without a gap.
"""

import json
import math
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import InvalidInput

MAX_BYTES = 2048 * 1024 * 1024  # of the bucket lora-models
# A LoRA's header has some hundred KB; safetensors itself allows 100 MB.
MAX_HEADER = 16 * 1024 * 1024
MAX_ENTRIES = 1000
NAME = "lora.safetensors"
_CHUNK = 1024 * 1024
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2,
          "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}  # fmt: skip
# Parts of tensor names that only one base model has, the most telling ones first.
_BASES = (
    ("FLUX.1", ("double_blocks", "single_blocks", "single_transformer_blocks")),
    ("SDXL", ("lora_te2", "text_encoder_2", "add_embedding", "transformer_blocks_9")),
    ("SD 3", ("joint_blocks", "context_embedder")),
    ("SD 1.5", ("lora_unet", "unet.", "lora_te_")),
)


@dataclass(frozen=True)
class Tensor:
    """A named tensor of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class WeightsFacts:
    """What a weights file holds. `base_model_guess` is by the tensors' names, None when they tell nothing;
    `metadata` is the trainer's own, strings only."""

    tensors: tuple[Tensor, ...] = field(repr=False)
    base_model_guess: str | None
    metadata: Mapping[str, str] = field(repr=False)
    bytes: int

    @property
    def is_lora(self) -> bool:
        """Whether a tensor is named like a low-rank one."""
        return any("lora" in tensor.name.lower() for tensor in self.tensors)


def read_header(path: Path) -> WeightsFacts:
    """The header of a safetensors file, which alone is read. InvalidInput when it is none, or not whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length < 2 or 8 + length > size:
            raise _bad("it does not begin with a header, or is cut off within it")
        if length > MAX_HEADER:
            raise _bad(f"its header of {length:,} bytes is larger than {MAX_HEADER:,}")
        header = _parse(file.read(length))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise _bad("its metadata is no table")
    if not header:
        raise _bad("it holds no tensor")
    tensors = _tensors(header, size - 8 - length)
    return WeightsFacts(
        tensors,
        _guess(tensors),
        {name: value for name, value in metadata.items() if isinstance(value, str)},
        size,
    )


def from_tar(path: Path, folder: Path, max_bytes: int = MAX_BYTES) -> Path:
    """`lora.safetensors` out of a trainer's archive, written into `folder` under that very name.

    Nothing else of the archive is written, and no name in it decides where. InvalidInput when it is not
    in there once, whole and as a plain file.
    """
    target = folder / NAME
    try:
        with tarfile.open(path, "r:*") as archive:
            _take_out(archive, target, max_bytes)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        target.unlink(missing_ok=True)
        raise _bad_archive(f"it is no tar, or is cut off ({error})") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def _take_out(archive: tarfile.TarFile, target: Path, max_bytes: int) -> None:
    for n, member in enumerate(archive):
        if n >= MAX_ENTRIES:
            raise _bad_archive(f"it has more than {MAX_ENTRIES:,} entries")
        if member.size > max_bytes:
            raise _bad_archive(f"{member.name[:100]!r} has more than {max_bytes / 1e6:,.0f} MB")
        parts = member.name.split("/")
        if parts[-1] != NAME or not member.isreg():
            continue
        if ".." in parts or member.name.startswith("/"):
            raise _bad_archive(f"{member.name[:100]!r} leads out of it")
        source = archive.extractfile(member)
        assert source is not None
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        if target.stat().st_size != member.size:
            raise _bad_archive("it is cut off")
        return
    raise _bad_archive(f"no plain file {NAME} is in it")


def _parse(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        raise _bad("its header is no JSON, or names something twice") from None
    if not isinstance(found, dict):
        raise _bad("its header is no table")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _tensors(header: Mapping[str, Any], room: int) -> tuple[Tensor, ...]:
    """The tensors in the order of their places, which fill the room without gap or overlap."""
    placed = sorted((_place(name, told), name, told) for name, told in header.items())
    expected = 0
    for (begin, end), name, _ in placed:
        if begin != expected:
            raise _bad(f"the tensor {name[:100]!r} is not where the one before it ends")
        expected = end
    if expected != room:
        raise _bad(f"its tensors need {expected:,} bytes and it has {room:,}: it is cut off or was added to")
    return tuple(Tensor(name, told["dtype"], tuple(told["shape"])) for _, name, told in placed)


def _place(name: str, told: Any) -> tuple[int, int]:
    """Where a tensor lies, once its type, shape and place agree."""
    try:
        shape, (begin, end), width = told["shape"], told["data_offsets"], _SIZES[told["dtype"]]
        whole = all(type(number) is int and number >= 0 for number in (begin, end, *shape))
    except (TypeError, KeyError, ValueError):
        raise _bad(f"the tensor {name[:100]!r} has no known type, shape and place") from None
    if not name or not whole or end - begin != math.prod(shape) * width:
        raise _bad(f"the place of the tensor {name[:100]!r} does not fit its type and shape")
    return begin, end


def _guess(tensors: tuple[Tensor, ...]) -> str | None:
    names = "\n".join(tensor.name for tensor in tensors)
    return next((base for base, parts in _BASES if any(part in names for part in parts)), None)


def _bad(why: str) -> InvalidInput:
    return InvalidInput(
        "weights", f"These weights are no safetensors file that can be used: {why}. Fetch them again."
    )


def _bad_archive(why: str) -> InvalidInput:
    return InvalidInput("weights", f"The trainer's archive cannot be used: {why}. Fetch it again.")
