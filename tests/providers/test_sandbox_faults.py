"""Every fault of the sandbox's table, as a client meets it."""

import io
import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from PIL import Image

from core.sandbox.fault_table import KIE_FAULTS
from tests.providers.callback_checks import CHECKS as OTHER_CHECKS
from tests.providers.sandbox_rig import Check, Rig, receiver, registrar, rig, until

CHECKS: dict[str, Check] = {**OTHER_CHECKS}
checks = registrar(CHECKS)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def kie(house: Rig) -> Rig:
    house.reset()
    house.set(file_bytes=40_000)
    return house


def _url(kie: Rig, prompt: str) -> str:
    """The first result's URL of a finished task."""
    return str(json.loads(kie.finished(kie.create(prompt))["resultJson"])["resultUrls"][0])


def _get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, follow_redirects=False)


def _seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def _closed(call: Callable[[], object]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        call()


@checks("latency")
def _latency(kie: Rig) -> None:
    assert _seconds(lambda: kie.ask("a lake [[fault:latency@create=0.25]]")) >= 0.25
    task_id = kie.create("a lake [[fault:latency@read,file=0.2]]")
    assert _seconds(lambda: kie.read(task_id)) >= 0.2
    url = json.loads(kie.read(task_id)["data"]["resultJson"])["resultUrls"][0]
    assert _seconds(lambda: _get(url)) >= 0.2
    kie.faults(latency={"value": 0.15, "at": ["other"]})
    assert _seconds(lambda: kie.kie.get("/api/v1/chat/credit")) >= 0.15


@checks("dead")
def _dead(kie: Rig) -> None:
    _closed(lambda: kie.ask("a lake [[fault:dead]]"))
    task_id = kie.create()
    kie.faults(dead=True)
    _closed(lambda: kie.read(task_id))
    _closed(lambda: kie.kie.get("/api/v1/chat/credit"))
    _closed(lambda: _get(f"{kie.url}/results/filler-10-a.jpg"))
    kie.faults()
    assert kie.read(task_id)["code"] == 200
    assert kie.stats()["tasks"]["paid"] == 1


@checks("rate_limited")
def _rate_limited(kie: Rig) -> None:
    answer = kie.ask("a lake [[fault:rate_limited]]")
    assert (answer.status_code, answer.json()["code"]) == (200, 429)
    task_id = kie.create("a lake [[fault:rate_limited@read*1]]")
    assert [kie.read(task_id)["code"] for _ in range(2)] == [429, 200]
    kie.set(status_style="http")
    assert kie.ask("a lake [[fault:rate_limited]]").status_code == 429


@checks("server_error")
def _server_error(kie: Rig) -> None:
    answer = kie.ask("a lake [[fault:server_error]]")
    assert (answer.status_code, answer.json()["code"]) == (500, 500)
    gateway = kie.ask("a lake [[fault:server_error=503]]")
    assert (gateway.status_code, gateway.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert kie.stats()["tasks"]["paid"] == 0
    task_id = kie.create("a lake [[fault:server_error@read,file*1]]")
    assert [kie.read(task_id)["code"] for _ in range(2)] == [500, 200]
    url = json.loads(kie.read(task_id)["data"]["resultJson"])["resultUrls"][0]
    assert [_get(url).status_code for _ in range(2)] == [500, 200]


@checks("error_in_200")
def _error_in_200(kie: Rig) -> None:
    kie.set(status_style="http")
    answer = kie.ask("a lake [[fault:error_in_200=455]]")
    assert (answer.status_code, answer.json()["code"]) == (200, 455)
    assert kie.stats()["tasks"]["paid"] == 0


@checks("answer_lost")
def _answer_lost(kie: Rig) -> None:
    with receiver() as web:
        _closed(lambda: kie.ask("a lake [[fault:answer_lost]]", callback=f"{web.url}?generation=g9"))
        until(lambda: web.bodies)
    assert kie.stats()["paid_by_generation"] == {"g9": 1}
    row = kie.log(kind="create", generation="g9")[0]
    assert (row["status"], row["note"]) == (0, "answer_lost")
    assert json.loads(web.bodies[0])["data"]["taskId"] == row["task"]


@checks("accepted_then_error")
def _accepted_then_error(kie: Rig) -> None:
    answer = kie.ask("a lake [[fault:accepted_then_error]]")
    assert (answer.status_code, answer.json()["code"]) == (500, 500)
    assert kie.stats()["tasks"]["paid"] == 1


@checks("callback_lost")
def _callback_lost(kie: Rig) -> None:
    with receiver() as web:
        lost = kie.create("a lake [[fault:callback_lost]]", callback=web.url)
        kie.finished(lost)
        kie.create("a lake", callback=web.url)
        until(lambda: web.bodies)
    assert [json.loads(body)["data"]["taskId"] == lost for body in web.bodies] == [False]
    until(lambda: kie.stats()["callbacks_owed"] == 0)


@checks("callback_late")
def _callback_late(kie: Rig) -> None:
    with receiver() as web:
        task_id = kie.create("a lake [[fault:callback_late=0.5]]", callback=web.url)
        ended = kie.finished(task_id)["completeTime"] / 1000
        until(lambda: web.moments)
    assert web.moments[0] - ended >= 0.5


@checks("callback_duplicate")
def _callback_duplicate(kie: Rig) -> None:
    with receiver() as web:
        kie.create("a lake [[fault:callback_duplicate=3]]", callback=web.url)
        until(lambda: len(web.bodies) == 3)
        until(lambda: kie.stats()["requests"]["callback"]["answered_2xx"] == 3)
    assert len({json.loads(body)["data"]["taskId"] for body in web.bodies}) == 1


@checks("callback_before_answer")
def _callback_before_answer(kie: Rig) -> None:
    kie.set(image_seconds=60)
    with receiver() as web:
        task_id = kie.create("a lake [[fault:callback_before_answer]]", callback=web.url)
        answered = time.time()
    assert web.moments[0] <= answered
    assert json.loads(web.bodies[0])["data"]["taskId"] == task_id
    assert kie.read(task_id)["data"]["state"] == "success"


@checks("record_null")
def _record_null(kie: Rig) -> None:
    task_id = kie.create("a lake [[fault:record_null=0.8]]")
    assert (kie.read(task_id)["code"], kie.read(task_id)["msg"]) == (422, "recordInfo is null")
    until(lambda: kie.read(task_id)["code"] == 200)


@checks("unknown_state")
def _unknown_state(kie: Rig) -> None:
    task_id = kie.create("a lake [[fault:unknown_state=on_hold]]")
    assert kie.read(task_id)["data"]["state"] == "on_hold"
    kie.control.post(f"/tasks/{task_id}/finish")
    assert kie.read(task_id)["data"]["state"] == "success"


@checks("stuck")
def _stuck(kie: Rig) -> None:
    with receiver() as web:
        task_id = kie.create("a lake [[fault:stuck]]", callback=web.url)
        assert kie.read(task_id)["data"]["state"] == "generating"
        kie.control.post(f"/tasks/{task_id}/finish", json={"fail": "501"})
        until(lambda: web.bodies)
    assert json.loads(web.bodies[0])["code"] == 501
    assert kie.read(task_id)["data"]["failCode"] == "501"


@checks("empty_result")
def _empty_result(kie: Rig) -> None:
    data = kie.finished(kie.create("a lake [[fault:empty_result]]"))
    assert (data["state"], data["resultJson"]) == ("success", "")


@checks("provider_fail")
def _provider_fail(kie: Rig) -> None:
    with receiver() as web:
        task_id = kie.create("a lake [[fault:provider_fail=422]]", callback=web.url)
        data = kie.finished(task_id)
        until(lambda: web.bodies)
    assert (data["state"], data["failCode"], data["resultJson"]) == ("fail", "422", "")
    assert "could not be read" in data["failMsg"]
    body = json.loads(web.bodies[0])
    assert (body["code"], body["msg"]) == (501, "Playground task failed.")
    assert (body["data"]["failCode"], body["data"]["creditsConsumed"]) == ("422", 0)


@checks("multi_result")
def _multi_result(kie: Rig) -> None:
    data = kie.finished(kie.create("a lake [[fault:multi_result=4]]"))
    urls = json.loads(data["resultJson"])["resultUrls"]
    assert len({_get(url).content for url in urls}) == 4


@checks("truncated_file")
def _truncated_file(kie: Rig) -> None:
    url = _url(kie, "a lake [[fault:truncated_file*1]]")
    with httpx.stream("GET", url, trust_env=False) as answer:
        assert answer.headers["content-length"] == "40000"
        with pytest.raises(httpx.RemoteProtocolError, match="received 20000 bytes, expected 40000"):
            answer.read()
    assert len(_get(url).content) == 40_000


@checks("short_file_ok")
def _short_file_ok(kie: Rig) -> None:
    kie.set(file_bytes=0)
    answer = _get(_url(kie, "a lake [[fault:short_file_ok]]"))
    assert int(answer.headers["content-length"]) == len(answer.content)
    picture = Image.open(io.BytesIO(answer.content))
    with pytest.raises(OSError, match="truncated"):
        picture.load()


@checks("expired_url")
def _expired_url(kie: Rig) -> None:
    for status in (403, 404, 410):
        assert _get(_url(kie, f"a lake [[fault:expired_url={status}]]")).status_code == status
    healthy = _url(kie, "a lake")
    kie.faults(expired_url={"value": 410})
    assert _get(healthy).status_code == 410


@checks("html_as_jpg")
def _html_as_jpg(kie: Rig) -> None:
    url = _url(kie, "a lake [[fault:html_as_jpg]]")
    answer = _get(url)
    assert url.endswith(".jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"<!DOCTYPE html>")


@checks("redirect_private")
def _redirect_private(kie: Rig) -> None:
    answer = _get(_url(kie, "a lake [[fault:redirect_private]]"))
    assert (answer.status_code, answer.headers["location"]) == (
        302,
        "http://169.254.169.254/latest/meta-data/",
    )
    other = _get(_url(kie, "a lake [[fault:redirect_private=http://127.0.0.1:22/]]"))
    assert other.headers["location"] == "http://127.0.0.1:22/"


@checks("no_content_length")
def _no_content_length(kie: Rig) -> None:
    answer = _get(_url(kie, "a lake [[fault:no_content_length]]"))
    assert "content-length" not in answer.headers
    assert len(answer.content) == 40_000


@checks("file_size")
def _file_size(kie: Rig) -> None:
    answer = _get(_url(kie, "a lake [[fault:file_size=123456]]"))
    assert len(answer.content) == 123_456
    assert Image.open(io.BytesIO(answer.content)).format == "JPEG"


@pytest.mark.parametrize("name", list(KIE_FAULTS))
def test_a_fault_does_what_its_line_says(kie: Rig, name: str) -> None:
    CHECKS[name](kie)


def test_several_markers_work_together(kie: Rig) -> None:
    with receiver() as web:
        task_id = kie.create(
            "a lake [[fault:callback_duplicate=2]] [[fault:multi_result=2]] [[fault:record_null=0.6]]",
            callback=web.url,
        )
        assert kie.read(task_id)["code"] == 422
        until(lambda: len(web.bodies) == 2)
    fate = kie.control.get(f"/tasks/{task_id}").json()["fate"]
    assert fate == {"callback_duplicate": 2, "multi_result": 2, "record_null": 0.6}


def test_an_unknown_marker_is_refused_and_lists_what_exists(kie: Rig) -> None:
    body = kie.ask("a lake [[fault:callback_los]]").json()
    assert body["code"] == 422
    assert "Unknown sandbox fault 'callback_los'. Known: latency" in body["msg"]
    assert kie.stats()["tasks"]["paid"] == 0


def test_a_fault_by_rate_strikes_that_part_of_the_tasks(kie: Rig) -> None:
    kie.set(seed=3)
    kie.faults(provider_fail=0.3)
    states = [kie.read(kie.create())["data"]["state"] for _ in range(60)]
    assert 8 <= states.count("fail") <= 28
    assert set(states) == {"fail", "success"}
