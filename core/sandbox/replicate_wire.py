"""What Replicate says of a training, as plain functions of it: the object, its events, its signature.

Source: https://replicate.com/docs/reference/http and /docs/topics/webhooks; the trainer's input from
https://github.com/ostris/ai-toolkit (ostris/flux-dev-lora-trainer).
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from starlette.responses import JSONResponse, Response

from core.sandbox.trainings import LOG_LINES, Failure, Stage, Training, iso

TRAINER = "ostris/flux-dev-lora-trainer"
# The one version that is sold here; its real hash changes with each release.
TRAINER_VERSION = "26dce37af90b9d997eeb970d92e47de3064d46c300504ae376c75bef6a9022d2"
EMPTY = Failure("No images were found in the zip file")
_STATUS = {
    Stage.QUEUED: "starting",
    Stage.STARTING: "starting",
    Stage.RUNNING: "processing",
    Stage.SUCCEEDED: "succeeded",
    Stage.FAILED: "failed",
    Stage.CANCELLED: "canceled",
}
Event = Literal["start", "output", "logs", "completed"]


class TrainerInput(BaseModel):
    """The trainer's input."""

    model_config = ConfigDict(extra="forbid")

    input_images: StrictStr
    trigger_word: StrictStr = "TOK"
    autocaption: StrictBool = True
    autocaption_prefix: StrictStr | None = None
    autocaption_suffix: StrictStr | None = None
    steps: int = Field(default=1000, ge=3, le=6000)
    learning_rate: float = 4e-4
    batch_size: int = 1
    resolution: StrictStr = "512,768,1024"
    lora_rank: int = Field(default=16, ge=1, le=128)
    caption_dropout_rate: float = Field(default=0.05, ge=0, le=1)
    optimizer: StrictStr = "adamw8bit"
    hf_repo_id: StrictStr | None = None
    hf_token: StrictStr | None = None


class Order(BaseModel):
    """The body that asks for a training."""

    destination: StrictStr = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    input: TrainerInput
    webhook: StrictStr | None = None
    webhook_events_filter: list[Event] | None = None


def complaints(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with the order, field by field."""
    try:
        Order.model_validate(body)
    except ValidationError as error:
        return [
            {"field": ".".join(map(str, fault["loc"])), "type": fault["type"], "description": fault["msg"]}
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    return []


def problem(status: int, message: str) -> Response:
    """An error of Replicate's."""
    body = {"title": HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"}
    return JSONResponse({**body, "detail": message, "status": status}, status)


def invalid(fields: Sequence[Mapping[str, Any]]) -> Response:
    """The 422 for an input that does not fit."""
    detail = "\n".join(f"- {fault['field']}: {fault['description']}" for fault in fields)
    body = {"title": "Input validation failed", "detail": detail, "status": 422, "invalid_fields": fields}
    return JSONResponse(body, 422)


def events(one: Training) -> list[str]:
    """The webhooks that are owed now that a stage has begun, those alone that were asked for."""
    owed = {Stage.STARTING: ["start"], Stage.RUNNING: ["logs"], Stage.SUCCEEDED: ["output"]}.get(
        one.stage, []
    )
    wanted = one.body.get("webhook_events_filter") or ["start", "output", "logs", "completed"]
    return [event for event in [*owed, *(["completed"] if one.stage.ended else [])] if event in wanted]


def told(one: Training, public_url: str, now: int) -> dict[str, Any]:
    """The training as Replicate's object."""
    api = f"{public_url}/replicate/v1/trainings/{one.id}"
    began, ended = one.since.get(Stage.RUNNING), one.ended_at
    said: dict[str, Any] = {
        "id": one.id,
        "model": TRAINER,
        "version": TRAINER_VERSION,
        "input": {name: "" if name == "hf_token" else value for name, value in one.body["input"].items()},
        "logs": "".join(f"{line}\n" for line in _log(one, now)),
        "error": one.failure.message if one.failure and one.stage is Stage.FAILED else None,
        "status": _STATUS[one.stage],
        "created_at": iso(one.created),
        "started_at": iso(one.since.get(Stage.STARTING)),
        "completed_at": iso(ended),
        "source": "api",
        "output": None,
        "urls": {"get": api, "cancel": f"{api}/cancel"},
    }
    if ended is not None:
        said["metrics"] = {
            "predict_time": (ended - (began or ended)) / 1000,
            "total_time": (ended - one.created) / 1000,
        }
    if one.stage is Stage.SUCCEEDED:
        made = hashlib.sha256(f"version:{one.id}".encode()).hexdigest()
        weights = f"{public_url}/replicate/files/{one.id}/trained_model.tar"
        said["output"] = {"version": f"{one.body['destination']}:{made}", "weights": weights}
    return said


def _log(one: Training, now: int) -> list[str]:
    """As the trainer prints it, with its progress bar."""
    found = []
    for _, text in one.lines(now):
        if text.startswith("step "):
            done, _, steps = text.split()[1].partition("/")
            bar = int(done) * LOG_LINES // max(int(steps), 1)
            loss = text.split()[-1]
            text = f"flux_train_replicate: {bar * 10:3}%|{'#' * bar:10}| {done}/{steps} [00:10, loss: {loss}]"
        found.append(text)
    return found


def secret(signing: str) -> str:
    """The secret that webhooks are signed with."""
    return "whsec_" + base64.b64encode(_key(signing)).decode()


def _key(signing: str) -> bytes:
    return hashlib.sha256(f"replicate:{signing}".encode()).digest()[:24]


def signature(one: Training, event: str, body: bytes, signing: str) -> dict[str, str]:
    """The headers of a webhook; a message that is sent again keeps its id."""
    message_id = "msg_" + hashlib.sha256(f"{one.id}:{event}".encode()).hexdigest()[:27]
    stamp = str(int(time.time()))
    text = f"{message_id}.{stamp}.".encode() + body
    digest = base64.b64encode(hmac.new(_key(signing), text, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{digest}"}
