"""Weights that arrive: what a safetensors header may say, and archives that try to get out."""

import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.trainings import weights
from core.trainings.weights import from_tar, read_header
from tests.unit.photographs import put

FLUX = "transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight"
A = {"dtype": "BF16", "shape": [16, 4], "data_offsets": [0, 128]}
B = {"dtype": "F32", "shape": [2], "data_offsets": [128, 136]}


def file_of(header: Any, data: bytes = bytes(136), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


GOOD = file_of({"__metadata__": {"format": "pt", "odd": 3}, "b": B, FLUX: A})


def test_a_good_file_tells_its_tensors_and_its_base(tmp_path: Path) -> None:
    facts = read_header(put(tmp_path, GOOD))
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in facts.tensors] == [
        (FLUX, "BF16", (16, 4)),
        ("b", "F32", (2,)),
    ]
    assert (facts.base_model_guess, facts.metadata, facts.bytes) == ("FLUX.1", {"format": "pt"}, len(GOOD))
    assert facts.is_lora


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", "FLUX.1"),
        ("lora_te2_text_model_encoder_layers_0.lora_up.weight", "SDXL"),
        ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight", "SD 1.5"),
        ("something.weight", None),
    ],
)
def test_the_base_is_guessed_from_names(tmp_path: Path, name: str, base: str | None) -> None:
    one = {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}
    assert read_header(put(tmp_path, file_of({name: one}, b"x"))).base_model_guess == base


deep = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
BAD = [
    ("nothing", b"", "does not begin with a header"),
    ("a web page", b"<!doctype html><html>gone</html>", "does not begin with a header"),
    ("cut off in the header", GOOD[:60], "cut off within it"),
    ("cut off in the tensors", GOOD[:-1], r"need 136 bytes and it has 135: it is cut off"),
    ("with more behind", GOOD + b"x", "was added to"),
    ("a header that is too large", file_of(b"{}", bytes(20_000_000), 17_000_000), "is larger than"),
    ("no JSON", file_of(b"{nothing"), "no JSON"),
    ("no text", file_of(b"\xff\xfe\xff"), "no JSON"),
    ("JSON without end", file_of(deep), "no JSON"),
    ("a list", file_of([]), "no table"),
    ("no tensor", file_of({}), "no tensor"),
    ("metadata that is none", file_of({"__metadata__": 1, "a": A}), "metadata is no table"),
    ("a name twice", file_of(b'{"a":1,"a":2}'), "names something twice"),
    ("a tensor that is a word", file_of({"a": "b"}), "no known type"),
    ("an unknown type", file_of({"a": {**A, "dtype": "Q4"}}), "no known type"),
    ("a shape of words", file_of({"a": {**A, "shape": ["16"]}}), "does not fit its type"),
    ("a shape below nothing", file_of({"a": {**A, "shape": [-16, -4]}}), "does not fit its type"),
    ("a place that is too long", file_of({"a": {**A, "data_offsets": [0, 136]}}), "does not fit its type"),
    ("a place beyond the end", file_of({"a": A}, bytes(100)), "it is cut off"),
    ("a gap", file_of({"a": A, "b": {**B, "data_offsets": [130, 138]}}), "not where the one before"),
    ("an overlap", file_of({"a": A, "b": {**B, "data_offsets": [120, 128]}}), "not where the one before"),
]


@pytest.mark.parametrize(("content", "says"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_what_is_no_whole_safetensors_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        read_header(put(tmp_path, content))
    assert refused.value.message.endswith("Fetch them again.")


# Archives.

INSIDE = "output/flux_train_replicate/lora.safetensors"


def tar_of(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_weights_are_taken_out_and_nothing_else(tmp_path: Path, mode: str) -> None:
    content = tar_of(
        (named("output/flux_train_replicate/config.yaml"), b"job: extension"),
        (named("../../escaped.txt"), b"out"),
        (named(INSIDE), GOOD),
        mode=mode,
    )
    folder = tmp_path / "inner" / "taken"
    folder.mkdir(parents=True)
    found = from_tar(put(tmp_path, content, "trained_model.tar"), folder)
    assert found == folder / "lora.safetensors"
    assert found.read_bytes() == GOOD
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "lora.safetensors",
        "trained_model.tar",
    ]


many = [(named(f"{n}.txt"), b"") for n in range(1001)]
Make = Callable[[], bytes]
ARCHIVES: list[tuple[str, Make, str]] = [
    ("no tar", lambda: b"<html>" * 500, "no tar"),
    ("nothing", lambda: b"", "no tar"),
    ("without weights", lambda: tar_of((named("config.yaml"), b"x")), "no plain file lora.safetensors"),
    ("cut off", lambda: tar_of((named(INSIDE), bytes(90_000)))[:50_000], "cut off"),
    ("leading out", lambda: tar_of((named("../lora.safetensors"), GOOD)), "leads out of it"),
    ("from the root", lambda: tar_of((named("/etc/lora.safetensors"), GOOD)), "leads out of it"),
    ("a link", lambda: tar_of((named(INSIDE, tarfile.SYMTYPE, "/etc/passwd"), b"")), "no plain file"),
    ("a hard link", lambda: tar_of((named(INSIDE, tarfile.LNKTYPE, "/etc/passwd"), b"")), "no plain file"),
    ("a device", lambda: tar_of((named(INSIDE, tarfile.CHRTYPE), b"")), "no plain file"),
    ("too large", lambda: tar_of((named(INSIDE), bytes(300_000)), mode="w:gz"), "has more than 0 MB"),
    ("too many", lambda: tar_of(*many), "more than 1,000 entries"),
]


@pytest.mark.parametrize(("make", "says"), [pytest.param(*rest, id=name) for name, *rest in ARCHIVES])
def test_a_bad_archive_writes_nothing(tmp_path: Path, make: Make, says: str) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(InvalidInput, match=says):
        from_tar(put(tmp_path, make(), "trained_model.tar"), folder, max_bytes=200_000)
    assert list(folder.iterdir()) == []
    assert weights.MAX_BYTES == 2_147_483_648
