"""The sandbox's control API and its honest counting."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from core.sandbox.fault_table import FAULTS
from tests.providers.sandbox_rig import Rig, receiver, rig, until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def kie(house: Rig) -> Rig:
    house.reset()
    return house


def test_it_needs_its_header(kie: Rig) -> None:
    for headers in ({}, {"X-Sandbox": "0"}):
        answer = httpx.put(
            f"{kie.url}/_sandbox/faults", json={"dead": True}, headers=headers, trust_env=False
        )
        assert (answer.status_code, answer.json()) == (403, {"error": "Send the header X-Sandbox: 1"})
    assert httpx.get(f"{kie.url}/health", trust_env=False).json() == {"status": "ok"}


def test_the_faults_are_one_table_with_a_line_each(kie: Rig) -> None:
    kie.faults(latency={"value": 3, "at": ["read"], "rate": 0.5, "times": 2}, callback_lost=0.25)
    found = kie.control.get("/faults").json()
    rows = {row["name"]: row for row in found["faults"]}
    assert list(rows) == list(FAULTS)
    assert all(row["line"] for row in rows.values())
    assert rows["latency"]["rule"] == {"rate": 0.5, "value": 3, "at": ["read"], "times": 2}
    assert rows["callback_lost"]["rule"]["rate"] == 0.25
    assert rows["dead"]["rule"] is None
    assert "[[fault:NAME" in found["marker"]
    kie.faults()
    assert all(row["rule"] is None for row in kie.control.get("/faults").json()["faults"])


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"lightning": True}, "Unknown sandbox fault 'lightning'. Known: latency"),
        ({"lightning": False}, "Unknown sandbox fault"),
        ({"latency": {"value": "long"}}, "takes seconds"),
        ({"latency": {"at": ["moon"]}}, "strikes at: create, read, file, other"),
        ({"latency": 1.5}, "less than or equal to 1"),
        ({"latency": {"speed": 1}}, "Extra inputs"),
        ({"latency": "yes"}, "latency"),
    ],
)
def test_a_rule_that_cannot_hold_changes_nothing(kie: Rig, rules: dict[str, Any], words: str) -> None:
    kie.faults(callback_lost=True)
    answer = kie.control.put("/faults", json=rules)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    rows = {row["name"]: row["rule"] for row in kie.control.get("/faults").json()["faults"]}
    assert [name for name, rule in rows.items() if rule] == ["callback_lost"]


@pytest.mark.parametrize(
    ("dials", "words"),
    [
        ({"image_second": 1}, "Unknown: image_second. Known: image_seconds"),
        ({"image_seconds": -1}, "image_seconds: "),
        ({"status_style": "loud"}, "status_style: "),
        ({"credits": "many"}, "credits must be a number"),
    ],
)
def test_a_setting_that_cannot_be_says_why(kie: Rig, dials: dict[str, Any], words: str) -> None:
    before = kie.control.get("/settings").json()
    answer = kie.control.put("/settings", json=dials)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert kie.control.get("/settings").json() == before


POD = {"name": "studio-ops-1", "image": "trainer", "gpu": {"id": "NVIDIA H100 PCIe"}}


@pytest.mark.parametrize(("moment", "made_meanwhile"), [("arrival", 0), ("answer", 1)])
def test_a_request_is_held_before_its_work_or_before_its_answer(
    kie: Rig, moment: str, made_meanwhile: int
) -> None:
    kie.control.put("/hold", json={"kind": "runpod_submit", "moment": moment, "nth": 2}).raise_for_status()
    with ThreadPoolExecutor(1) as pool:
        assert kie.kie.post("/runpod/v2/pods", json=POD).status_code == 201
        asked = pool.submit(kie.kie.post, "/runpod/v2/pods", json=POD)
        held = until(lambda: kie.control.get("/hold").json()["held"])
        assert held["kind"] == "runpod_submit"
        assert (held["task"] is not None) is (moment == "answer")
        assert kie.stats()["trainings"]["paid"]["runpod"] == 1 + made_meanwhile
        assert not asked.done()
        kie.control.put("/hold", json={}).raise_for_status()
        assert asked.result(10).status_code == 201
    assert kie.control.get("/hold").json() == {"wanted": None, "held": None}
    assert kie.stats()["trainings"]["paid"]["runpod"] == 2


def test_a_hold_that_cannot_be_says_why(kie: Rig) -> None:
    answer = kie.control.put("/hold", json={"kind": "fal_submit", "moment": "noon"})
    assert answer.status_code == 400
    assert "moment" in answer.json()["error"]


def test_how_many_trainings_there_are_at_once_and_when_they_start_are_dials(kie: Rig) -> None:
    kie.set(training_seconds=60, training_start_seconds=0, trainings_at_once=1)
    pod = kie.kie.post("/runpod/v2/pods", json=POD).json()
    until(lambda: kie.kie.get(f"/runpod/v2/pods/{pod['id']}").json()["status"] == "RUNNING")
    assert kie.kie.post("/runpod/v2/pods", json=POD).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"[]", b"7"])
def test_a_body_that_is_no_object_is_refused(kie: Rig, content: bytes) -> None:
    assert kie.control.put("/settings", content=content).status_code == 400


def test_a_task_is_finished_once(kie: Rig) -> None:
    kie.set(image_seconds=60)
    task_id = kie.create()
    done = kie.control.post(f"/tasks/{task_id}/finish", json={})
    assert done.json()["record"]["state"] == "success"
    assert kie.control.post(f"/tasks/{task_id}/finish").status_code == 409
    assert kie.control.post("/tasks/task_none/finish").status_code == 404
    assert kie.control.post(f"/tasks/{kie.create()}/finish", json={"win": 1}).status_code == 400


def test_paid_creates_are_counted_by_generation(kie: Rig) -> None:
    base = "http://127.0.0.1:9/cb?secret=s"
    for generation in ("a", "b", "b"):
        kie.create("a lake [[fault:callback_lost]]", callback=f"{base}&generation={generation}")
    kie.create()
    kie.ask("ab", callback=f"{base}&generation=refused")
    found = kie.stats()
    assert found["paid_by_generation"] == {"a": 1, "b": 2}
    assert found["paid_more_than_once"] == ["b"]
    assert found["paid_without_generation"] == 1
    assert found["tasks"] == {"paid": 4, "ended": 4, "succeeded": 4}
    assert found["requests"]["create"]["requests"] == 5
    assert kie.control.get("/stats", params={"generation": "b"}).json()["paid_by_generation"] == {"b": 2}


def test_the_log_holds_every_request_and_pages(kie: Rig) -> None:
    with receiver() as web:
        web.answer = 500
        task_id = kie.create(callback=f"{web.url}?generation=g")
        kie.read(task_id)
        kie.kie.get("/api/v1/chat/credit")
        httpx.get(f"{kie.url}/results/{task_id.removeprefix('task_')}_0.jpg", trust_env=False)
        until(lambda: kie.log(kind="callback"))
    rows = kie.log(task=task_id)
    assert sorted(row["kind"] for row in rows) == ["callback", "create", "file", "read"]
    assert {row["generation"] for row in rows} == {"g"}
    assert next(row["status"] for row in rows if row["kind"] == "callback") == 500
    first = kie.control.get("/log", params={"limit": 2}).json()
    rest = kie.control.get("/log", params={"after": first["next"]}).json()
    assert [row["id"] for row in first["rows"] + rest["rows"]] == sorted(row["id"] for row in kie.log())
    assert rest["next"] is None
    assert kie.control.get("/log", params={"limit": "many"}).status_code == 400


def test_a_callback_elsewhere_is_never_sent(kie: Rig) -> None:
    task_id = kie.create(callback="http://192.0.2.1/cb?generation=g")
    until(lambda: kie.log(kind="callback_refused", task=task_id))
    assert kie.log(kind="callback") == []
    assert kie.stats()["callbacks_owed"] == 0


def test_a_refused_callback_is_tried_again_only_when_asked(kie: Rig) -> None:
    with receiver() as web:
        web.answer = 503
        kie.create(callback=f"{web.url}?generation=once")
        until(lambda: kie.stats()["callbacks_owed"] == 0)
        kie.set(callback_attempts=3, callback_retry_seconds=0.05)
        kie.create(callback=f"{web.url}?generation=thrice")
        until(lambda: len(web.paths) == 4)
        until(lambda: kie.stats()["callbacks_owed"] == 0)
    assert [row["generation"] for row in kie.log(kind="callback")] == ["once", "thrice", "thrice", "thrice"]


def test_reset_forgets_everything(kie: Rig) -> None:
    kie.set(credits=5, seed=4)
    kie.faults(dead={"at": ["file"]})
    task_id = kie.create()
    kie.control.post("/reset").raise_for_status()
    assert kie.read(task_id)["code"] == 422
    assert kie.control.get("/settings").json()["credits"] == 100_000
    assert kie.control.get("/settings").json()["image_seconds"] == 4
    assert kie.stats()["tasks"]["paid"] == 0
