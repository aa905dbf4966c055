"""Every fault of the trainers and the hub, as a client meets it."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from core.sandbox.replicate_wire import TRAINER, TRAINER_VERSION
from core.sandbox.training_faults import TRAINING_FAULTS
from tests.providers.sandbox_rig import Rig, receiver, rig, until
from tests.providers.training_rig import RUN, Shelf, shelf

FAL = "/fal/fal-ai/flux-lora-fast-training"
REPLICATE = f"/replicate/v1/models/{TRAINER}/versions/{TRAINER_VERSION}/trainings"
PODS = "/runpod/v2/pods"
HUB = "/hf/api/models/studio-ops/lora/commit/main"


@dataclass
class Bench:
    """The sandbox, a ZIP to train on, and each service's way to ask."""

    rig: Rig
    files: Shelf

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        key = self.rig.kie.headers["Authorization"].split()[1]
        scheme = "Key" if "/fal/" in path else "Bearer"
        return self.rig.kie.request(
            method, path, json=body, headers={"Authorization": f"{scheme} {key}"}, **more
        )

    def fal(self, webhook: str | None = None, **more: Any) -> httpx.Response:
        body = {"images_data_url": self.files.zip(), **more}
        return self.call("POST", FAL, body, params={"fal_webhook": webhook} if webhook else {})

    def replicate(self, webhook: str | None = None) -> httpx.Response:
        model = {"owner": "studio", "name": "lora", "visibility": "private", "hardware": "cpu"}
        self.call("POST", "/replicate/v1/models", model)
        body: dict[str, Any] = {"destination": "studio/lora", "input": {"input_images": self.files.zip()}}
        if webhook:
            body |= {"webhook": webhook, "webhook_events_filter": ["completed"]}
        return self.call("POST", REPLICATE, body)

    def pod(self) -> httpx.Response:
        env = {
            "STUDIO_OPS_RUN_ID": RUN,
            "STUDIO_OPS_DATASET_URL": self.files.zip(),
            "STUDIO_OPS_WEIGHTS_URL": f"{self.files.url}/lora.safetensors",
            "STUDIO_OPS_PROGRESS_URL": f"{self.files.url}/progress.json",
            "STUDIO_OPS_CONFIG": "steps: 100",
        }
        gpu = {"id": "NVIDIA H100 PCIe"}
        return self.call("POST", PODS, {"name": RUN, "image": "ostris/aitoolkit", "gpu": gpu, "env": env})

    def commit(self) -> httpx.Response:
        self.call("POST", "/hf/api/repos/create", {"name": "lora"})
        lines = [
            {"key": "header", "value": {"summary": "x"}},
            {"key": "file", "value": {"path": "a", "content": "YQ=="}},
        ]
        content = "\n".join(json.dumps(line) for line in lines)
        return self.rig.kie.post(HUB, content=content)

    def asks(self) -> list[Callable[[], httpx.Response]]:
        """One paid submission at each of the three trainers."""
        return [self.fal, self.replicate, self.pod]

    def ended(self, training_id: str) -> dict[str, Any]:
        """The control API's word of it once it has ended."""
        url = f"/trainings/{training_id}"
        until(lambda: self.rig.control.get(url).json()["stage"] in {"succeeded", "failed", "cancelled"}, 15)
        return dict(self.rig.control.get(url).json())

    def trained(self) -> list[str]:
        """The ids of one accepted training at each."""
        answers = [ask() for ask in self.asks()]
        return [answer.json().get("request_id") or answer.json()["id"] for answer in answers]

    def weights_url(self, request_id: str) -> str:
        out = self.call("GET", f"{FAL}/requests/{request_id}").json()
        return str(out["diffusers_lora_file"]["url"])

    def paid(self) -> int:
        return sum(self.rig.stats()["trainings"]["paid"].values())


Check = Callable[[Bench], None]
CHECKS: dict[str, Check] = {}


def checks(name: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return keep


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found, shelf() as files:
        yield Bench(found, files)


@pytest.fixture
def bench(house: Bench) -> Bench:
    house.rig.reset()
    house.files.put.clear()
    return house


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def closed(call: Callable[[], object]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        call()


@checks("trainer_late")
def _late(bench: Bench) -> None:
    bench.rig.faults(trainer_late={"value": 0.2, "at": ["fal_submit"]})
    started = time.monotonic()
    assert bench.fal().status_code == 200
    assert time.monotonic() - started >= 0.2


@checks("trainer_dead")
def _dead(bench: Bench) -> None:
    bench.rig.faults(trainer_dead=True)
    for ask in bench.asks():
        closed(ask)
    closed(lambda: bench.call("GET", PODS))
    assert bench.paid() == 0


@checks("trainer_rate_limited")
def _rate_limited(bench: Bench) -> None:
    bench.rig.faults(trainer_rate_limited=True)
    assert [ask().status_code for ask in bench.asks()] == [429] * 3
    assert bench.paid() == 0


@checks("trainer_error")
def _error(bench: Bench) -> None:
    bench.rig.faults(trainer_error={"value": 503})
    gateways = [ask() for ask in bench.asks()]
    bench.rig.faults(trainer_error={"value": 402, "at": ["runpod_submit"]})
    assert {answer.status_code for answer in gateways} == {503}
    assert {answer.headers["content-type"] for answer in gateways} == {"text/html; charset=utf-8"}
    assert bench.pod().json()["status"] == 402
    assert bench.fal().status_code == 200
    assert bench.paid() == 1


@checks("trainer_html")
def _html(bench: Bench) -> None:
    bench.rig.faults(trainer_html=True)
    found = [ask() for ask in bench.asks()]
    assert {(answer.status_code, answer.headers["content-type"][:9]) for answer in found} == {
        (200, "text/html")
    }
    assert bench.paid() == 0


@checks("trainer_answer_lost")
def _answer_lost(bench: Bench) -> None:
    bench.rig.faults(trainer_answer_lost=True)
    for ask in bench.asks():
        closed(ask)
    assert bench.rig.stats()["trainings"]["paid"] == {"fal": 1, "replicate": 1, "runpod": 1}
    [row] = bench.rig.log(kind="runpod_submit")
    assert (row["status"], row["note"], row["generation"]) == (0, "trainer_answer_lost", RUN)


@checks("trainer_accepted_then_error")
def _accepted_then_error(bench: Bench) -> None:
    bench.rig.faults(trainer_accepted_then_error=True)
    assert [ask().status_code for ask in bench.asks()] == [502] * 3
    assert bench.paid() == 3


@checks("no_capacity")
def _no_capacity(bench: Bench) -> None:
    bench.rig.faults(no_capacity=True)
    assert bench.pod().status_code == 400
    assert bench.paid() == 0


@checks("terminate_fails")
def _terminate_fails(bench: Bench) -> None:
    bench.rig.faults(terminate_fails=True)
    bench.rig.set(training_seconds=60)
    path = f"{PODS}/{bench.pod().json()['id']}"
    said = [
        bench.call("DELETE", path),
        bench.call("POST", f"{path}/action", {"action": "terminate"}),
        bench.call("DELETE", path),
    ]
    assert [answer.status_code for answer in said] == [500, 500, 204]


@checks("publish_fails")
def _publish_fails(bench: Bench) -> None:
    bench.rig.faults(publish_fails={"value": 503, "times": 1})
    assert [bench.commit().status_code for _ in range(2)] == [503, 200]


@checks("training_fails")
def _training_fails(bench: Bench) -> None:
    bench.rig.faults(training_fails=True)
    ids = bench.trained()
    assert [bench.ended(one)["stage"] for one in ids] == ["failed"] * 3
    status = bench.call("GET", f"{FAL}/requests/{ids[0]}/status")
    assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
    assert status.json()["error"] == "Invalid status code: 500"
    assert bench.call("GET", f"{FAL}/requests/{ids[0]}").status_code == 500
    told = bench.call("GET", f"/replicate/v1/trainings/{ids[1]}").json()
    assert (told["status"], told["error"]) == ("failed", "Training failed: CUDA out of memory")
    assert bench.call("GET", f"{PODS}/{ids[2]}").json()["status"] == "EXITED"
    assert "/lora.safetensors" not in bench.files.put
    assert json.loads(bench.files.put["/progress.json"][-1])["state"] == "failed"


@checks("training_slow")
def _training_slow(bench: Bench) -> None:
    bench.rig.faults(training_slow={"value": 900})
    [one, *_] = bench.trained()
    assert bench.rig.control.post(f"/trainings/{one}/finish").json()["stage"] == "succeeded"


@checks("training_queued")
def _training_queued(bench: Bench) -> None:
    bench.rig.faults(training_queued=True)
    ids = bench.trained()
    assert bench.call("GET", f"{FAL}/requests/{ids[0]}/status").json()["status"] == "IN_QUEUE"
    assert bench.call("GET", f"/replicate/v1/trainings/{ids[1]}").json()["status"] == "starting"
    assert bench.call("GET", f"{PODS}/{ids[2]}").json()["status"] == "PROVISIONING"


@checks("pod_never_runs")
def _pod_never_runs(bench: Bench) -> None:
    bench.rig.faults(pod_never_runs=True)
    path = f"{PODS}/{bench.pod().json()['id']}"
    until(lambda: bench.call("GET", path).json()["status"] == "STARTING")
    time.sleep(0.1)
    pod = bench.call("GET", path).json()
    assert (pod["status"], pod["cost"], pod["runtime"]) == ("STARTING", 2.89, None)
    assert bench.call("DELETE", path).status_code == 204
    assert bench.files.put == {}


def _weights(bench: Bench) -> tuple[httpx.Response, bytes | None]:
    """What fal's address answers, and what a pod has pushed."""
    ids = bench.trained()
    for one in ids:
        assert bench.ended(one)["stage"] == "succeeded"
    pushed = bench.files.put.get("/lora.safetensors", [])
    return get(bench.weights_url(ids[0])), pushed[0] if pushed else None


@checks("weights_truncated")
def _weights_truncated(bench: Bench) -> None:
    whole, _ = _weights(bench)
    bench.files.put.clear()
    bench.rig.faults(weights_truncated=True)
    half, pushed = _weights(bench)
    assert pushed is not None
    assert len(half.content) == int(half.headers["content-length"]) == len(whole.content) // 2
    assert abs(len(pushed) - len(whole.content) // 2) < 100


@checks("weights_not_safetensors")
def _weights_not_safetensors(bench: Bench) -> None:
    bench.rig.faults(weights_not_safetensors=True)
    page, pushed = _weights(bench)
    assert page.headers["content-type"].startswith("text/html")
    assert pushed == page.content
    assert page.content.startswith(b"<html>")


@checks("weights_gone")
def _weights_gone(bench: Bench) -> None:
    bench.rig.faults(weights_gone=True)
    gone, pushed = _weights(bench)
    assert (gone.status_code, pushed) == (404, None)


@checks("weights_break_off")
def _weights_break_off(bench: Bench) -> None:
    bench.rig.faults(weights_break_off={"times": 1})
    request_id = bench.fal().json()["request_id"]
    bench.ended(request_id)
    closed(lambda: get(bench.weights_url(request_id)))
    assert get(bench.weights_url(request_id)).status_code == 200


@checks("cancel_too_late")
def _cancel_too_late(bench: Bench) -> None:
    bench.rig.faults(cancel_too_late=True)
    bench.rig.set(training_seconds=60)
    ids = bench.trained()
    said = bench.call("PUT", f"{FAL}/requests/{ids[0]}/cancel")
    assert (said.status_code, said.json()) == (400, {"status": "ALREADY_COMPLETED"})
    assert bench.call("POST", f"/replicate/v1/trainings/{ids[1]}/cancel").json()["status"] == "succeeded"
    assert bench.call("DELETE", f"{PODS}/{ids[2]}").status_code == 204
    assert [bench.ended(one)["stage"] for one in ids] == ["succeeded"] * 3


@checks("validation_image_fails")
def _validation_image_fails(bench: Bench) -> None:
    bench.rig.faults(validation_image_fails=True)
    sent = bench.call("POST", "/fal/fal-ai/flux-lora", {"prompt": "TOK"}).json()
    assert bench.ended(sent["request_id"])["stage"] == "failed"
    out = bench.call("GET", f"/fal/fal-ai/flux-lora/requests/{sent['request_id']}")
    assert (out.status_code, out.json()["detail"][0]["type"]) == (422, "content_policy_violation")
    assert bench.ended(bench.fal().json()["request_id"])["stage"] == "succeeded"


def _messages(bench: Bench, count: int) -> list[dict[str, str]]:
    """The headers of the webhooks that one training at fal and one at Replicate send."""
    with receiver() as web:
        for ask in (bench.fal, bench.replicate):
            ask(web.url)
        until(lambda: len(web.bodies) == count)
        until(lambda: bench.rig.stats()["callbacks_owed"] == 0)
        return [{name.lower(): value for name, value in one.items()} for one in web.headers]


@checks("webhook_never")
def _webhook_never(bench: Bench) -> None:
    bench.rig.faults(webhook_never=True)
    with receiver() as web:
        for answer in (bench.fal(web.url), bench.replicate(web.url)):
            bench.ended(answer.json().get("request_id") or answer.json()["id"])
        assert bench.rig.stats()["callbacks_owed"] == 0
        assert web.bodies == []


@checks("webhook_twice")
def _webhook_twice(bench: Bench) -> None:
    bench.rig.faults(webhook_twice={"value": 2})
    found = _messages(bench, 4)
    assert len({one.get("webhook-id") or one["x-fal-webhook-request-id"] for one in found}) == 2


@checks("webhook_forged")
def _webhook_forged(bench: Bench) -> None:
    bench.rig.faults(webhook_forged=True)
    found = _messages(bench, 4)
    signatures = {one.get("webhook-signature") or one["x-fal-webhook-signature"] for one in found}
    assert len(signatures) == 4


@checks("webhook_unsigned")
def _webhook_unsigned(bench: Bench) -> None:
    bench.rig.faults(webhook_unsigned=True)
    for headers in _messages(bench, 2):
        assert not [name for name in headers if "webhook" in name]


@checks("webhook_late")
def _webhook_late(bench: Bench) -> None:
    bench.rig.faults(webhook_late={"value": 0.4})
    with receiver() as web:
        request_id = bench.fal(web.url).json()["request_id"]
        ended = bench.ended(request_id)["since"]["succeeded"] / 1000
        until(lambda: web.moments)
    assert web.moments[0] - ended >= 0.4


@pytest.mark.parametrize("name", list(TRAINING_FAULTS))
def test_a_fault_does_what_its_row_says(bench: Bench, name: str) -> None:
    CHECKS[name](bench)


def test_every_row_says_what_a_training_must_come_to() -> None:
    assert all(fault.ends.endswith(".") for fault in TRAINING_FAULTS.values())


def test_a_marker_in_what_is_sent_strikes_that_request_alone(bench: Bench) -> None:
    failing = bench.fal(trigger_word="TOK [[fault:training_fails]]").json()["request_id"]
    fine = bench.fal().json()["request_id"]
    assert [bench.ended(one)["stage"] for one in (failing, fine)] == ["failed", "succeeded"]
    limited = bench.fal(trigger_word="[[fault:trainer_rate_limited@fal_read*1]]").json()["status_url"]
    assert [bench.call("GET", limited).is_success for _ in range(2)] == [False, True]
    unknown = bench.fal(trigger_word="[[fault:lightning]]")
    assert unknown.status_code == 422
    assert "Known: latency" in unknown.json()["detail"]
