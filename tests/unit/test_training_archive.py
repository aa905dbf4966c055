"""The ZIP for a trainer: the same bytes each time, readable, never too large."""

import os
import time
import zipfile
from pathlib import Path

import pytest

from core.errors import InvalidInput
from core.trainings import archive
from tests.unit.photographs import encoded, jpeg, photograph, put


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    contents = [jpeg(1, 300, 300), encoded(photograph(2, 300, 300), "PNG"), jpeg(3, 300, 300)]
    contents.append(encoded(photograph(4, 300, 300), "WEBP"))
    return [put(tmp_path, content, f"{n}.dat") for n, content in enumerate(contents)]


def test_the_images_lie_in_it_as_they_are(tmp_path: Path, images: list[Path]) -> None:
    made = archive.write(images, tmp_path / "t.zip")
    with zipfile.ZipFile(made.path) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["image_001.jpg", "image_002.png", "image_003.jpg", "image_004.webp"]
        assert [opened.read(name) for name in opened.namelist()] == [path.read_bytes() for path in images]
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}
    assert made.bytes == made.path.stat().st_size
    assert 0 <= archive.size_of([path.stat().st_size for path in images]) - made.bytes < 10


def test_the_same_images_make_the_same_bytes(tmp_path: Path, images: list[Path]) -> None:
    first = archive.write(images, tmp_path / "a.zip")
    for path in images:
        os.utime(path, (time.time() + 86_400, 1))
    moved = [path.rename(tmp_path / f"other-{path.name}") for path in images]
    again = archive.write(moved, tmp_path / "b.zip")
    assert (again.sha256, again.bytes) == (first.sha256, first.bytes)
    assert again.path.read_bytes() == first.path.read_bytes()
    assert archive.write(moved[::-1], tmp_path / "c.zip").sha256 != first.sha256


def test_one_that_would_be_too_large_is_not_written(tmp_path: Path, images: list[Path]) -> None:
    images[1].write_bytes(images[1].read_bytes() + bytes(51_000_000))
    os.truncate(images[2], 1_800_000)
    with pytest.raises(InvalidInput) as refused:
        archive.write(images, tmp_path / "t.zip")
    assert not (tmp_path / "t.zip").exists()
    assert "MB; the training's ZIP may have 52.4 MB" in refused.value.message
    assert "Take some away, the largest first (image 2 has 51." in refused.value.message


def test_the_limit_is_exact() -> None:
    room = archive.MAX_BYTES - archive.size_of([0, 0, 0])
    assert archive.too_large([0, 0, room]) is None
    assert archive.too_large([0, 1, room])


def test_what_is_no_image_is_refused(tmp_path: Path, images: list[Path]) -> None:
    images[2].write_bytes(b"a text")
    with pytest.raises(InvalidInput, match="Image 3 is no image"):
        archive.write(images, tmp_path / "t.zip")
