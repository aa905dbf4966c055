"""RunPod's REST API v2, after its OpenAPI document: pods, their log, the catalog, the bill."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.sandbox import pod, runpod_wire
from core.sandbox.desk import Call, Desk, json_of, subject_of
from core.sandbox.fault import Place
from core.sandbox.runpod_wire import ACTIONS, Change, Order, problem, violations
from core.sandbox.service import Sandbox
from core.sandbox.store import now_ms
from core.sandbox.trainings import Training, iso, run_of
from core.sandbox.workshop import Hand, Workshop

NO_CAPACITY = "There are no longer any instances available with the requested specifications."
MOST_PODS = 1000
STREAM_PAUSE = 0.2
_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Manner:
    """RunPod's errors."""

    scheme = "Bearer"

    def error(self, status: int, message: str) -> Response:
        return problem(status, message)


class RunPod:
    """The routes and the pods of RunPod."""

    def __init__(self, sandbox: Sandbox, workshop: Workshop) -> None:
        self._sandbox, self._workshop = sandbox, workshop
        self._desk = Desk(sandbox, Manner())
        workshop.learn("runpod", self._craft, lambda one: [])

    def routes(self) -> list[Route]:
        route, base = self._desk.route, "/runpod/v2"
        one = f"{base}/pods/{{pod_id}}"
        return [
            route(f"{base}/pods", "runpod_list", self._list),
            route(f"{base}/pods", "runpod_submit", self._create, ["POST"]),
            route(one, "runpod_read", self._read),
            route(one, "runpod_change", self._change, ["PATCH"]),
            route(one, "runpod_cancel", self._delete, ["DELETE"]),
            route(f"{one}/logs", "runpod_log", self._logs),
            route(f"{one}/action", "runpod_action", self._act, ["POST"]),
            route(f"{base}/catalog/gpus", "runpod_catalog", self._catalog),
            route(f"{base}/billing/pods", "runpod_billing", self._billing),
        ]

    async def _create(self, call: Call) -> Response:
        desk = self._desk
        body = await json_of(call.request)
        env = body.get("env") if isinstance(body.get("env"), dict) else {}
        assert isinstance(env, dict)
        call.entry.generation = run = run_of(env.get("STUDIO_OPS_RUN_ID"), body.get("name"))
        marks = desk.marks(call, body)
        await desk.gate(call, Place.RUNPOD_SUBMIT, subject_of("runpod", body), marks)
        if said := violations(Order, body):
            return problem(422, "Request validation failed.", said)
        order = Order.model_validate(body)
        if order.templateId is not None:
            raise desk.stop(404, "template not found")
        if rule := order.broken_rule():
            raise desk.stop(400, rule)
        if "no_capacity" in call.struck or self._workshop.full():
            raise desk.stop(400, NO_CAPACITY)
        one = self._new(body, run, marks)
        call.entry.task, call.entry.note = one.id, " ".join([*call.struck, *one.fate])
        desk.lose(call)
        return JSONResponse(runpod_wire.told(one, now_ms()), 201)

    def _new(self, body: dict[str, Any], run: str | None, marks: tuple[Any, ...]) -> Training:
        digits = int(self._desk.new_id(), 16)
        pod_id = "".join(_ID_LETTERS[digits // 36**n % 36] for n in range(14))
        fate, later = self._desk.fate(Place.RUNPOD_TRAINING, pod_id, marks)
        dials, now = self._sandbox.dials, now_ms()
        config = str((body.get("env") or {}).get("STUDIO_OPS_CONFIG", ""))
        one = Training(
            id=pod_id,
            service="runpod",
            kind="training",
            model=str(body.get("image")),
            run=run,
            webhook=None,
            body=body,
            created=now,
            duration=self._desk.duration(dials.training_seconds, pod_id),
            finish=None,
            queue=None,
            start=None,
            fate=fate,
            marks=later,
            facts={"steps": pod.steps_in(config), "lingers": dials.pods_linger, "made": now},
        )
        return self._workshop.accept(one)

    async def _list(self, call: Call) -> Response:
        await self._desk.gate(call, Place.RUNPOD_READ, "")
        now = now_ms()
        return JSONResponse({"pods": [runpod_wire.told(one, now) for one in self._kept()]})

    def _kept(self) -> list[Training]:
        """Every pod that was not terminated, newest first."""
        found = self._sandbox.store.trainings.of("runpod", MOST_PODS)
        return [one for one in found if "terminated" not in one.facts]

    async def _known(self, call: Call, place: Place) -> Training:
        pod_id = call.request.path_params["pod_id"]
        one = self._sandbox.store.trainings.get(pod_id, "runpod")
        call.entry.task, call.entry.generation = pod_id[:100], one.run if one else None
        await self._desk.gate(call, place, pod_id, one.marks if one else ())
        if one is None or "terminated" in one.facts:
            raise self._desk.stop(404, "pod not found")
        return one

    async def _read(self, call: Call) -> Response:
        return JSONResponse(runpod_wire.told(await self._known(call, Place.RUNPOD_READ), now_ms()))

    async def _change(self, call: Call) -> Response:
        """What runs goes on with what it was given; the change is told and holds for the next start."""
        body = await json_of(call.request)
        one = await self._known(call, Place.RUNPOD_READ)
        if said := violations(Change, body):
            return problem(422, "Request validation failed.", said)
        changed = replace(one, body={**one.body, **body})
        self._sandbox.store.trainings.save(changed)
        return JSONResponse(runpod_wire.told(changed, now_ms()))

    async def _delete(self, call: Call) -> Response:
        await self._terminate(await self._known(call, Place.RUNPOD_CANCEL))
        return Response(status_code=204)

    async def _terminate(self, one: Training) -> None:
        tries = int(one.fate.get("terminate_fails") or 0)
        if tries and self._sandbox.store.use(one.id, "terminate_fails") < tries:
            raise self._desk.stop(500, "pod could not be terminated")
        if not one.stage.ended:
            late = "cancel_too_late" in one.fate
            await (self._workshop.finish(one.id) if late else self._workshop.stop(one.id))
        self._workshop.note(one.id, terminated=now_ms())

    async def _act(self, call: Call) -> Response:
        body = await json_of(call.request)
        one = await self._known(call, Place.RUNPOD_CANCEL)
        action = body.get("action")
        if set(body) != {"action"} or action not in {"start", "stop", "restart", "terminate"}:
            return problem(422, "Request validation failed.", ["$.action: value must be an action"])
        word = runpod_wire.status(one)
        if action not in ACTIONS[word]:
            raise self._desk.stop(409, f"cannot {action} a pod that is {word}")
        call.entry.note = " ".join([call.entry.note, action]).strip()
        if action == "terminate":
            await self._terminate(one)
            return Response(status_code=204)
        if action in {"stop", "restart"}:
            one = await self._stop(one)
        if action in {"start", "restart"}:
            one = await self._workshop.again(one)
            one = self._workshop.note(one.id, lingers=self._sandbox.dials.pods_linger)
        return JSONResponse(runpod_wire.told(one, now_ms()))

    async def _stop(self, one: Training) -> Training:
        """Ended without its work; what it has cost is kept for a later life."""
        one = await self._workshop.stop(one.id)
        hours = (now_ms() - one.created) / 3_600_000 + float(one.facts.get("earlier_hours") or 0)
        return self._workshop.note(one.id, earlier_hours=hours, lingers=False)

    async def _catalog(self, call: Call) -> Response:
        await self._desk.gate(call, Place.RUNPOD_READ, "")
        stock = "AVAILABILITY" in call.request.query_params.get("include", "")
        return JSONResponse(runpod_wire.catalog(stock))

    async def _billing(self, call: Call) -> Response:
        """One record for each pod, in the day that it was made."""
        await self._desk.gate(call, Place.RUNPOD_READ, "")
        wanted, now = call.request.query_params.get("podId"), now_ms()
        found = self._sandbox.store.trainings.of("runpod", MOST_PODS)
        records = [_record(one, now) for one in found if wanted in {None, one.id}]
        names = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
        totals = {name: round(sum(record[name] for record in records), 6) for name in names}
        query = {"bucketSize": "day", **({"podId": wanted} if wanted else {})}
        metadata = {"query": query, "recordCount": len(records), "uniquePodCount": len(records)}
        return JSONResponse({"records": records, "metadata": {**metadata, "totals": totals}})

    async def _logs(self, call: Call) -> Response:
        one = await self._known(call, Place.RUNPOD_READ)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(one.id), media_type="text/event-stream", headers=headers)

    async def _stream(self, pod_id: str) -> AsyncIterator[str]:
        """The log so far, then each line as it comes, until the pod has ended."""
        sent = 0
        while True:
            one = self._sandbox.store.trainings.get(pod_id, "runpod")
            lines = list(one.lines(now_ms())) if one else []
            for at, text in lines[sent:]:
                event = {"source": "container", "line": text, "ts": iso(at)}
                yield f"id: {event['ts']}\ndata: {json.dumps(event)}\n\n"
            sent = max(sent, len(lines))
            if one is None or one.stage.ended or "terminated" in one.facts:
                return
            await asyncio.sleep(STREAM_PAUSE)

    async def _craft(self, one: Training, hand: Hand) -> None:
        await pod.work(one, hand, self._sandbox.dials.weights_bytes)


def _record(one: Training, now: int) -> dict[str, Any]:
    made = datetime.fromtimestamp(int(one.facts["made"]) / 1000, UTC)
    day = made.replace(hour=0, minute=0, second=0, microsecond=0)
    usd = round(runpod_wire.spent(one, now), 6)
    gpu = bool(one.body.get("gpu"))
    return {
        "startTime": day.isoformat().replace("+00:00", "Z"),
        "endTime": (day + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        "podId": one.id,
        "totalAmount": usd,
        "gpuAmount": usd if gpu else 0.0,
        "cpuAmount": 0.0 if gpu else usd,
        "diskAmount": 0.0,
    }
