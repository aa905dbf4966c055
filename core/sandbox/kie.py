"""KIE's endpoints, after its documentation: createTask, recordInfo, download-url, credit.

Which of them answer errors with HTTP 200 is not established, so one dial serves both manners.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from core.sandbox import datasets
from core.sandbox.answers import Dropped
from core.sandbox.callbacks import Postman, callable_url
from core.sandbox.fault import Place, Value
from core.sandbox.faults import BadFault, Choice, markers
from core.sandbox.models import MODELS, Model
from core.sandbox.service import Sandbox
from core.sandbox.store import Entry, now_ms
from core.sandbox.tasks import FAILURES, generation_of, task_of_file

MAX_BODY_BYTES = 10 * 1024 * 1024
GATEWAY = {502, 503, 504}
GATEWAY_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


@dataclass(frozen=True)
class Reply:
    """A KIE body; `http` forces a real HTTP status. A gateway's status comes with a gateway's page."""

    code: int
    msg: str
    data: object = None
    http: int | None = None


class Stop(Exception):
    """Ends the request with a reply, or with a closed connection (None)."""

    def __init__(self, reply: Reply | None) -> None:
        super().__init__()
        self.reply = reply


Handler = Callable[[Request, Entry], Awaitable[Reply]]


class Kie:
    """The routes of one sandbox."""

    def __init__(self, sandbox: Sandbox, postman: Postman) -> None:
        self._sandbox = sandbox
        self._postman = postman

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/jobs/createTask", self._endpoint("create", self._create), methods=["POST"]),
            Route("/api/v1/jobs/recordInfo", self._endpoint("read", self._read), methods=["GET"]),
            Route(
                "/api/v1/common/download-url", self._endpoint("download_url", self._link), methods=["POST"]
            ),
            Route("/api/v1/chat/credit", self._endpoint("credit", self._credit), methods=["GET"]),
        ]

    def _endpoint(self, kind: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            entry = Entry(kind)
            reply: Reply | None
            try:
                reply = await handler(request, entry)
            except Stop as stop:
                reply = stop.reply
            response = self._response(reply)
            entry.ms = now_ms() - entry.at
            if reply is not None:
                entry.status, entry.code = response.status_code, reply.code
                entry.bytes = len(response.body)
            self._sandbox.store.note(entry)
            return response

        return endpoint

    def _response(self, reply: Reply | None) -> Response:
        if reply is None:
            return Dropped()
        if reply.http in GATEWAY:
            return HTMLResponse(GATEWAY_PAGE.format(reply.http), status_code=reply.http)
        own = reply.code if self._sandbox.dials.status_style == "http" else 200
        body: dict[str, object] = {"code": reply.code, "msg": reply.msg}
        if reply.code != 401:
            body["data"] = reply.data
        return JSONResponse(body, status_code=reply.http or own)

    def _authorise(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._sandbox.key}".encode()):
            raise Stop(Reply(401, "You do not have access permissions"))

    async def _gate(self, request: Request, entry: Entry, struck: Mapping[str, Value]) -> None:
        """Latency, death, the key, then the errors that were asked for."""
        entry.note = " ".join(struck)
        if "latency" in struck:
            await asyncio.sleep(float(struck["latency"] or 0))
        if "dead" in struck:
            raise Stop(None)
        self._authorise(request)
        if "rate_limited" in struck:
            raise Stop(Reply(429, "Rate limit exceeded"))
        if "server_error" in struck:
            status = int(struck["server_error"] or 500)
            raise Stop(Reply(status, "Server exception, please try again later", http=status))
        if "error_in_200" in struck:
            code = int(struck["error_in_200"] or 500)
            raise Stop(Reply(code, "Server exception, please try again later", http=200))

    # The endpoints

    async def _create(self, request: Request, entry: Entry) -> Reply:
        sandbox = self._sandbox
        body = await _json_object(request)
        entry.generation = generation_of(_text(body, "callBackUrl")) if body else None
        marks = self._marks(request, body)
        struck = sandbox.book.strike(Place.CREATE, _subject(body), marks)
        await self._gate(request, entry, struck)
        if not sandbox.may_create():
            raise Stop(Reply(429, "Rate limit exceeded"))
        model = _checked(body)
        if sandbox.store.balance(now_ms()) < model.price(body["input"]):
            raise Stop(Reply(402, "Credits insufficient"))
        task = sandbox.accept(body, marks, await _unreadable(model, body["input"]))
        entry.task, entry.note = task.id, " ".join([*struck, *task.fate])
        if "callback_before_answer" in task.fate:
            await self._postman.send_first(task.id)
        if "answer_lost" in struck:
            raise Stop(None)
        if "accepted_then_error" in struck:
            status = int(struck["accepted_then_error"] or 500)
            raise Stop(Reply(status, "Server exception, please try again later", http=status))
        return Reply(200, "success", {"taskId": task.id})

    def _marks(self, request: Request, body: Mapping[str, Any]) -> tuple[Choice, ...]:
        given = body.get("input")
        prompt = _text(given, "prompt") if isinstance(given, dict) else None
        try:
            return markers(prompt or "")
        except BadFault as fault:
            self._authorise(request)
            raise Stop(Reply(422, str(fault))) from None

    async def _read(self, request: Request, entry: Entry) -> Reply:
        sandbox = self._sandbox
        task_id = request.query_params.get("taskId", "")
        task = sandbox.store.task(task_id) if task_id else None
        entry.task, entry.generation = task_id[:100] or None, task.generation if task else None
        struck = sandbox.book.strike(Place.READ, task_id, task.marks if task else ())
        await self._gate(request, entry, struck)
        if not sandbox.may_read():
            raise Stop(Reply(429, "Rate limit exceeded"))
        if not task_id:
            raise Stop(Reply(400, "taskId parameter is required"))
        if task is None or not task.visible(now_ms()):
            raise Stop(Reply(422, "recordInfo is null"))
        return Reply(200, "success", sandbox.record(task))

    async def _link(self, request: Request, entry: Entry) -> Reply:
        body = await _json_object(request)
        await self._gate(request, entry, self._sandbox.book.strike(Place.OTHER, "", ()))
        url = _text(body, "url") or ""
        plain = url.partition("?")[0]
        name = plain.rsplit("/", 1)[-1]
        task = self._sandbox.store.task(task_of_file(name))
        known = task is not None and name in task.file_names and task.done(now_ms())
        if not known or plain != self._sandbox.result_url(name):
            raise Stop(Reply(422, "Only URLs generated by this service are supported"))
        entry.task = task_of_file(name)
        return Reply(200, "success", self._sandbox.download_url(name))

    async def _credit(self, request: Request, entry: Entry) -> Reply:
        await self._gate(request, entry, self._sandbox.book.strike(Place.OTHER, "", ()))
        return Reply(200, "success", self._sandbox.store.balance(now_ms()))


async def _json_object(request: Request) -> dict[str, Any]:
    """The body; an empty object for what is none, whose lack the checks then name."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise Stop(Reply(400, "Request body is too large"))
    try:
        body = json.loads(bytes(content))
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None


async def _unreadable(model: Model, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """The failure of a task whose pictures cannot be read; those of other machines are taken on trust."""
    fields = [field.name for field in model.fields if field.kind == "urls"]
    urls = [url for name in fields for url in given.get(name) or () if callable_url(url)]
    try:
        await asyncio.gather(*map(datasets.check_picture, urls))
    except datasets.Refused:
        return "422", FAILURES["422"]
    return None


def _subject(body: Mapping[str, Any]) -> str:
    """What identifies a create before there is a task: the same request again has the same subject."""
    return "create:" + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]


def _checked(body: Mapping[str, Any]) -> Model:
    """The model that the request names and fits, or KIE's 400 or 422."""
    if not body:
        raise Stop(Reply(400, "The request body is not a JSON object"))
    name, given, callback_url = body.get("model"), body.get("input"), body.get("callBackUrl")
    model = MODELS.get(name) if isinstance(name, str) else None
    if not name:
        raise Stop(Reply(422, "model is required"))
    if model is None:
        raise Stop(Reply(422, "The model name you specified is not supported. Please verify the model name."))
    if callback_url is not None and not isinstance(callback_url, str):
        raise Stop(Reply(422, "callBackUrl must be a string"))
    if not isinstance(given, dict):
        raise Stop(Reply(422, "input is required"))
    if said := model.complaint(given):
        raise Stop(Reply(422, said))
    return model
