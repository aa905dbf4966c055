"""Pictures, videos and filler, byte for byte."""

import io

import pytest
from PIL import Image

from core.sandbox.pictures import MEDIA, Pictures, frame_size
from core.sandbox.scenery import render


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [
        ("1:1", "1K", (1024, 1024)),
        ("16:9", "1K", (1024, 576)),
        ("9:16", "1K", (576, 1024)),
        ("4:3", "1K", (1024, 768)),
        ("3:2", "1K", (1024, 683)),
        ("2:3", "2K", (1365, 2048)),
    ],
)
def test_sizes(ratio: str, resolution: str, size: tuple[int, int]) -> None:
    assert frame_size({"aspect_ratio": ratio, "resolution": resolution}) == size


@pytest.mark.parametrize("prompt", ["a lake at sunset", "storm over the hills", "neon city", "anything"])
@pytest.mark.parametrize("size", [(1024, 1024), (1024, 576)])
def test_a_jpeg_is_a_picture_of_its_size_and_weight(prompt: str, size: tuple[int, int]) -> None:
    content = render(seed="seed", prompt=prompt, size=size, extension="jpg")
    picture = Image.open(io.BytesIO(content))
    picture.load()
    assert (picture.format, picture.size) == ("JPEG", size)
    assert 150_000 <= len(content) <= 400_000
    low, high = picture.convert("L").getextrema()
    assert isinstance(low, int)
    assert isinstance(high, int)
    assert high - low > 120


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    def make(seed: str) -> bytes:
        return render(seed=seed, prompt="a lake", size=(256, 144), extension="png")

    assert make("a") == make("a")
    assert make("a") != make("b")
    assert Image.open(io.BytesIO(make("a"))).format == "PNG"


def test_a_prompt_of_odd_characters_is_drawn() -> None:
    assert render(seed="\ud800", prompt="\ud800 море", size=(64, 64), extension="jpg")


@pytest.mark.parametrize("ratio", ["16x9", "9x16", "1x1"])
def test_a_video_starts_playing_before_it_is_whole(ratio: str) -> None:
    content = (MEDIA / f"{ratio}.mp4").read_bytes()
    assert len(content) < 400_000
    kinds, at = [], 0
    while at < len(content):
        kinds.append(content[at + 4 : at + 8])
        at += int.from_bytes(content[at : at + 4], "big")
    assert kinds[0] == b"ftyp"
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert b"avc1" in content[: content.index(b"mdat")]


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("a.jpg", 250_000, 250_000),
        ("a.png", 250_000, 250_000),
        ("a.mp4", 1_000_000, 1_000_000),
        ("a.jpg", 3_000_000_000, 3_000_000_000),
    ],
)
def test_filler_has_its_size_and_any_part_of_it(
    name: str, size: int, expected: int, pictures: Pictures
) -> None:
    source = pictures.filler(name, size)
    assert source.size == expected
    head = source.part(0, 200_000)
    assert source.part(100, 150_000) == head[100:150_000]
    assert len(source.part(expected - 70_000, expected)) == 70_000
    assert source.part(0, 200_000) != pictures.filler("b" + name, size).part(0, 200_000) or name.endswith(
        "mp4"
    )
    if not name.endswith("mp4"):
        assert Image.open(io.BytesIO(head)).size == (64, 64)


def test_filler_is_never_smaller_than_a_valid_file(pictures: Pictures) -> None:
    video = pictures.filler("a.mp4", 1)
    content = video.part(0, video.size)
    assert content[4:8] == b"ftyp"
    free = content.rindex(b"free")
    assert int.from_bytes(content[free - 4 : free], "big") == video.size - free + 4


@pytest.fixture
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return Pictures(tmp_path_factory.mktemp("pictures"))
