"""fal's queue, after its documentation: submit, status, result, cancel, its webhook and its keys.

What becomes of a request that was cancelled is not documented but for its error's type: it is COMPLETED
with that error. The queue checks an input when it takes it.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.sandbox import datasets, fal_wire, weights
from core.sandbox.datasets import Refused
from core.sandbox.desk import Call, Desk, json_of, subject_of
from core.sandbox.fal_models import (
    IMAGE,
    INPUTS,
    LEAST_IMAGES,
    TRAINING,
    ImageInput,
    TrainingInput,
    complaints,
)
from core.sandbox.fault import Place
from core.sandbox.outputs import answer, weights_answer
from core.sandbox.pictures import CONTENT_TYPES, Source, Whole, film
from core.sandbox.service import Sandbox
from core.sandbox.store import now_ms
from core.sandbox.trainings import Failure, Stage, Training, run_of
from core.sandbox.workshop import Hand, Workshop

LORA_FILE, CONFIG_FILE = "pytorch_lora_weights.safetensors", "config.json"
FILM_FILE = "output.mp4"
Kind = Literal["training", "image", "film"]
_KINDS: dict[str, Kind] = {TRAINING: "training", IMAGE: "image"}
_PLACES = {"training": Place.FAL_TRAINING, "image": Place.FAL_IMAGE, "film": Place.FAL_FILM}


class Manner:
    """fal's errors."""

    scheme = "Key"

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"detail": message}, status)


class Fal:
    """The routes and the work of fal."""

    def __init__(self, sandbox: Sandbox, workshop: Workshop) -> None:
        self._sandbox, self._workshop = sandbox, workshop
        self._desk = Desk(sandbox, Manner())
        workshop.learn("fal", self._craft, lambda one: ["completed"] if one.stage.ended else [])

    def routes(self) -> list[Route]:
        route, one = self._desk.route, "/fal/{owner}/{app}/requests/{request_id}"
        return [
            route("/fal/.well-known/jwks.json", "fal_keys", self._keys),
            route("/fal/files/{request_id}/{name}", "fal_file", self._file),
            route(f"{one}/status", "fal_status", self._status),
            route(f"{one}/cancel", "fal_cancel", self._cancel, ["PUT"]),
            route(one, "fal_result", self._result),
            route("/fal/{model:path}", "fal_submit", self._submit, ["POST"]),
        ]

    async def _keys(self, call: Call) -> Response:
        return JSONResponse(fal_wire.jwks(self._sandbox.store.signing))

    # The queue

    async def _submit(self, call: Call) -> Response:
        desk, dials = self._desk, self._sandbox.dials
        body = await json_of(call.request)
        webhook = call.request.query_params.get("fal_webhook")
        call.entry.generation = run_of(webhook)
        marks = desk.marks(call, body)
        await desk.gate(call, Place.FAL_SUBMIT, subject_of("fal", body), marks)
        model = str(call.request.path_params["model"])
        if model not in INPUTS:
            raise desk.stop(404, f"Application '{model.partition('/')[2]}' not found")
        if said := complaints(model, body):
            return JSONResponse({dials.fal_errors: said}, 422)
        if self._workshop.full():
            raise desk.stop(429, "Rate limit exceeded")
        kind = _KINDS.get(model, "film")
        request_id = str(UUID(desk.new_id()))
        fate, later = desk.fate(_PLACES[kind], request_id, marks)
        one = Training(
            id=request_id,
            service="fal",
            kind=kind,
            model=model,
            run=run_of(webhook),
            webhook=webhook,
            body=body,
            created=now_ms(),
            duration=desk.duration(self._seconds(kind), request_id),
            finish=None,
            queue=None,
            start=None,
            fate=fate,
            marks=later,
            facts=_first_facts(model, body, request_id),
        )
        one = self._workshop.accept(one)
        call.entry.task, call.entry.note = one.id, " ".join([*call.struck, *fate])
        desk.lose(call)
        said_of = {"status": "IN_QUEUE", **self._urls(one), "queue_position": 0}
        return JSONResponse({**said_of, "logs": None, "metrics": {}})

    def _seconds(self, kind: Kind) -> float:
        dials = self._sandbox.dials
        return {
            "training": dials.training_seconds,
            "image": dials.lora_image_seconds,
            "film": dials.video_seconds,
        }[kind]

    async def _known(self, call: Call, place: Place) -> Training:
        """The request that the address names, after the gate."""
        request_id = call.request.path_params["request_id"]
        one = self._sandbox.store.trainings.get(request_id, "fal")
        call.entry.task, call.entry.generation = request_id[:100], one.run if one else None
        await self._desk.gate(call, place, request_id, one.marks if one else ())
        if one is None or _app(one.model) != "{owner}/{app}".format(**call.request.path_params):
            raise self._desk.stop(404, f"Request {request_id[:100]} not found")
        return one

    async def _status(self, call: Call) -> Response:
        one = await self._known(call, Place.FAL_READ)
        wants = call.request.query_params.get("logs") in {"1", "true", "True"}
        return fal_wire.status(one, self._urls(one), wants, now_ms())

    async def _result(self, call: Call) -> Response:
        one = await self._known(call, Place.FAL_READ)
        if not one.stage.ended:
            raise self._desk.stop(400, "Request is still in progress")
        status, body = fal_wire.outcome(one, self._output(one), self._sandbox.dials.fal_errors)
        return JSONResponse(body, status, headers={"x-fal-request-id": one.id})

    async def _cancel(self, call: Call) -> Response:
        one = await self._known(call, Place.FAL_CANCEL)
        if "cancel_too_late" in one.fate and not one.stage.ended:
            one = await self._workshop.finish(one.id)
        if one.stage.ended:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        queued = one.stage is Stage.QUEUED
        await self._workshop.stop(one.id)
        return JSONResponse({"status": "OK" if queued else "CANCELLATION_REQUESTED"}, 200 if queued else 202)

    # What is said of a request

    def _urls(self, one: Training) -> dict[str, str]:
        base = f"{self._sandbox.public_url}/fal/{_app(one.model)}/requests/{one.id}"
        return {
            "request_id": one.id,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    def _file_url(self, one: Training, name: str) -> str:
        return f"{self._sandbox.public_url}/fal/files/{one.id}/{name}"

    def _output(self, one: Training) -> Mapping[str, Any]:
        if one.kind == "image":
            return self._pictures(one)
        if one.kind == "film":
            size = self._sandbox.dials.file_bytes or len(film())
            told = {"content_type": "video/mp4", "file_name": FILM_FILE, "file_size": size}
            return {"video": {"url": self._file_url(one, FILM_FILE), **told}}
        files = {
            "diffusers_lora_file": (LORA_FILE, "application/octet-stream"),
            "config_file": (CONFIG_FILE, "application/json"),
        }
        return {
            field: {
                "url": self._file_url(one, name),
                "content_type": content_type,
                "file_name": name,
                "file_size": self._made(one, name).size,
            }
            for field, (name, content_type) in files.items()
        }

    def _pictures(self, one: Training) -> Mapping[str, Any]:
        given = ImageInput.model_validate(one.body)
        width, height = given.pixels
        names = [f"{n}.{given.output_format.replace('jpeg', 'jpg')}" for n in range(given.num_images)]
        shape = {"width": width, "height": height, "content_type": f"image/{given.output_format}"}
        return {
            "images": [{"url": self._file_url(one, name), **shape} for name in names],
            "timings": {"inference": round(one.duration / 1000, 3)},
            "seed": one.facts["seed"],
            "has_nsfw_concepts": [False] * len(names),
            "prompt": given.prompt,
        }

    def letter(self, one: Training, says: str) -> tuple[bytes, dict[str, str]]:
        """The webhook's body and headers."""
        forged = says.endswith(" forged")
        if forged:
            one = replace(one, stage=Stage.SUCCEEDED, failure=None)
        sent = fal_wire.webhook(one, self._output(one), self._sandbox.dials.fal_errors)
        if says.endswith(" unsigned"):
            return sent, {}
        return sent, fal_wire.signature(one, sent, "forger" if forged else self._sandbox.store.signing)

    # Its work and its files

    async def _craft(self, one: Training, hand: Hand) -> None:
        if one.kind == "image":
            for lora in ImageInput.model_validate(one.body).loras:
                await datasets.check_weights(lora.path)
        elif one.kind == "training":
            found = await datasets.pull(str(one.body["images_data_url"]))
            hand.note(one.id, images=found.images, captions=found.captions, opened=now_ms())
            if found.images < LEAST_IMAGES:
                words = f"At least {LEAST_IMAGES} images are needed, the archive has {found.images}"
                raise Refused(Failure(words, "value_error", 422))
        await hand.pause(one.id, hand.now(one.id).finish)

    async def _file(self, call: Call) -> Response:
        request_id, name = call.request.path_params["request_id"], call.request.path_params["name"]
        one = self._sandbox.store.trainings.get(request_id, "fal")
        call.entry.task, call.entry.note = request_id[:100], name[:100]
        if one is None or one.stage is not Stage.SUCCEEDED:
            return JSONResponse({"detail": "Not found"}, 404)
        call.entry.generation = one.run
        if one.kind == "image":
            return await self._picture(call, one, name)
        if one.kind == "film":
            return self._film(call, one, name)
        if name not in {LORA_FILE, CONFIG_FILE}:
            return JSONResponse({"detail": "Not found"}, 404)
        if name == LORA_FILE:
            return weights_answer(self._sandbox, call, one, self._made(one, name), name)
        return answer(call.request, self._made(one, name), "application/json")

    async def _picture(self, call: Call, one: Training, name: str) -> Response:
        if self._file_url(one, name) not in {image["url"] for image in self._pictures(one)["images"]}:
            return JSONResponse({"detail": "Not found"}, 404)
        given = ImageInput.model_validate(one.body)
        number, extension = name.split(".")
        if size := self._sandbox.dials.file_bytes:
            filler = self._sandbox.pictures.filler(f"fal_{one.id}_{name}", size)
            return answer(call.request, filler, CONTENT_TYPES[extension])
        # A LoRA shows, or “with and without” would be the same picture twice.
        styled = ":with a LoRA" if given.loras else ""
        picture = await self._sandbox.pictures.rendered(
            f"fal_{one.id}_{name}",
            seed=f"{one.facts['seed']}:{number}:{given.prompt}{styled}",
            prompt=given.prompt,
            size=given.pixels,
            extension=extension,
        )
        return answer(call.request, picture, CONTENT_TYPES[extension])

    def _film(self, call: Call, one: Training, name: str) -> Response:
        if name != FILM_FILE:
            return JSONResponse({"detail": "Not found"}, 404)
        size = self._sandbox.dials.file_bytes
        source = self._sandbox.pictures.filler(f"{one.id}.mp4", size) if size else Whole(film())
        return answer(call.request, source, CONTENT_TYPES["mp4"])

    def _made(self, one: Training, name: str) -> Source:
        if name == CONFIG_FILE:
            return weights.text(fal_wire.config(one))
        about = {"format": "pt", "ss_base_model_version": "flux1", "ss_steps": str(one.steps)}
        return weights.safetensors(one.id, about, self._sandbox.dials.weights_bytes)


def _app(model: str) -> str:
    """The owner and the app of a model; its own path below them is no part of a request's address."""
    return "/".join(model.split("/")[:2])


def _first_facts(model: str, body: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    if model == TRAINING:
        return {"steps": TrainingInput.model_validate(body).steps}
    if model != IMAGE:
        return {}
    given = ImageInput.model_validate(body)
    return {"seed": random.Random(request_id).getrandbits(32) if given.seed is None else given.seed}
