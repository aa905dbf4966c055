"""What the web process refuses before a route sees it: hosts, origins, slow bodies, crowds."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from core import log, settings
from core.errors import Busy, InvalidInput
from core.sandbox.pictures import Pictures
from core.sandbox.server import lock
from core.web import answers
from core.web.headers import LocalHosts
from core.web.kie import NewTask, Places

OWN = ("127.0.0.1", "localhost", "[::1]", "127.0.0.1:8501", "LOCALHOST:9", "[::1]:8501")
FOREIGN = (
    "evil.example",
    "127.0.0.1.evil.example",
    "evil.example:8501",
    "localhost.evil.example",
    "127.0.0.2",
    "0",
    "192.168.1.5:8501",
    "user@localhost",
    "localhost:",
    "localhost:8501x",
    "[::2]",
    "",
)


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


APP = Starlette(
    routes=[Route("/", hello), WebSocketRoute("/", talk)],
    middleware=[Middleware(LocalHosts)],
)


@pytest.fixture(params=["local"])
def profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1/ops")
    if request.param == "local":
        monkeypatch.setenv("STUDIO_OPS_LOCAL_STACK", "http://127.0.0.1:1")
    else:
        monkeypatch.delenv("STUDIO_OPS_LOCAL_STACK", raising=False)
    monkeypatch.setenv("KIE_BASE_URL", "http://127.0.0.1:1")
    settings.current.cache_clear()
    yield str(request.param)
    settings.current.cache_clear()


def scope(kind: str, **headers: str) -> Scope:
    return {
        "type": kind,
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "ws" if kind == "websocket" else "http",
        "server": ("127.0.0.1", 8501),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def sent(kind: str, **headers: str) -> list[Message]:
    """What the app sends for one request."""
    messages: list[Message] = []
    first = {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}

    async def receive() -> Message:
        return first

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(APP(scope(kind, **headers), receive, send))
    return messages


def status(**headers: str) -> int:
    return int(sent("http", **headers)[0]["status"])


def is_let_in(**headers: str) -> bool:
    """Whether the WebSocket is accepted; one that is not was closed before it could be."""
    first = sent("websocket", **headers)[0]["type"]
    assert first in {"websocket.accept", "websocket.close"}
    return bool(first == "websocket.accept")


@pytest.mark.usefixtures("profile")
def test_the_local_profile_answers_to_this_machines_names_alone() -> None:
    assert {host: status(host=host) for host in OWN} == dict.fromkeys(OWN, 200)
    assert {host: status(host=host) for host in FOREIGN} == dict.fromkeys(FOREIGN, 421)
    assert status() == 421
    start, body = sent("http", host="evil.example")
    error = json.loads(body["body"])["error"]
    assert error["code"] == "misdirected"
    assert "http://127.0.0.1:8501" in error["message"]
    assert (b"x-request-id", error["request_id"].encode()) in start["headers"]


@pytest.mark.usefixtures("profile")
def test_the_local_profile_lets_in_web_sockets_of_its_own_pages_alone() -> None:
    host = "127.0.0.1:8501"
    assert is_let_in(host=host)
    for origin in ("http://127.0.0.1:8501", "http://localhost:8501", "https://[::1]:8501"):
        assert is_let_in(host=host, origin=origin), origin
    assert is_let_in(host="localhost", origin="http://localhost")
    for origin in (
        "http://evil.example",
        "http://evil.example:8501",
        "http://127.0.0.1:8502",
        "http://127.0.0.1",
        "null",
        "",
        "file://",
        "ftp://localhost:8501",
    ):
        assert not is_let_in(host=host, origin=origin), origin
    for foreign in FOREIGN:
        assert not is_let_in(host=foreign), foreign
        assert not is_let_in(host=foreign, origin=f"http://{foreign}"), foreign


@pytest.mark.parametrize("profile", ["configured"], indirect=True)
def test_the_configured_profile_leaves_hosts_to_the_proxy(profile: str) -> None:
    assert settings.current().profile == profile
    assert status(host="ops.example.com") == 200
    assert is_let_in(host="ops.example.com", origin="https://ops.example.com")


def guarded(within_s: float) -> FastAPI:
    app = FastAPI(middleware=[Middleware(answers.RequestGuard, body_within_s=within_s)])
    answers.install(app)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.post("/model")
    async def model(task: NewTask) -> str:
        return task.model

    @app.post("/echo")
    async def echo(request: Request) -> None:
        raise InvalidInput("prompt", json.loads(await request.body()))

    return app


def ask(app: FastAPI, path: str, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, content=content, headers={"Content-Type": "application/json"})

    return asyncio.run(go())


async def dribble() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", ["/length", "/model"])
def test_a_body_has_one_deadline_however_it_dribbles(path: str) -> None:
    answer = ask(guarded(0.15), path, dribble())
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "too_slow")
    assert "0.15 seconds" in answer.json()["error"]["message"]
    assert answer.headers["connection"] == "close"


def test_after_the_body_the_deadline_is_gone() -> None:
    heard: list[str] = []
    coming: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.request", "body": b"}", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        if len(coming) == 1:
            await asyncio.sleep(0.3)
        return coming.pop(0)

    async def send(_: Message) -> None:
        raise AssertionError("nobody answers")

    async def listening(_: Scope, receive: Receive, __: Send) -> None:
        while "http.disconnect" not in heard:
            heard.append((await receive())["type"])

    asyncio.run(answers.RequestGuard(listening, body_within_s=0.1)(scope("http"), receive, send))
    assert heard == ["http.request", "http.request", "http.disconnect"]


def test_an_error_repeats_a_lone_surrogate_escaped() -> None:
    answer = ask(guarded(5), "/echo", b'"\\ud800 lighthouse"')
    assert answer.status_code == 400
    assert answer.content.isascii()
    assert answer.json()["error"]["message"] == "\ud800 lighthouse"


@pytest.mark.parametrize("body", [b'{"model": ', b"x", b'{"a": 1}}'])
def test_json_that_is_none_is_the_bodys_fault(body: bytes) -> None:
    error = ask(guarded(5), "/model", body).json()["error"]
    assert (error["code"], error["field"]) == ("invalid_input", "body")
    assert error["message"].startswith("body: JSON decode error")


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("order-4711!", True),
        ("k" * 200, True),
        ("seven77", False),
        ("k" * 201, False),
        ("with space", False),
        ("line\nbreak1", False),
        ("newline-at-end\n", False),
        ("zeros\x00zeros", False),
        ("schlüssel", False),
        ("lone\ud800lone", False),
    ],
)
def test_a_request_key_is_printable_ascii(key: str, good: bool) -> None:
    body = json.dumps({"model": "m", "input": {}, "requestKey": key}).encode()
    answer = ask(guarded(5), "/model", body)
    assert answer.status_code == (200 if good else 400)
    if not good:
        assert answer.json()["error"]["field"] == "requestKey"


def test_work_beyond_the_places_is_refused_at_once_and_a_place_comes_back() -> None:
    begun, end = threading.Semaphore(0), threading.Event()

    def slow() -> str | None:
        begun.release()
        end.wait(10)
        return log.request_id()

    async def crowd() -> None:
        places = Places(3)
        mine = log.new_request_id()
        waiting = [asyncio.create_task(places.run(slow)) for _ in range(3)]
        for _ in waiting:
            assert await asyncio.to_thread(begun.acquire, timeout=10)
        for _ in range(2):
            with pytest.raises(Busy) as refused:
                await places.run(slow)
            assert refused.value.retry_after > 0
        end.set()
        assert await asyncio.gather(*waiting) == [mine] * 3
        assert await places.run(slow) == mine
        with pytest.raises(ZeroDivisionError):
            await places.run(lambda: 1 // 0)
        assert await asyncio.gather(*(places.run(slow) for _ in range(3))) == [mine] * 3

    asyncio.run(crowd())


def test_work_that_comes_all_at_once_takes_no_more_than_the_places() -> None:
    end = threading.Event()

    async def crowd() -> list[Any]:
        places = Places(2)
        asked = [asyncio.create_task(places.run(end.wait, 10)) for _ in range(5)]
        while sum(task.done() for task in asked) < 3:
            await asyncio.wait(asked, timeout=0.05)
        end.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(crowd())
    assert sum(isinstance(result, Busy) for result in results) == 3
    assert results.count(True) == 2


@pytest.mark.parametrize(
    "made", [lambda folder: lock(folder).close(), lambda folder: Pictures(folder)], ids=["site", "pictures"]
)
@pytest.mark.parametrize("exists", [False, True])
def test_the_sandboxs_folders_are_its_owners_alone(
    tmp_path: Path, made: Callable[[Path], Any], exists: bool
) -> None:
    folder = tmp_path / "sandbox"
    if exists:
        folder.mkdir()
        folder.chmod(0o755)
    made(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
