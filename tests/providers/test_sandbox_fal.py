"""The sandbox speaks fal: its queue, its two models, its webhook."""

import base64
import hashlib
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from PIL import Image

from tests.providers.sandbox_rig import Receiver, Rig, receiver, rig, until
from tests.providers.training_rig import RUN, Shelf, header_of, shelf

TRAINING, IMAGE = "/fal/fal-ai/flux-lora-fast-training", "/fal/fal-ai/flux-lora"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        found.kie.headers["Authorization"] = f"Key {found.kie.headers['Authorization'].split()[1]}"
        yield found


@pytest.fixture
def fal(house: Rig) -> Rig:
    house.reset()
    return house


@pytest.fixture(scope="module")
def files() -> Iterator[Shelf]:
    with shelf() as found:
        yield found


def submit(fal: Rig, where: str, body: dict[str, Any], webhook: str | None = None) -> dict[str, Any]:
    answer = fal.kie.post(where, json=body, params={"fal_webhook": webhook} if webhook else {})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def train(fal: Rig, files: Shelf, webhook: str | None = None, **more: Any) -> dict[str, Any]:
    return submit(fal, TRAINING, {"images_data_url": files.zip(), "trigger_word": "TOK", **more}, webhook)


def ended(fal: Rig, sent: dict[str, Any], logs: bool = False) -> dict[str, Any]:
    """The status once it is COMPLETED."""

    def ask() -> dict[str, Any] | None:
        answer = fal.kie.get(sent["status_url"], params={"logs": "1"} if logs else {})
        body = answer.json()
        assert answer.status_code == (200 if body["status"] == "COMPLETED" else 202)
        return dict(body) if body["status"] == "COMPLETED" else None

    found = until(ask)
    assert found is not None
    return found


def fetch(url: str) -> bytes:
    return httpx.get(url, trust_env=False).raise_for_status().content


def test_a_training_from_the_queue_to_its_weights(fal: Rig, files: Shelf) -> None:
    fal.set(training_seconds=0.6, jitter=0)
    sent = train(fal, files, steps=500)
    base = f"{fal.url}{TRAINING}/requests/{sent['request_id']}"
    assert sent["status"] == "IN_QUEUE"
    assert sent["queue_position"] == 0
    assert (sent["response_url"], sent["status_url"], sent["cancel_url"]) == (
        base,
        f"{base}/status",
        f"{base}/cancel",
    )
    assert fal.kie.get(sent["response_url"]).status_code == 400
    seen = []

    def status() -> bool:
        found = fal.kie.get(sent["status_url"]).json()
        seen.append(found["status"])
        return bool(found["status"] == "COMPLETED")

    until(status)
    assert [word for n, word in enumerate(seen) if seen[:n].count(word) == 0] == [
        word for word in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED") if word in seen
    ]
    assert "IN_PROGRESS" in seen
    told = ended(fal, sent, logs=True)
    assert "error" not in told
    assert told["metrics"]["inference_time"] > 0
    assert [line["message"] for line in told["logs"]][1] == "Found 4 images, 4 captions"
    assert told["logs"][0].keys() == {"message", "level", "source", "timestamp"}
    assert ended(fal, sent)["logs"] is None
    out = fal.kie.get(sent["response_url"])
    assert out.status_code == 200
    file = out.json()["diffusers_lora_file"]
    weights = fetch(file["url"])
    assert file["file_name"].endswith(".safetensors")
    assert len(weights) == file["file_size"]
    assert "__metadata__" in header_of(weights)
    assert json.loads(fetch(out.json()["config_file"]["url"]))["trigger_word"] == "TOK"


@pytest.mark.parametrize("name", ["detail", "errors"])
def test_an_array_in_place_of_the_zip_is_a_422(fal: Rig, name: str) -> None:
    fal.set(fal_errors=name)
    answer = fal.kie.post(TRAINING, json={"images_data_url": ["http://127.0.0.1/a.jpg"]})
    assert answer.status_code == 422
    [said] = answer.json()[name]
    assert said["loc"] == ["body", "images_data_url"]
    assert said["type"] == "string_type"
    assert fal.stats()["trainings"]["paid"] == {}


def test_three_images_are_too_few_and_it_says_so_as_completed(fal: Rig, files: Shelf) -> None:
    sent = submit(fal, TRAINING, {"images_data_url": files.zip(3)})
    told = ended(fal, sent)
    assert (told["error"], told["error_type"]) == ("Invalid status code: 422", "value_error")
    out = fal.kie.get(sent["response_url"])
    assert out.status_code == 422
    assert "At least 4 images" in out.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda files: f"{files.url}/nothing.zip", "file_download_error"),
        (lambda files: "https://example.com/data.zip", "file_download_error"),
        (lambda files: "data:application/zip;base64,AA", "file_download_error"),
        (lambda files: files.zip(broken__jpg=b"no picture"), "image_load_error"),
    ],
    ids=["404", "elsewhere", "data", "no picture"],
)
def test_a_zip_that_cannot_be_used_fails_it(fal: Rig, files: Shelf, make: Any, kind: str) -> None:
    sent = submit(fal, TRAINING, {"images_data_url": make(files)})
    assert ended(fal, sent)["error_type"] == kind


def test_a_redirect_is_followed_on_this_machine_alone(fal: Rig, files: Shelf) -> None:
    files.moved = {"/moved": files.zip(), "/away": "http://169.254.169.254/latest"}
    assert "error" not in ended(fal, submit(fal, TRAINING, {"images_data_url": f"{files.url}/moved"}))
    away = ended(fal, submit(fal, TRAINING, {"images_data_url": f"{files.url}/away"}))
    assert away["error_type"] == "file_download_error"


def test_a_picture_for_each_prompt_and_seed(fal: Rig, files: Shelf) -> None:
    trained = train(fal, files)
    ended(fal, trained)
    lora = fal.kie.get(trained["response_url"]).json()["diffusers_lora_file"]["url"]

    def make(seed: int) -> bytes:
        size = {"width": 96, "height": 64}
        asked = {"prompt": "TOK by a lake", "seed": seed, "image_size": size, "loras": [{"path": lora}]}
        sent = submit(fal, IMAGE, asked)
        ended(fal, sent)
        out = fal.kie.get(sent["response_url"]).json()
        assert (out["seed"], out["prompt"], out["has_nsfw_concepts"]) == (seed, "TOK by a lake", [False])
        image = out["images"][0]
        assert (image["width"], image["height"], image["content_type"]) == (96, 64, "image/jpeg")
        return fetch(image["url"])

    first, again, other = make(1), make(1), make(2)
    assert first == again != other
    assert Image.open(io.BytesIO(first)).size == (96, 64)
    fal.set(file_bytes=5_000)
    plain = make(3)
    assert len(plain) == 5_000
    assert Image.open(io.BytesIO(plain)).format == "JPEG"
    files.files["/page.safetensors"] = b"<html></html>" * 20
    broken = {"prompt": "x", "loras": [{"path": f"{files.url}/page.safetensors"}]}
    assert ended(fal, submit(fal, IMAGE, broken))["error_type"] == "file_download_error"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": 7},
        {"prompt": "a", "image_size": "huge"},
        {"prompt": "a", "num_images": 9},
        {"prompt": "a", "loras": [{}]},
        {"prompt": "a", "output_format": "gif"},
    ],
)
def test_an_image_input_that_does_not_fit_is_a_422(fal: Rig, body: dict[str, Any]) -> None:
    assert fal.kie.post(IMAGE, json=body).status_code == 422


def test_a_cancel_in_the_queue_while_it_runs_and_too_late(fal: Rig, files: Shelf) -> None:
    def cancel(sent: dict[str, Any]) -> tuple[int, Any]:
        answer = fal.kie.put(sent["cancel_url"])
        return answer.status_code, answer.json()

    fal.set(training_seconds=60, jitter=0)
    queued = train(fal, files)
    assert cancel(queued) == (200, {"status": "OK"})
    fal.set(training_seconds=0)
    done = train(fal, files)
    ended(fal, done)
    assert cancel(done) == (400, {"status": "ALREADY_COMPLETED"})
    fal.set(training_seconds=2, jitter=0)
    running = train(fal, files)
    until(lambda: fal.kie.get(running["status_url"]).json()["status"] == "IN_PROGRESS")
    assert cancel(running) == (202, {"status": "CANCELLATION_REQUESTED"})
    told = ended(fal, running)
    assert told["error_type"] == "client_cancelled"
    assert fal.kie.get(running["response_url"]).status_code == 499
    unknown = fal.kie.put(f"{TRAINING}/requests/none/cancel")
    assert unknown.status_code == 404
    assert fal.stats()["trainings"]["cancelled"] == {"fal": 2}


def test_a_wrong_key_and_an_unknown_model(fal: Rig) -> None:
    for key in ("Bearer sandbox-local-key", "Key wrong", ""):
        answer = fal.kie.post(TRAINING, json={"images_data_url": "x"}, headers={"Authorization": key})
        assert answer.status_code == 401
    assert fal.kie.post("/fal/fal-ai/dreams", json={}).status_code == 404
    assert fal.kie.get(f"{TRAINING}/requests/none/status").status_code == 404


def public_key(fal: Rig) -> Ed25519PublicKey:
    [key] = httpx.get(f"{fal.url}/fal/.well-known/jwks.json", trust_env=False).json()["keys"]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))


def check(key: Ed25519PublicKey, web: Receiver, n: int) -> None:
    """Raises InvalidSignature for a message that is not fal's."""
    headers = {name.lower(): value for name, value in web.headers[n].items()}
    told = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    assert abs(int(told[2]) - time.time()) < 300
    text = "\n".join([*told, hashlib.sha256(web.bodies[n]).hexdigest()])
    key.verify(bytes.fromhex(headers["x-fal-webhook-signature"]), text.encode())


def test_its_webhook_is_signed_and_carries_the_result(fal: Rig, files: Shelf) -> None:
    with receiver() as web:
        won = train(fal, files, f"{web.url}?run={RUN}")
        until(lambda: len(web.bodies) == 1)
        lost = submit(fal, TRAINING, {"images_data_url": files.zip(2)}, f"{web.url}?run={RUN}")
        until(lambda: len(web.bodies) == 2)
        until(lambda: len(fal.log(kind="webhook")) == 2)
    for n in range(2):
        check(public_key(fal), web, n)
    first, second = (json.loads(body) for body in web.bodies)
    assert (first["request_id"], first["status"]) == (won["request_id"], "OK")
    assert first["gateway_request_id"] == won["request_id"]
    assert first["payload"] == fal.kie.get(won["response_url"]).json()
    assert (second["status"], second["error"]) == ("ERROR", "Invalid status code: 422")
    assert second["payload"] == fal.kie.get(lost["response_url"]).json()
    assert {row["generation"] for row in fal.log(kind="webhook")} == {RUN}
    assert fal.stats()["trainings"]["paid_by_run"] == {RUN: 2}


def test_a_forged_webhook_does_not_verify_and_an_unsigned_one_has_no_signature(
    fal: Rig, files: Shelf
) -> None:
    with receiver() as web:
        fal.faults(webhook_forged=True)
        train(fal, files, web.url)
        until(lambda: len(web.bodies) == 2)
        fal.faults(webhook_unsigned=True)
        train(fal, files, web.url)
        until(lambda: len(web.bodies) == 3)
    key = public_key(fal)
    good = 0
    for n in range(2):
        try:
            check(key, web, n)
            good += 1
        except InvalidSignature:
            continue
    assert good == 1
    assert not any(name.lower().startswith("x-fal") for name in web.headers[2])


def test_finish_ends_a_stuck_training_at_once_and_its_work_is_done(fal: Rig, files: Shelf) -> None:
    fal.faults(training_queued=True)
    sent = train(fal, files)
    assert fal.kie.get(sent["status_url"]).json()["status"] == "IN_QUEUE"
    told = fal.control.post(f"/trainings/{sent['request_id']}/finish").json()
    assert (told["stage"], told["facts"]["images"]) == ("succeeded", 4)
    assert "error" not in ended(fal, sent)
    assert fal.control.post(f"/trainings/{sent['request_id']}/finish").status_code == 409
    assert fal.control.post("/trainings/none/finish").status_code == 404
    failing = train(fal, files)
    fal.control.post(f"/trainings/{failing['request_id']}/finish", json={"fail": "no luck"})
    assert fal.kie.get(failing["response_url"]).json()["detail"][0]["msg"] == "no luck"
