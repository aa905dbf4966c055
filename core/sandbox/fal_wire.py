"""What fal says of a request: status, outcome, webhook and signature, as plain functions of the training.

Source: https://docs.fal.ai, the pages of the queue, of webhooks and of errors.
"""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.responses import JSONResponse, Response

from core.sandbox.trainings import Failure, Stage, Training, iso

USER_ID = "auth0|sandbox"
_CANCELLED = Failure("Request was cancelled by the client", "client_cancelled", 499)


def _key(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"fal:{secret}".encode()).digest())


def jwks(secret: str) -> dict[str, Any]:
    """The public key that webhooks are checked with."""
    public = _key(secret).public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "sandbox", "use": "sig", "x": x}]}


def failure_of(one: Training) -> Failure | None:
    return _CANCELLED if one.stage is Stage.CANCELLED else one.failure


def status(one: Training, urls: Mapping[str, str], logs: bool, now: int) -> Response:
    """The status answer; the log comes only when it was asked for."""
    said: dict[str, Any] = {**urls}
    lines = [
        {"message": text, "level": "INFO", "source": "USER", "timestamp": iso(at)}
        for at, text in one.lines(now)
    ]
    if one.stage.ended:
        said |= {"status": "COMPLETED", "logs": lines if logs else None}
        said["metrics"] = {"inference_time": _seconds(one)}
        if failed := failure_of(one):
            said |= {"error": _error(failed), "error_type": failed.kind}
        return JSONResponse(said)
    if one.stage is Stage.QUEUED:
        return JSONResponse({"status": "IN_QUEUE", **said, "queue_position": 0}, 202)
    return JSONResponse({"status": "IN_PROGRESS", **said, "logs": lines if logs else None}, 202)


def _seconds(one: Training) -> float | None:
    began, ended = one.since.get(Stage.RUNNING), one.ended_at
    return None if began is None or ended is None else (ended - began) / 1000


def _error(failed: Failure) -> str:
    return failed.message if failed.kind == "client_cancelled" else f"Invalid status code: {failed.status}"


def outcome(one: Training, output: Mapping[str, Any], name: str) -> tuple[int, Mapping[str, Any]]:
    """The model's own status and body; `name` is under which a model lists what is wrong."""
    failed = failure_of(one)
    if failed is None:
        return 200, output
    if failed.kind == "client_cancelled":
        return failed.status, {"detail": failed.message, "error_type": failed.kind}
    said = {"loc": ["body"], "msg": failed.message, "type": failed.kind}
    return failed.status, {name: [said]}


def config(one: Training) -> str:
    """The trainer's config file."""
    return json.dumps(
        {"trigger_word": one.body.get("trigger_word"), "steps": one.steps, "model": "flux-dev"}, indent=1
    )


def webhook(one: Training, output: Mapping[str, Any], name: str) -> bytes:
    """The body of the message that a request has ended."""
    failed = failure_of(one)
    _, payload = outcome(one, output, name)
    said: dict[str, Any] = {
        "request_id": one.id,
        "gateway_request_id": one.id,
        "status": "ERROR" if failed else "OK",
        "payload": payload,
    }
    if failed:
        said["error"] = _error(failed)
    return json.dumps(said).encode()


def signature(one: Training, body: bytes, secret: str) -> dict[str, str]:
    """The headers that say whose message it is; made anew at each try."""
    stamp = str(int(time.time()))
    text = "\n".join([one.id, USER_ID, stamp, hashlib.sha256(body).hexdigest()])
    return {
        "X-Fal-Webhook-Request-Id": one.id,
        "X-Fal-Webhook-User-Id": USER_ID,
        "X-Fal-Webhook-Timestamp": stamp,
        "X-Fal-Webhook-Signature": _key(secret).sign(text.encode()).hex(),
    }
