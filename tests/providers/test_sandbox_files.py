"""The sandbox's result files over HTTP: real pictures and videos, ranges, sizes."""

import io
import json
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from tests.providers.sandbox_rig import IMAGE, VIDEO, Rig, rig, until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def kie(house: Rig) -> Rig:
    house.reset()
    return house


def _result(kie: Rig, task_id: str) -> str:
    return str(json.loads(kie.finished(task_id)["resultJson"])["resultUrls"][0])


def _get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [("16:9", "1K", (1024, 576)), ("3:4", "1K", (768, 1024)), ("1:1", "2K", (2048, 2048))],
)
def test_an_image_is_what_was_asked_for(kie: Rig, ratio: str, resolution: str, size: tuple[int, int]) -> None:
    url = _result(kie, kie.create("hills in autumn", aspect_ratio=ratio, resolution=resolution))
    answer = _get(url)
    assert answer.headers["content-type"] == "image/jpeg"
    assert int(answer.headers["content-length"]) == len(answer.content)
    picture = Image.open(io.BytesIO(answer.content))
    picture.load()
    assert (picture.format, picture.size) == ("JPEG", size)
    assert _get(url).content == answer.content


def test_an_edited_image_is_a_png(kie: Rig) -> None:
    body = {
        "model": "flux-2/pro-image-to-image",
        "input": {
            "prompt": "the same at night",
            "aspect_ratio": "1:1",
            "resolution": "1K",
            "input_urls": ["https://example.com/a.png"],
        },
    }
    task_id = kie.kie.post("/api/v1/jobs/createTask", json=body).json()["data"]["taskId"]
    answer = _get(_result(kie, task_id))
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    picture.load()
    assert (picture.format, picture.size) == ("PNG", (1024, 1024))


@pytest.mark.parametrize("ratio", ["16:9", "9:16", "1:1"])
def test_a_video_is_an_mp4_of_its_shape(kie: Rig, ratio: str) -> None:
    answer = _get(_result(kie, kie.create(model=VIDEO, aspect_ratio=ratio)))
    assert answer.headers["content-type"] == "video/mp4"
    content = answer.content
    assert content[4:8] == b"ftyp"
    assert content.index(b"moov") < content.index(b"mdat")
    track = content.index(b"avc1")
    width, height = (int.from_bytes(content[track + at : track + at + 2], "big") for at in (28, 30))
    across, down = (int(part) for part in ratio.split(":"))
    assert width * down == height * across


def test_ranges_let_a_player_seek(kie: Rig) -> None:
    url = _result(kie, kie.create(model=VIDEO))
    whole = _get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    size = len(whole.content)
    part = _get(url, Range="bytes=1000-1999")
    assert (part.status_code, part.headers["content-range"]) == (206, f"bytes 1000-1999/{size}")
    assert part.content == whole.content[1000:2000]
    assert _get(url, Range="bytes=-500").content == whole.content[-500:]
    assert _get(url, Range=f"bytes={size - 10}-").content == whole.content[-10:]
    assert _get(url, Range=f"bytes={size}-").status_code == 416
    assert _get(url, Range="bytes=a-b").status_code == 200


def test_head_says_the_size_and_sends_nothing(kie: Rig) -> None:
    answer = httpx.head(f"{kie.url}/results/filler-70000-a.jpg", trust_env=False)
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "70000", b"")


@pytest.mark.parametrize(
    "name", ["nothing.jpg", "task_1_0.jpg", "filler-1-a.exe", "filler-9999999999-a.jpg", "..%2Fa"]
)
def test_what_is_not_there_is_404(kie: Rig, name: str) -> None:
    assert _get(f"{kie.url}/results/{name}").status_code == 404


def test_a_result_is_not_there_before_its_time(kie: Rig) -> None:
    kie.set(image_seconds=60)
    task_id = kie.create()
    url = f"{kie.url}/results/{task_id.removeprefix('task_')}_0.jpg"
    assert _get(url).status_code == 404
    kie.control.post(f"/tasks/{task_id}/finish")
    assert _get(url).status_code == 200


@pytest.mark.parametrize(("model", "kind"), [(IMAGE, "JPEG"), (VIDEO, "mp4")])
def test_results_can_be_given_any_size(kie: Rig, model: str, kind: str) -> None:
    kie.set(file_bytes=3_000_000)
    content = _get(_result(kie, kie.create(model=model))).content
    assert len(content) == 3_000_000
    assert content[4:8] == b"ftyp" if kind == "mp4" else Image.open(io.BytesIO(content)).format == kind


def test_downloads_are_counted_with_their_bytes(kie: Rig) -> None:
    url = f"{kie.url}/results/filler-5000000-a.png"
    assert len(_get(url).content) == 5_000_000
    with httpx.stream("GET", f"{kie.url}/results/filler-900000000-b.png", trust_env=False) as answer:
        next(answer.iter_bytes())
    until(lambda: kie.stats()["requests"].get("file", {}).get("requests") == 2)
    whole, broken_off = kie.log(kind="file")
    assert (whole["bytes"], whole["status"], whole["note"]) == (5_000_000, 200, "filler-5000000-a.png")
    assert broken_off["bytes"] < 900_000_000
