"""Replicate's HTTP API, after its documentation: models, trainings, the webhook's secret.

Not documented, so chosen: a destination that does not exist is a 404, cancelling what has ended answers it
as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.sandbox import datasets, replicate_wire, weights
from core.sandbox.desk import Call, Desk, json_of, subject_of
from core.sandbox.fault import Place
from core.sandbox.outputs import weights_answer
from core.sandbox.pictures import Source
from core.sandbox.replicate_wire import TRAINER, TRAINER_VERSION, complaints
from core.sandbox.safety import ACCOUNT
from core.sandbox.service import Sandbox
from core.sandbox.store import now_ms
from core.sandbox.trainings import Stage, Training, run_of
from core.sandbox.workshop import Hand, Workshop

PAGE_SIZE = 100
MODELS = "replicate model"
TAR = "trained_model.tar"
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


class Manner:
    """Replicate's errors."""

    scheme = "Bearer"

    def error(self, status: int, message: str) -> Response:
        return replicate_wire.problem(status, message)


class Replicate:
    """The routes and the work of Replicate."""

    def __init__(self, sandbox: Sandbox, workshop: Workshop) -> None:
        self._sandbox, self._workshop = sandbox, workshop
        self._desk = Desk(sandbox, Manner())
        workshop.learn("replicate", self._craft, replicate_wire.events)

    def routes(self) -> list[Route]:
        route, base = self._desk.route, "/replicate/v1"
        model, one = f"{base}/models/{{owner}}/{{name}}", f"{base}/trainings/{{training_id}}"
        return [
            route(f"{base}/account", "replicate_other", self._account),
            route(f"{base}/models", "replicate_model", self._create_model, ["POST"]),
            route(model, "replicate_model", self._model),
            route(f"{model}/versions/{{version}}/trainings", "replicate_submit", self._submit, ["POST"]),
            route(f"{base}/trainings", "replicate_list", self._list),
            route(one, "replicate_read", self._read),
            route(f"{one}/cancel", "replicate_cancel", self._cancel, ["POST"]),
            route(f"{base}/webhooks/default/secret", "replicate_other", self._secret),
            route("/replicate/files/{training_id}/{name}", "replicate_file", self._file),
        ]

    # Models

    async def _account(self, call: Call) -> Response:
        await self._desk.gate(call, Place.REPLICATE_READ, "")
        return JSONResponse({"type": "organization", "username": ACCOUNT, "name": "Studio Ops"})

    async def _create_model(self, call: Call) -> Response:
        body = await json_of(call.request)
        await self._desk.gate(call, Place.REPLICATE_READ, subject_of("replicate model", body))
        owner, name = body.get("owner"), body.get("name")
        if (
            not isinstance(owner, str)
            or not isinstance(name, str)
            or not {"visibility", "hardware"} <= set(body)
        ):
            raise self._desk.stop(422, "owner, name, visibility and hardware are required")
        model = {"owner": owner, "name": name, "visibility": body["visibility"], "description": None}
        if not self._sandbox.store.trainings.put_thing(MODELS, f"{owner}/{name}", model):
            raise self._desk.stop(409, "A model with that name and owner already exists")
        return JSONResponse(self._told_model(model), 201)

    async def _model(self, call: Call) -> Response:
        await self._desk.gate(call, Place.REPLICATE_READ, "")
        found = self._find_model("{owner}/{name}".format(**call.request.path_params))
        if found is None:
            raise self._desk.stop(404, "The requested resource could not be found.")
        return JSONResponse(self._told_model(found))

    def _find_model(self, name: str) -> Mapping[str, Any] | None:
        if name == TRAINER:
            owner, _, own = TRAINER.partition("/")
            return {"owner": owner, "name": own, "visibility": "public", "latest_version": TRAINER_VERSION}
        return self._sandbox.store.trainings.thing(MODELS, name)

    def _told_model(self, model: Mapping[str, Any]) -> dict[str, Any]:
        version = model.get("latest_version")
        url = f"https://replicate.com/{model['owner']}/{model['name']}"
        return {**model, "url": url, "latest_version": {"id": version} if version else None}

    # Trainings

    async def _submit(self, call: Call) -> Response:
        desk, asked = self._desk, call.request.path_params
        body = await json_of(call.request)
        destination, webhook = body.get("destination"), body.get("webhook")
        call.entry.generation = run = run_of(webhook, destination)
        marks = desk.marks(call, body)
        await desk.gate(call, Place.REPLICATE_SUBMIT, subject_of("replicate", body), marks)
        if f"{asked['owner']}/{asked['name']}" != TRAINER or asked["version"] != TRAINER_VERSION:
            raise desk.stop(404, "The specified version does not exist")
        if said := complaints(body):
            return replicate_wire.invalid(said)
        if self._find_model(str(destination)) is None or destination == TRAINER:
            raise desk.stop(404, "The specified training destination does not exist")
        if self._workshop.full():
            raise desk.stop(429, "Request was throttled. Your rate limit resets in ~30s.")
        digits = int(desk.new_id(), 16)
        training_id = "".join(_ID_LETTERS[digits >> 5 * n & 31] for n in range(26))
        fate, later = desk.fate(Place.REPLICATE_TRAINING, training_id, marks)
        one = Training(
            id=training_id,
            service="replicate",
            kind="training",
            model=TRAINER,
            run=run,
            webhook=webhook,
            body=body,
            created=now_ms(),
            duration=desk.duration(self._sandbox.dials.training_seconds, training_id),
            finish=None,
            queue=None,
            start=None,
            fate=fate,
            marks=later,
            facts={"steps": body["input"].get("steps", 1000)},
        )
        one = self._workshop.accept(one)
        call.entry.task, call.entry.note = one.id, " ".join([*call.struck, *fate])
        desk.lose(call)
        return JSONResponse(self._told(one), 201)

    async def _list(self, call: Call) -> Response:
        await self._desk.gate(call, Place.REPLICATE_READ, "")
        cursor = call.request.query_params.get("cursor", "")
        offset = int(cursor) if cursor.isdecimal() and len(cursor) < 10 else 0
        found = self._sandbox.store.trainings.of("replicate", PAGE_SIZE + 1, offset)
        base = f"{self._sandbox.public_url}/replicate/v1/trainings?cursor="
        return JSONResponse(
            {
                "next": f"{base}{offset + PAGE_SIZE}" if len(found) > PAGE_SIZE else None,
                "previous": f"{base}{max(offset - PAGE_SIZE, 0)}" if offset else None,
                "results": [self._told(one) for one in found[:PAGE_SIZE]],
            }
        )

    async def _known(self, call: Call, place: Place) -> Training:
        training_id = call.request.path_params["training_id"]
        one = self._sandbox.store.trainings.get(training_id, "replicate")
        call.entry.task, call.entry.generation = training_id[:100], one.run if one else None
        await self._desk.gate(call, place, training_id, one.marks if one else ())
        if one is None:
            raise self._desk.stop(404, "The requested resource could not be found.")
        return one

    async def _read(self, call: Call) -> Response:
        return JSONResponse(self._told(await self._known(call, Place.REPLICATE_READ)))

    async def _cancel(self, call: Call) -> Response:
        one = await self._known(call, Place.REPLICATE_CANCEL)
        if "cancel_too_late" in one.fate and not one.stage.ended:
            one = await self._workshop.finish(one.id)
        elif not one.stage.ended:
            one = await self._workshop.stop(one.id)
        return JSONResponse(self._told(one))

    async def _secret(self, call: Call) -> Response:
        await self._desk.gate(call, Place.REPLICATE_READ, "")
        return JSONResponse({"key": replicate_wire.secret(self._sandbox.store.signing)})

    # What is said, done and left behind

    def _told(self, one: Training) -> dict[str, Any]:
        return replicate_wire.told(one, self._sandbox.public_url, now_ms())

    def letter(self, one: Training, says: str) -> tuple[bytes, dict[str, str]]:
        """A webhook's body and headers."""
        event, _, flaw = says.partition(" ")
        if flaw == "forged":
            ended = {**one.since, Stage.SUCCEEDED: now_ms()}
            one = replace(one, stage=Stage.SUCCEEDED, since=ended, failure=None)
        body = json.dumps(self._told(one)).encode()
        if flaw == "unsigned":
            return body, {}
        key = "forger" if flaw == "forged" else self._sandbox.store.signing
        return body, replicate_wire.signature(one, event, body, key)

    async def _craft(self, one: Training, hand: Hand) -> None:
        found = await datasets.pull(str(one.body["input"]["input_images"]))
        hand.note(one.id, images=found.images, captions=found.captions, opened=now_ms())
        if not found.images:
            raise datasets.Refused(replicate_wire.EMPTY)
        await hand.pause(one.id, hand.now(one.id).finish)

    async def _file(self, call: Call) -> Response:
        training_id, name = call.request.path_params["training_id"], call.request.path_params["name"]
        one = self._sandbox.store.trainings.get(training_id, "replicate")
        call.entry.task, call.entry.note = training_id[:100], name[:100]
        if one is None or one.stage is not Stage.SUCCEEDED or name != TAR:
            return JSONResponse({"detail": "Not found"}, 404)
        call.entry.generation = one.run
        return weights_answer(self._sandbox, call, one, self._tar(one), name)

    def _tar(self, one: Training) -> Source:
        about = {"format": "pt", "ss_base_model_version": "flux1", "name": "flux_train_replicate"}
        folder = "output/flux_train_replicate"
        files = {
            f"{folder}/lora.safetensors": weights.safetensors(
                one.id, about, self._sandbox.dials.weights_bytes
            ),
            f"{folder}/config.yaml": weights.text(f"job: extension\nsteps: {one.steps}\n"),
            f"{folder}/captions/image_0.txt": weights.text("a photo of TOK"),
        }
        return weights.tar(files, one.created // 1000)
