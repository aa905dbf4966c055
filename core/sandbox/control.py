"""The control API: `/_sandbox/…`, for loopback callers that send `X-Sandbox: 1`.

The header keeps web pages out: a browser asks before it sends one of its own to another origin.
"""

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from pydantic import StrictBool, StrictFloat, StrictInt, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from core.sandbox.dials import Dials
from core.sandbox.fault import Place
from core.sandbox.fault_table import FAULTS, WORDS
from core.sandbox.faults import MARKER_SYNTAX, BadFault, Rule, choose
from core.sandbox.holds import Hold
from core.sandbox.planting import plant, sample
from core.sandbox.service import Sandbox
from core.sandbox.stats import stats
from core.sandbox.store import Entry, now_ms
from core.sandbox.tasks import FAILURES, Task
from core.sandbox.trainings import Failure, Training, told
from core.sandbox.workshop import Workshop

Switch = StrictBool | StrictInt | StrictFloat | Rule
_SWITCHES: TypeAdapter[dict[str, Switch]] = TypeAdapter(dict[str, Switch])
LOG_LIMIT = 1000
# The product's files carry their generation's id.
_GENERATION = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?=_\d+(?:_\d+)?\.\w+$)"
)
# Fewer characters could be the beginning of anybody's id.
SHORTEST_MARK = 8


class BadControl(Exception):
    """A control request that cannot be used; the text says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """The control routes of one sandbox."""

    def __init__(self, sandbox: Sandbox, workshop: Workshop) -> None:
        self._sandbox = sandbox
        self._workshop = workshop

    def mount(self) -> Mount:
        routes = [
            Route("/faults", _open(self._faults), methods=["GET"]),
            Route("/faults", _open(self._put_faults), methods=["PUT"]),
            Route("/faults", _open(self._change_faults), methods=["PATCH"]),
            Route("/settings", _open(self._settings), methods=["GET"]),
            Route("/settings", _open(self._put_settings), methods=["PUT"]),
            Route("/sample", _open(sample), methods=["GET"]),
            Route("/tasks", _open(self._plant), methods=["POST"]),
            Route("/forget", _open(self._forget), methods=["POST"]),
            Route("/tasks/{task_id}", _open(self._task), methods=["GET"]),
            Route("/tasks/{task_id}/finish", _open(self._finish), methods=["POST"]),
            Route("/trainings", _open(self._trainings), methods=["GET"]),
            Route("/trainings/{training_id}", _open(self._training), methods=["GET"]),
            Route("/trainings/{training_id}/finish", _open(self._finish_training), methods=["POST"]),
            Route("/store", _open(self._store), methods=["POST"]),
            Route("/hold", _open(self._hold), methods=["GET"]),
            Route("/hold", _open(self._put_hold), methods=["PUT"]),
            Route("/log", _open(self._log), methods=["GET"]),
            Route("/stats", _open(self._stats), methods=["GET"]),
            Route("/reset", _open(self._reset), methods=["POST"]),
        ]
        return Mount("/_sandbox", routes=routes)

    async def _faults(self, request: Request) -> object:
        rules = self._sandbox.rules
        rows = []
        for fault in FAULTS.values():
            rule = rules.get(fault.name)
            told = {"words": WORDS.get(fault.argument, ()), "rule": rule.model_dump() if rule else None}
            rows.append({**asdict(fault), **told})
        return {"marker": MARKER_SYNTAX, "faults": rows}

    async def _put_faults(self, request: Request) -> object:
        """Exactly these, and no other."""
        return self._set_rules({}, await _body(request))

    async def _change_faults(self, request: Request) -> object:
        """These as well, or off when they are false; the others stay as they are."""
        return self._set_rules(self._sandbox.rules, await _body(request))

    def _set_rules(self, kept: dict[str, Rule], body: dict[str, Any]) -> object:
        given = _SWITCHES.validate_python(body)
        for name in given:
            choose(name)
        changed = {
            name: rule if isinstance(rule, Rule) else Rule(rate=float(rule))
            for name, rule in given.items()
            if rule
        }
        rules = {name: rule for name, rule in kept.items() if name not in given} | changed
        self._sandbox.set_rules(rules)
        return {name: rule.model_dump() for name, rule in rules.items()}

    async def _settings(self, request: Request) -> object:
        sandbox = self._sandbox
        return {**sandbox.dials.model_dump(), "credits": sandbox.store.balance(now_ms())}

    async def _put_settings(self, request: Request) -> object:
        given = await _body(request)
        balance = given.pop("credits", None)
        if balance is not None and (
            isinstance(balance, bool) or not isinstance(balance, int | float) or balance < 0
        ):
            raise BadControl("credits must be a number of at least 0")
        if unknown := given.keys() - Dials.model_fields.keys():
            known = ", ".join(Dials.model_fields)
            raise BadControl(f"Unknown: {', '.join(sorted(unknown))}. Known: {known}, credits.")
        dials = Dials.model_validate({**self._sandbox.dials.model_dump(), **given})
        self._sandbox.set_dials(dials)
        if balance is not None:
            self._sandbox.store.settle(now_ms())
            self._sandbox.store.set_balance(float(balance))
        return await self._settings(request)

    def _known(self, request: Request) -> Task:
        task = self._sandbox.store.task(request.path_params["task_id"])
        if task is None:
            raise BadControl(f"No task {request.path_params['task_id']}", 404)
        return task

    async def _task(self, request: Request) -> object:
        task = self._known(request)
        faults = [mark.fault for mark in task.marks]
        return {"record": self._sandbox.record(task), "fate": dict(task.fate), "marks": faults}

    async def _finish(self, request: Request) -> object:
        task = self._known(request)
        given = await _body(request)
        if unknown := given.keys() - {"fail"}:
            raise BadControl(f"Unknown: {', '.join(sorted(unknown))}. Known: fail (a failCode).")
        if task.done(now_ms()):
            raise BadControl(f"Task {task.id} has already ended", 409)
        code = str(given["fail"]) if given.get("fail") else None
        self._sandbox.finish(task, (code, FAILURES.get(code, FAILURES["500"])) if code else None)
        return {"record": self._sandbox.record(self._known(request))}

    async def _trainings(self, request: Request) -> object:
        """Newest first, those of `run` alone if it is given."""
        run = request.query_params.get("run")
        rows = self._sandbox.store.select(
            "SELECT id, service, kind, run, stage, live FROM trainings WHERE ?1 IS NULL OR run = ?1"
            " ORDER BY created DESC, rowid DESC LIMIT ?2",
            (run, LOG_LIMIT),
        )
        return {"trainings": [{**row, "live": bool(row["live"])} for row in rows]}

    def _known_training(self, request: Request) -> Training:
        training = self._sandbox.store.trainings.get(request.path_params["training_id"])
        if training is None:
            raise BadControl(f"No training {request.path_params['training_id']}", 404)
        return training

    async def _training(self, request: Request) -> object:
        return told(self._known_training(request), now_ms())

    async def _finish_training(self, request: Request) -> object:
        """End it now; its data is still fetched, and its webhook sent."""
        one = self._known_training(request)
        given = await _body(request)
        if unknown := given.keys() - {"fail"}:
            raise BadControl(f"Unknown: {', '.join(sorted(unknown))}. Known: fail (the provider's words).")
        if one.stage.ended:
            raise BadControl(f"Training {one.id} has already ended", 409)
        words = given.get("fail")
        return told(await self._workshop.finish(one.id, Failure(str(words)) if words else None), now_ms())

    async def _plant(self, request: Request) -> object:
        try:
            tasks = plant(self._sandbox, await _body(request))
        except ValidationError:
            raise
        except ValueError as error:
            raise BadControl(str(error)) from None
        records = [self._sandbox.record(task) for task in tasks]
        urls = [[self._sandbox.result_url(name) for name in task.file_names] for task in tasks]
        return {"tasks": [{**row, "resultUrls": found} for row, found in zip(records, urls, strict=True)]}

    async def _forget(self, request: Request) -> object:
        mark = (await _body(request)).get("generations")
        if not isinstance(mark, str) or len(mark) < SHORTEST_MARK:
            raise BadControl(f"generations is at least {SHORTEST_MARK} characters that their ids begin with")
        return {"tasks": self._sandbox.forget(mark)}

    async def _store(self, request: Request) -> object:
        """Whether the product's own storage is to fail at the file that it is about to keep, and how."""
        path = str((await _body(request)).get("path", ""))
        found = _GENERATION.search(path)
        if self._sandbox.holds.wants("arrival", "store"):
            await self._sandbox.holds.at("arrival", Entry("store", note=path))
        task = self._sandbox.store.of_generation(found[0]) if found else None
        subject = task.id if task else path
        struck = self._sandbox.book.strike(Place.STORE, subject, task.marks if task else ())
        for name in struck:
            entry = Entry("store", task=task.id if task else None, note=name)
            entry.generation = task.generation if task else None
            self._sandbox.store.note(entry)
        return {"fault": next(iter(struck), None)}

    async def _hold(self, request: Request) -> object:
        """What is held, if anything is by now."""
        return self._sandbox.holds.told()

    async def _put_hold(self, request: Request) -> object:
        """Hold one request; without a kind, none, and let go of what is held."""
        given = await _body(request)
        self._sandbox.holds.want(Hold.model_validate(given) if given else None)
        return self._sandbox.holds.told()

    async def _log(self, request: Request) -> object:
        """Rows oldest first; `next` is the `after` of the following page, or None."""
        asked = request.query_params
        wheres = ["id > ?"]
        values: list[int | str] = [_number(asked.get("after"), 0)]
        for name in ("kind", "task", "generation"):
            if wanted := asked.get(name):
                wheres.append(f"{name} = ?")
                values.append(wanted)
        limit = min(_number(asked.get("limit"), LOG_LIMIT), 10 * LOG_LIMIT)
        rows = self._sandbox.store.select(
            f"SELECT * FROM log WHERE {' AND '.join(wheres)} ORDER BY id LIMIT ?",  # noqa: S608 - fixed names
            (*values, limit),
        )
        return {"rows": rows, "next": rows[-1]["id"] if len(rows) == limit else None}

    async def _stats(self, request: Request) -> object:
        return stats(self._sandbox, request.query_params.get("generation"))

    async def _reset(self, request: Request) -> object:
        await self._workshop.close()
        self._sandbox.reset()
        return {"reset": True}


def _open(handler: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind its lock, its mistakes as `{"error": sentence}`."""

    async def endpoint(request: Request) -> Response:
        try:
            _check_caller(request)
            answer = await handler(request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)
        except BadControl as error:
            return JSONResponse({"error": str(error)}, error.status)
        except BadFault as error:
            return JSONResponse({"error": str(error)}, 400)
        except ValidationError as error:
            said = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors(include_url=False)]
            return JSONResponse({"error": "; ".join(said)}, 400)

    return endpoint


def _check_caller(request: Request) -> None:
    host = request.client.host if request.client else ""
    if not host or not ipaddress.ip_address(host).is_loopback:
        raise BadControl("The control API answers this machine only", 403)
    if request.headers.get("x-sandbox") != "1":
        raise BadControl("Send the header X-Sandbox: 1", 403)


async def _body(request: Request) -> dict[str, Any]:
    content = await request.body()
    if not content:
        return {}
    try:
        body = json.loads(content)
    except ValueError:
        raise BadControl("The body is not JSON") from None
    if not isinstance(body, dict):
        raise BadControl("The body is not a JSON object")
    return body


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal():
        raise BadControl(f"'{text}' is not a whole number")
    return int(text)
