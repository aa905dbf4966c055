"""What the web server sees of a stack that starts, or fails to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import click
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from core import settings
from core.errors import LocalStackError, SettingsError
from core.local import address, postgres, stack
from core.local.address import WebAddress
from core.local.lifespan import WhileStarting, lifespan


@pytest.fixture
def starting() -> Iterator[stack.Stack]:
    """A stack that has its folder and has not got its database yet."""
    with postgres.temporary_folder() as place:
        where = WebAddress("127.0.0.1", 8501, 8501, bound=True, command="{port}")
        found = stack.begin(settings.load({"STUDIO_OPS_DATA_DIR": str(place)}), where)
        yield found
        found.stop()


async def answer(_: Request) -> Response:
    return PlainTextResponse("served")


def app(error: Exception | None = None) -> Starlette:
    @contextlib.asynccontextmanager
    async def life(_: Any) -> AsyncIterator[None]:
        if error is not None:
            raise error
        yield

    return Starlette(
        routes=[Route("/{path:path}", answer)], middleware=[Middleware(WhileStarting)], lifespan=life
    )


def get(path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app()), base_url="http://127.0.0.1"
        ) as client:
            return await client.get(path)

    return asyncio.run(ask())


def startup_messages(error: Exception | None) -> tuple[list[Message], BaseException | None]:
    """What the application tells the server at start, and what it raises after."""
    sent: list[Message] = []
    events: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return events.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def live() -> None:
        await app(error)({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    try:
        asyncio.run(live())
    except RuntimeError as raised:
        return sent, raised
    return sent, None


@pytest.mark.parametrize("path", ["/api/kie/createTask", "/api/debug/kie", "/files/generations/a.jpg"])
def test_what_needs_the_database_waits_for_it(starting: stack.Stack, path: str) -> None:
    found = get(path)
    assert (found.status_code, found.headers["retry-after"]) == (503, "2")
    error = found.json()["error"]
    assert (error["code"], error["message"]) == ("starting", stack.progress())
    assert error["request_id"]


@pytest.mark.parametrize("path", ["/", "/overview", "/api/health", "/_stcore/health"])
def test_pages_and_health_answer_from_the_beginning(starting: stack.Stack, path: str) -> None:
    assert get(path).text == "served"


def test_everything_answers_where_no_stack_is_starting() -> None:
    assert get("/api/debug/kie").text == "served"


def test_a_refused_start_is_one_sentence() -> None:
    sent, raised = startup_messages(LocalStackError("Port 8501 is in use."))
    assert sent == [{"type": "lifespan.startup.failed", "message": "Port 8501 is in use."}]
    assert raised is None


def test_any_other_failure_keeps_its_traceback() -> None:
    sent, raised = startup_messages(RuntimeError("a fault of ours"))
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "Traceback" in sent[0]["message"]
    assert str(raised) == "a fault of ours"


def test_a_good_start_is_passed_on() -> None:
    sent, raised = startup_messages(None)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert raised is None


def test_uvicorn_tells_its_address() -> None:
    with click.Context(click.Command("uvicorn")) as context:
        context.params = {"app": "app:app", "host": "127.0.0.1", "port": 9000, "lifespan": "auto"}
        found = address.from_uvicorn()
        assert found is not None
        assert (found.url, found.bound) == ("http://127.0.0.1:9000", False)
        context.params["port"] = 0
        with pytest.raises(LocalStackError, match="name one"):
            address.from_uvicorn()


def test_another_server_tells_nothing() -> None:
    assert address.from_uvicorn() is None
    with click.Context(click.Command("streamlit")) as context:
        context.params = {"server_port": 8501, "target": "app.py"}
        assert address.from_uvicorn() is None


def test_a_stopped_start_lets_go_of_its_folder() -> None:
    with postgres.temporary_folder() as place:
        where = WebAddress("127.0.0.1", 8501, 8501, bound=True, command="{port}")
        given = settings.load({"STUDIO_OPS_DATA_DIR": str(place)})
        first = stack.begin(given, where)
        assert stack.status().phase == "starting"
        first.stop()
        first.stop()
        assert stack.status().phase == "absent"
        stack.begin(given, where).stop()


def test_a_configured_product_without_sign_in_does_not_start_its_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ops:secret@db.example.com/ops")
    monkeypatch.delenv("STUDIO_OPS_LOCAL_STACK", raising=False)
    settings.current.cache_clear()

    async def begin() -> None:
        async with lifespan(lambda: pytest.fail("no local stack was asked for"))(None):
            pytest.fail("it started")

    with pytest.raises(SettingsError, match=r"OIDC_METADATA_URL, OIDC_CLIENT_ID, .* are not set") as refused:
        asyncio.run(begin())
    assert "uvicorn core.web.app:app" in refused.value.message
    settings.current.cache_clear()
