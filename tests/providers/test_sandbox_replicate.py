"""The sandbox speaks Replicate: models, trainings, webhooks."""

import base64
import hashlib
import hmac
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from core.sandbox.replicate_wire import TRAINER, TRAINER_VERSION
from tests.providers.sandbox_rig import Receiver, Rig, receiver, rig, until
from tests.providers.training_rig import RUN, Shelf, header_of, shelf

BASE = "/replicate/v1"
TRAININGS = f"{BASE}/models/{TRAINER}/versions/{TRAINER_VERSION}/trainings"
DESTINATION = f"studio/lora-{RUN}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def replicate(house: Rig) -> Rig:
    house.reset()
    owner, name = DESTINATION.split("/")
    model = {"owner": owner, "name": name, "visibility": "private", "hardware": "gpu-h100"}
    made = house.kie.post(f"{BASE}/models", json=model)
    assert (made.status_code, made.json()["name"]) == (201, name)
    assert house.kie.post(f"{BASE}/models", json=model).status_code == 409
    return house


@pytest.fixture(scope="module")
def files() -> Iterator[Shelf]:
    with shelf() as found:
        yield found


def ask(replicate: Rig, files: Shelf, images: int = 4, **more: Any) -> httpx.Response:
    inputs = {"input_images": files.zip(images), "trigger_word": "TOK", "steps": 500, **more.pop("input", {})}
    return replicate.kie.post(TRAININGS, json={"destination": DESTINATION, "input": inputs, **more})


def train(replicate: Rig, files: Shelf, **more: Any) -> dict[str, Any]:
    answer = ask(replicate, files, **more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ended(replicate: Rig, training: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = replicate.kie.get(training["urls"]["get"]).json()
        return dict(found) if found["completed_at"] else None

    found = until(look)
    assert found is not None
    return found


def test_a_training_from_its_acceptance_to_its_tar(replicate: Rig, files: Shelf) -> None:
    sent = train(replicate, files)
    assert (sent["status"], sent["output"], sent["error"]) == ("starting", None, None)
    assert (sent["model"], sent["version"]) == (TRAINER, TRAINER_VERSION)
    won = ended(replicate, sent)
    assert won["status"] == "succeeded"
    assert won["metrics"].keys() == {"predict_time", "total_time"}
    assert won["output"]["version"].startswith(f"{DESTINATION}:")
    assert "500/500" in won["logs"]
    content = httpx.get(won["output"]["weights"], trust_env=False).raise_for_status().content
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        names = tar.getnames()
        file = tar.extractfile("output/flux_train_replicate/lora.safetensors")
        assert file is not None
        header_of(file.read())
    assert "output/flux_train_replicate/config.yaml" in names
    assert any(name.startswith("output/flux_train_replicate/captions/") for name in names)
    assert replicate.stats()["trainings"]["paid_by_run"] == {RUN: 1}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input": {"input_images": ["http://127.0.0.1/a.zip"]}}, "input.input_images"),
        ({"input": {"steps": 2}}, "input.steps"),
        ({"input": {"lora_rank": 129}}, "input.lora_rank"),
        ({"input": {"speed": 1}}, "input.speed"),
        ({"webhook_events_filter": ["noise"]}, "webhook_events_filter.0"),
    ],
)
def test_an_input_that_does_not_fit_is_a_422(
    replicate: Rig, files: Shelf, change: dict[str, Any], field: str
) -> None:
    answer = ask(replicate, files, **change)
    assert answer.status_code == 422
    assert answer.json().keys() >= {"title", "detail", "status"}
    assert field in [fault["field"] for fault in answer.json()["invalid_fields"]]


def test_what_does_not_exist_is_a_404_and_a_wrong_key_a_401(replicate: Rig, files: Shelf) -> None:
    assert ask(replicate, files, destination="studio/nothing").status_code == 404
    assert replicate.kie.get(f"{BASE}/models/studio/nothing").status_code == 404
    assert replicate.kie.get(f"{BASE}/trainings/nothing").status_code == 404
    assert replicate.kie.get(f"{BASE}/models/{DESTINATION}").status_code == 200
    other = TRAININGS.replace(TRAINER_VERSION, "0" * 64)
    assert replicate.kie.post(other, json={}).status_code == 404
    denied = replicate.kie.get(f"{BASE}/trainings", headers={"Authorization": "Bearer no"})
    assert (denied.status_code, denied.json()["status"]) == (401, 401)
    assert replicate.stats()["trainings"]["paid"] == {}


def test_a_zip_without_images_fails_it(replicate: Rig, files: Shelf) -> None:
    lost = ended(replicate, train(replicate, files, images=0))
    assert lost["status"] == "failed"
    assert "No images" in lost["error"]
    assert lost["output"] is None


def test_the_list_is_newest_first_and_a_cancel_ends_it(replicate: Rig, files: Shelf) -> None:
    replicate.set(training_seconds=60)
    first, second = train(replicate, files), train(replicate, files)
    listed = replicate.kie.get(f"{BASE}/trainings").json()
    assert listed.keys() == {"next", "previous", "results"}
    assert [one["id"] for one in listed["results"]] == [second["id"], first["id"]]
    gone = replicate.kie.post(first["urls"]["cancel"])
    assert (gone.status_code, gone.json()["status"]) == (200, "canceled")
    replicate.control.post(f"/trainings/{second['id']}/finish")
    assert replicate.kie.post(second["urls"]["cancel"]).json()["status"] == "succeeded"
    assert replicate.stats()["trainings"]["cancelled"] == {"replicate": 1}


def check(replicate: Rig, web: Receiver, n: int) -> dict[str, Any]:
    """The body of a webhook, its signature checked as Replicate documents it."""
    secret = replicate.kie.get(f"{BASE}/webhooks/default/secret").json()["key"]
    headers = {name.lower(): value for name, value in web.headers[n].items()}
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + web.bodies[n]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"].split() == [f"v1,{wanted}"]
    return dict(json.loads(web.bodies[n]))


def test_its_webhooks_are_signed(replicate: Rig, files: Shelf) -> None:
    with receiver() as web:
        sent = train(replicate, files, webhook=f"{web.url}?run={RUN}")
        until(lambda: len(web.bodies) == 4)
        train(replicate, files, webhook=web.url, webhook_events_filter=["completed"])
        until(lambda: len(web.bodies) == 5)
        until(lambda: replicate.stats()["callbacks_owed"] == 0)
    said = [check(replicate, web, n) for n in range(5)]
    assert {one["id"] for one in said[:4]} == {sent["id"]}
    assert {one["status"] for one in said[3:]} == {"succeeded"}
    assert len({headers["webhook-id"] for headers in web.headers}) == 5


def test_a_message_sent_twice_keeps_its_id(replicate: Rig, files: Shelf) -> None:
    replicate.faults(webhook_twice=True)
    with receiver() as web:
        train(replicate, files, webhook=web.url, webhook_events_filter=["completed"])
        until(lambda: len(web.bodies) == 2)
    assert len({headers["webhook-id"] for headers in web.headers}) == 1
