"""The files of a rehearsal's trainings: weights, test pictures, and the images that went into them."""

import hashlib
import json
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.deliveries.tools import Tools
from core.rehearsal.models import MARK, numbered_id
from core.rehearsal.trainings_course import PICTURES, Training
from core.trainings import images
from core.trainings import tools as outside

WEIGHTS, SHOTS, IMAGES = outside.WEIGHTS, outside.PICTURES, "lora-training-images"
BUCKETS = (WEIGHTS, SHOTS, IMAGES)


@dataclass(frozen=True)
class File:
    """A file in our storage."""

    path: str
    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Still:
    """An image that trainings were trained with, and how it looks small."""

    file: File
    thumbnail: bytes


def _store(tools: Tools, bucket: str, path: str, content: bytes, content_type: str) -> File:
    with tools.storage.upload(bucket) as upload:
        upload.write(content)
        upload.commit(path, content_type)
    sha256 = hashlib.sha256(content).hexdigest()
    return File(path, tools.storage.url(bucket, path), len(content), sha256)


def weights(one: Training, tools: Tools) -> File:
    """The smallest file that is a LoRA: one tensor, named as FLUX.1 names its own."""
    name = "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"
    tensor = struct.pack("<4e", *(one.n / 100,) * 4)
    facts = {name: {"dtype": "F16", "shape": [1, 4], "data_offsets": [0, len(tensor)]}}
    header = json.dumps({"__metadata__": {"trigger_word": one.trigger_word}, **facts}).encode()
    content = struct.pack("<Q", len(header)) + header + tensor
    path = f"{one.user_id}/{one.lora_id}/{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    return _store(tools, WEIGHTS, path, content, "application/octet-stream")


def shots(one: Training, stills: Sequence[bytes], tools: Tools) -> tuple[File, ...]:
    """Its test pictures."""
    return tuple(
        _store(
            tools,
            SHOTS,
            f"{one.user_id}/{one.run_id}_{n}.jpg",
            stills[(one.n + n) % len(stills)],
            "image/jpeg",
        )
        for n in range(PICTURES)
    )


def pool(stills: Sequence[bytes], tools: Tools) -> list[Still]:
    """Images that all trainings share."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for n, content in enumerate(stills):
            path = Path(folder) / f"{n}.jpg"
            path.write_bytes(content)
            place = f"{numbered_id('e', 0)}/pool/{n}.jpg"
            file = _store(tools, IMAGES, place, content, "image/jpeg")
            found.append(Still(file, images.thumbnail(path)))
    return found


def remove_all(tools: Tools) -> int:
    """Delete the files of the rehearsal's trainings; how many."""
    removed = 0
    for bucket in BUCKETS:
        while found := tools.storage.find(bucket, MARK):
            removed += sum(tools.storage.delete(one.bucket, one.path) for one in found)
    return removed
