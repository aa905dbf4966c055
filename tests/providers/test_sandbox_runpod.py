"""The sandbox speaks RunPod's REST API v2, and its pods do their work."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.providers.sandbox_rig import Rig, rig, until
from tests.providers.training_rig import RUN, Shelf, header_of, shelf

BASE = "/runpod/v2"
H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def runpod(house: Rig) -> Rig:
    house.reset()
    return house


@pytest.fixture
def files() -> Iterator[Shelf]:
    with shelf() as found:
        yield found


def order(files: Shelf | None = None, images: int = 4, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": f"studio-ops-{RUN}",
        "image": "ostris/aitoolkit:latest",
        "gpu": {"id": H100},
    }
    if files is not None:
        config = {"config": {"process": [{"train": {"steps": 400}}]}}
        body["env"] = {
            "STUDIO_OPS_RUN_ID": RUN,
            "STUDIO_OPS_DATASET_URL": files.zip(images),
            "STUDIO_OPS_WEIGHTS_URL": f"{files.url}/lora.safetensors?signature=w",
            "STUDIO_OPS_PROGRESS_URL": f"{files.url}/progress.json?signature=p",
            "STUDIO_OPS_CONFIG": json.dumps(config),
        }
    return {**body, **more}


def create(runpod: Rig, body: dict[str, Any]) -> dict[str, Any]:
    answer = runpod.kie.post(f"{BASE}/pods", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def read(runpod: Rig, pod: dict[str, Any]) -> dict[str, Any]:
    return dict(runpod.kie.get(f"{BASE}/pods/{pod['id']}").json())


def reach(runpod: Rig, pod: dict[str, Any], status: str) -> dict[str, Any]:
    until(lambda: read(runpod, pod)["status"] == status)
    return read(runpod, pod)


def told(files: Shelf) -> list[dict[str, Any]]:
    return [json.loads(content) for content in files.put.get("/progress.json", [])]


def test_a_pod_pulls_its_data_and_pushes_progress_and_weights(runpod: Rig, files: Shelf) -> None:
    runpod.set(training_seconds=1.0, jitter=0)
    pod = create(runpod, order(files))
    assert pod["status"] == "PROVISIONING"
    assert (pod["cost"], pod["runtime"], pod["startedAt"]) == (3.99, None, None)
    assert pod["actions"] == ["stop", "terminate"]
    seen = []

    def ended() -> bool:
        word = read(runpod, pod)["status"]
        if word not in seen:
            seen.append(word)
        return bool(word == "EXITED")

    until(ended)
    assert seen == ["PROVISIONING", "STARTING", "RUNNING", "EXITED"]
    done = read(runpod, pod)
    assert (done["cost"], done["actions"]) == (0.0, ["start", "terminate"])
    assert "/data.zip?signature=abc" in files.asked
    [weights] = files.put["/lora.safetensors"]
    header_of(weights)
    said = told(files)
    assert [one["state"] for one in said[:1] + said[-2:]] == ["starting", "uploading", "done"]
    assert {one["state"] for one in said} == {"starting", "training", "uploading", "done"}
    assert said[0].keys() == {"run_id", "state", "step", "steps", "error", "at", "log"}
    assert {(one["run_id"], one["steps"]) for one in said} == {(RUN, 400)}
    steps = [one["step"] for one in said]
    assert steps == sorted(steps)
    assert runpod.stats()["trainings"]["paid_by_run"] == {RUN: 1}
    bill = runpod.kie.get(f"{BASE}/billing/pods", params={"podId": pod["id"]}).json()
    assert [record["podId"] for record in bill["records"]] == [pod["id"]]
    assert 0 < bill["metadata"]["totals"]["totalAmount"] < 0.01


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"gpuTypeIds": [H100]}, 422, "$: additional properties 'gpuTypeIds' not allowed"),
        ({"gpu": {"id": H100, "speed": 1}}, 422, "$.gpu: additional properties 'speed' not allowed"),
        ({"name": ""}, 422, "$.name"),
        ({"image": None}, 422, "missing property 'image'"),
        ({"mounts": {"persistent": {"size": 5, "path": "/w"}}}, 422, "$.mounts.persistent.size"),
        ({"env": {"A": 1}}, 422, "$.env.A"),
        ({"ports": ["8888"]}, 422, "$.ports.0"),
        ({"cpu": {"id": "cpu3c", "vcpu": 2}}, 400, "exactly one of gpu or cpu must be set"),
        ({"gpu": None}, 400, "exactly one of gpu or cpu must be set"),
        ({"gpu": {"id": "NVIDIA Voodoo"}}, 400, "not found"),
        ({"gpu": {"id": H100, "count": 99}}, 400, "gpu count"),
    ],
)
def test_an_order_that_does_not_fit(runpod: Rig, change: dict[str, Any], status: int, words: str) -> None:
    answer = runpod.kie.post(f"{BASE}/pods", json=order(**change))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() - {"errors"} == {"title", "status", "detail"}
    assert words in " ".join([body["detail"], *body.get("errors", [])])
    assert runpod.stats()["trainings"]["paid"] == {}


def test_errors_are_problems(runpod: Rig) -> None:
    denied = runpod.kie.get(f"{BASE}/pods", headers={"Authorization": "Bearer no"})
    unknown = runpod.kie.get(f"{BASE}/pods/none")
    runpod.faults(trainer_rate_limited={"at": ["runpod_read"]})
    limited = runpod.kie.get(f"{BASE}/pods")
    assert [answer.status_code for answer in (denied, unknown, limited)] == [401, 404, 429]
    assert {answer.headers["content-type"] for answer in (denied, unknown, limited)} == {
        "application/problem+json"
    }
    assert int(limited.headers["retry-after"]) > 0


def test_no_capacity_is_a_400_told_apart_by_its_detail(runpod: Rig) -> None:
    runpod.faults(no_capacity={"times": 1})
    answer = runpod.kie.post(f"{BASE}/pods", json=order())
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad Request")
    assert "no longer any instances available" in answer.json()["detail"]
    create(runpod, order())


def test_actions_follow_the_status_and_a_terminated_pod_is_gone(runpod: Rig) -> None:
    runpod.set(training_seconds=2, jitter=0)

    def act(action: str) -> httpx.Response:
        return runpod.kie.post(f"{BASE}/pods/{pod['id']}/action", json={"action": action})

    pod = create(runpod, order())
    assert act("start").status_code == 409
    assert act("fly").status_code == 422
    stopped = act("stop")
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["cost"]) == (200, "EXITED", 0.0)
    assert act("start").json()["status"] == "PROVISIONING"
    running = reach(runpod, pod, "RUNNING")
    assert running["runtime"]["uptime"] >= 0
    assert runpod.stats()["trainings"]["pods_alive"] == 1
    assert act("terminate").status_code == 204
    assert runpod.kie.get(f"{BASE}/pods/{pod['id']}").status_code == 404
    assert runpod.kie.delete(f"{BASE}/pods/{pod['id']}").status_code == 404
    assert runpod.kie.get(f"{BASE}/pods").json() == {"pods": []}
    assert runpod.stats()["trainings"]["pods_alive"] == 0


def test_a_pod_is_found_in_the_list_by_its_name_and_can_be_changed(runpod: Rig) -> None:
    runpod.set(training_seconds=60)
    pod = create(runpod, order())
    [listed] = runpod.kie.get(f"{BASE}/pods").json()["pods"]
    assert (listed["id"], listed["name"]) == (pod["id"], f"studio-ops-{RUN}")
    changed = runpod.kie.patch(f"{BASE}/pods/{pod['id']}", json={"name": "other"})
    assert (changed.status_code, changed.json()["name"]) == (200, "other")
    assert runpod.kie.patch(f"{BASE}/pods/{pod['id']}", json={"color": 1}).status_code == 422
    assert runpod.kie.delete(f"{BASE}/pods/{pod['id']}").status_code == 204


def test_its_log_is_a_stream_of_events(runpod: Rig, files: Shelf) -> None:
    runpod.set(training_seconds=0.5, jitter=0)
    pod = create(runpod, order(files))
    answer = runpod.kie.get(f"{BASE}/pods/{pod['id']}/logs")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert {event["source"] for event in events} == {"container"}
    assert any("Found 4 images" in event["line"] for event in events)
    assert events[-1]["line"] == "Finished"


def test_the_catalog_has_prices(runpod: Rig) -> None:
    gpus = {gpu["id"]: gpu for gpu in runpod.kie.get(f"{BASE}/catalog/gpus").json()["gpus"]}
    assert gpus[H100]["price"] == {"secure": 3.99, "community": 2.69}
    assert "availability" not in gpus[H100]
    asked = {"include": "AVAILABILITY", "product": "POD"}
    found = runpod.kie.get(f"{BASE}/catalog/gpus", params=asked).json()["gpus"]
    assert {gpu["availability"] for gpu in found} == {"HIGH"}


def test_a_pod_that_lingers_costs_until_it_is_terminated(runpod: Rig, files: Shelf) -> None:
    runpod.set(pods_linger=True)
    pod = create(runpod, order(files))
    until(lambda: any(one["state"] == "done" for one in told(files)))
    assert (read(runpod, pod)["status"], read(runpod, pod)["cost"]) == ("RUNNING", 3.99)
    assert runpod.stats()["trainings"]["pods_alive"] == 1
    runpod.kie.delete(f"{BASE}/pods/{pod['id']}")
    assert runpod.stats()["trainings"]["pods_alive"] == 0


def test_a_pod_that_cannot_use_its_data_or_push_its_weights_says_so(runpod: Rig, files: Shelf) -> None:
    body = order(files)
    body["env"]["STUDIO_OPS_DATASET_URL"] = f"{files.url}/none.zip"
    reach(runpod, create(runpod, body), "EXITED")
    assert told(files)[-1]["state"] == "failed"
    assert "404" in told(files)[-1]["error"]
    files.put.clear()
    files.refuse["/lora.safetensors"] = 403
    reach(runpod, create(runpod, order(files)), "EXITED")
    assert told(files)[-1]["error"] == "The weights could not be uploaded."
