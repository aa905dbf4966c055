"""The sandbox's wire format, endpoint by endpoint, as KIE documents it."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.providers.sandbox_rig import VIDEO, Rig, receiver, rig, until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def kie(house: Rig) -> Rig:
    house.reset()
    return house


def test_create_answers_a_task_id(kie: Rig) -> None:
    answer = kie.ask()
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"code", "msg", "data"}
    assert (body["code"], body["msg"]) == (200, "success")
    assert body["data"].keys() == {"taskId"}
    assert re.fullmatch(r"task_[0-9a-f]{32}", body["data"]["taskId"])


def test_a_record_before_the_end(kie: Rig) -> None:
    kie.set(image_seconds=60, jitter=0)
    task_id = kie.create(callback="http://127.0.0.1:9/cb?generation=g1")
    data = kie.read(task_id)["data"]
    assert data["taskId"] == task_id
    assert data["state"] == "waiting"
    assert (data["resultJson"], data["failCode"], data["failMsg"]) == ("", "", "")
    assert (data["creditsConsumed"], data["costTime"], data["completeTime"]) == (0, 0, None)
    assert json.loads(data["param"]) == {
        "model": "flux-2/pro-text-to-image",
        "callBackUrl": "http://127.0.0.1:9/cb?generation=g1",
        "input": {"prompt": "a lake at dawn", "aspect_ratio": "1:1", "resolution": "1K"},
    }
    assert "progress" not in data


def test_a_record_of_success(kie: Rig) -> None:
    kie.set(image_seconds=0.2, jitter=0)
    data = kie.finished(kie.create())
    assert data["state"] == "success"
    urls = json.loads(data["resultJson"])["resultUrls"]
    assert len(urls) == 1
    assert urls[0].startswith(f"{kie.url}/results/")
    assert urls[0].endswith(".jpg")
    assert data["completeTime"] - data["createTime"] == data["costTime"] == 200
    assert data["updateTime"] == data["completeTime"]
    assert data["creditsConsumed"] == 5


def test_a_video_passes_through_its_states_with_progress(kie: Rig) -> None:
    kie.set(video_seconds=1.0, jitter=0)
    task_id = kie.create(model=VIDEO)
    seen: list[str] = []
    progress: list[int] = []

    def ended() -> bool:
        data = kie.read(task_id)["data"]
        if data["state"] not in seen:
            seen.append(data["state"])
        progress.append(data["progress"])
        return bool(data["state"] == "success")

    until(ended)
    assert seen == [state for state in ("waiting", "queuing", "generating", "success") if state in seen]
    assert len(seen) > 1
    assert progress == sorted(progress)
    assert progress[-1] == 100


@pytest.mark.parametrize("style", ["body", "http"])
def test_a_wrong_key_is_refused_everywhere(kie: Rig, style: str) -> None:
    kie.set(status_style=style)
    expected = {"code": 401, "msg": "You do not have access permissions"}
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": kie.kie.headers["authorization"][7:]},
    ):
        with httpx.Client(base_url=kie.url, headers=headers, trust_env=False) as stranger:
            answers = [
                stranger.post("/api/v1/jobs/createTask", json={"model": "x"}),
                stranger.get("/api/v1/jobs/recordInfo", params={"taskId": "x"}),
                stranger.post("/api/v1/common/download-url", json={"url": "x"}),
                stranger.get("/api/v1/chat/credit"),
            ]
        assert [answer.json() for answer in answers] == [expected] * 4
        assert {answer.status_code for answer in answers} == {200 if style == "body" else 401}
    assert kie.stats()["tasks"]["paid"] == 0


@pytest.mark.parametrize(("style", "status"), [("body", 200), ("http", 422)])
def test_both_error_styles(kie: Rig, style: str, status: int) -> None:
    kie.set(status_style=style)
    refused = kie.ask(prompt="ab")
    assert refused.status_code == status
    assert refused.json() == {"code": 422, "msg": "prompt must be at least 3 characters", "data": None}
    unknown = kie.kie.get("/api/v1/jobs/recordInfo", params={"taskId": "task_unknown"})
    assert unknown.status_code == status
    assert unknown.json() == {"code": 422, "msg": "recordInfo is null", "data": None}


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"not json", 400, "not a JSON object"),
        (b"[]", 400, "not a JSON object"),
        (b"\xff\xfe", 400, "not a JSON object"),
        (b'{"input": {}}', 422, "model is required"),
        (b'{"model": "dall-e", "input": {}}', 422, "model name you specified is not supported"),
        (b'{"model": ["x"], "input": {}}', 422, "not supported"),
        (b'{"model": "flux-2/pro-text-to-image"}', 422, "input is required"),
        (b'{"model": "flux-2/pro-text-to-image", "input": "{}"}', 422, "input is required"),
        (
            b'{"model": "flux-2/pro-text-to-image", "input": {}, "callBackUrl": 7}',
            422,
            "callBackUrl must be a string",
        ),
    ],
)
def test_what_is_no_request_is_named(kie: Rig, content: bytes, code: int, words: str) -> None:
    body = kie.kie.post("/api/v1/jobs/createTask", content=content).json()
    assert body["code"] == code
    assert words in body["msg"]
    assert kie.stats()["tasks"]["paid"] == 0


def test_a_record_needs_a_task_id(kie: Rig) -> None:
    body = kie.kie.get("/api/v1/jobs/recordInfo").json()
    assert (body["code"], body["msg"]) == (400, "taskId parameter is required")


def test_more_than_twenty_creates_in_ten_seconds_are_rejected(kie: Rig) -> None:
    kie.set(creates_per_window=20)
    codes = [kie.ask().json()["code"] for _ in range(23)]
    assert codes == [200] * 20 + [429] * 3
    assert kie.stats()["tasks"]["paid"] == 20
    assert kie.stats()["requests"]["create"]["rate_limited"] == 3
    kie.set(window_seconds=0.01)
    until(lambda: kie.ask().json()["code"] == 200)


def test_reads_can_be_limited(kie: Rig) -> None:
    kie.set(reads_per_second=3)
    task_id = kie.create()
    codes = [kie.read(task_id)["code"] for _ in range(40)]
    assert codes[:3] == [200] * 3
    assert 429 in codes


def test_credits_are_charged_for_success_only(kie: Rig) -> None:
    def balance() -> float:
        return float(kie.kie.get("/api/v1/chat/credit").json()["data"])

    kie.set(credits=100, image_seconds=60)
    running = kie.create()
    assert balance() == 100
    kie.control.post(f"/tasks/{running}/finish")
    assert balance() == 95
    kie.set(image_seconds=0)
    kie.finished(kie.create(resolution="2K"))
    assert balance() == 88
    failed = kie.finished(kie.create("a lake [[fault:provider_fail]]"))
    assert (failed["state"], failed["creditsConsumed"]) == ("fail", 0)
    assert balance() == 88
    refused = kie.ask(model=VIDEO, sound=True).json()
    assert (refused["code"], refused["msg"]) == (402, "Credits insufficient")


def test_a_download_link_is_for_our_files_and_ends(kie: Rig) -> None:
    url = json.loads(kie.finished(kie.create())["resultJson"])["resultUrls"][0]

    def link(of: str) -> dict[str, object]:
        return dict(kie.kie.post("/api/v1/common/download-url", json={"url": of}).json())

    found = str(link(url)["data"])
    assert found.startswith(f"{url}?until=")
    assert httpx.get(found, trust_env=False).status_code == 200
    altered = re.sub(r"until=\d+", "until=9999999999", found)
    ended = re.sub(r"until=\d+", "until=1000", found)
    assert [httpx.get(bad, trust_env=False).status_code for bad in (altered, ended)] == [403, 403]
    for foreign in ("https://example.com/a.jpg", url.replace("_0.", "_9."), "http://[bad", ""):
        assert link(foreign)["code"] == 422


def test_a_callback_carries_the_record_and_no_signature_unless_asked(kie: Rig) -> None:
    with receiver() as web:
        task_id = kie.create(callback=f"{web.url}?secret=s3cret&generation=g-77")
        until(lambda: web.bodies)
    assert web.paths == ["/api/kie/callback?secret=s3cret&generation=g-77"]
    body = json.loads(web.bodies[0])
    assert (body["code"], body["msg"]) == (200, "Playground task completed successfully.")
    assert body["data"]["taskId"] == task_id
    assert body["data"]["state"] == "success"
    assert json.loads(body["data"]["resultJson"])["resultUrls"]
    assert web.headers[0]["Content-Type"] == "application/json"
    assert not any(name.startswith("X-Webhook") for name in web.headers[0])
    until(lambda: kie.log(kind="callback", task=task_id))
    row = kie.log(kind="callback", task=task_id)[0]
    assert (row["status"], row["generation"]) == (200, "g-77")


def test_the_same_seed_gives_the_same_tasks(kie: Rig) -> None:
    made = []
    for seed in (7, 7, 8):
        kie.reset()
        kie.set(seed=seed, image_seconds=30, jitter=0.5)
        kie.faults(multi_result={"rate": 0.5})
        ids = [kie.create() for _ in range(4)]
        fates = [kie.control.get(f"/tasks/{task_id}").json()["fate"] for task_id in ids]
        made.append((ids, fates))
    assert made[0] == made[1]
    assert made[0] != made[2]
