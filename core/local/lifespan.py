"""The local stack as a part of the web server's life, and what requests get while it starts."""

import asyncio
import contextlib
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log, settings
from core.alerts import lookout
from core.errors import StudioOpsError
from core.local import address as addresses
from core.local import stack
from core.local.address import WebAddress

# Usually the database is ready within this time and no start page is ever seen. Seconds.
WAIT_FOR_DATABASE_S = 10.0
# Open connections get this long to close on Ctrl-C before the stack is stopped regardless. Seconds.
CONNECTIONS_CLOSE_S = 3.0
DEFAULT_PORT = 8501

ServesAt = Callable[[], WebAddress]


def lifespan(serves_at: ServesAt) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """The lifespan of the web application: with no DATABASE_URL it brings the local stack up and down, with
    one it looks after the clocks and workers that others start.

    `serves_at` tells the address under any other server than uvicorn's own command.
    """

    @contextlib.asynccontextmanager
    async def life(_app: Any) -> AsyncIterator[None]:
        log.configure("web")
        current = settings.current()
        if current.database_url is not None:
            if current.profile == "configured":
                current.require_sign_in()
            with lookout.kept():
                yield
            return
        where = addresses.from_uvicorn() or serves_at()
        mine = await asyncio.to_thread(stack.begin, current, where)
        try:
            bringing_up = asyncio.create_task(asyncio.to_thread(mine.bring_up))
            _stop_in_any_case(mine)
            await _first_page_or_failure(mine, bringing_up)
            yield
        finally:
            await asyncio.to_thread(mine.stop)

    return life


async def _first_page_or_failure(mine: stack.Stack, bringing_up: "asyncio.Task[None]") -> None:
    """Return when pages can be served, or after a while; raise if the stack failed until then."""

    def say_failure(ended: "asyncio.Task[None]") -> None:
        error = None if ended.cancelled() else ended.exception()
        if error is not None and not mine.ending:
            stack.say(f"the local stack could not start: {error}")

    deadline = asyncio.get_running_loop().time() + WAIT_FOR_DATABASE_S
    while stack.progress() is not None and asyncio.get_running_loop().time() < deadline:
        done, _ = await asyncio.wait({bringing_up}, timeout=0.05)
        if done:
            bringing_up.result()
            return
    bringing_up.add_done_callback(say_failure)


def _stop_in_any_case(mine: stack.Stack) -> None:
    """On the first signal give open connections a few seconds, then stop the stack and end the process.

    The server waits for its connections without a limit before it ends its lifespan.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    timer = threading.Timer(CONNECTIONS_CLOSE_S, _end_now, (mine,))
    timer.daemon = True

    def chain(previous: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if not timer.is_alive():
                timer.start()
            previous(number, frame)

        return handle

    for number in (signal.SIGINT, signal.SIGTERM):
        previous = signal.getsignal(number)
        if callable(previous):
            signal.signal(number, chain(previous))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def _end_now(mine: stack.Stack) -> None:
    if mine.ending:
        return
    stack.say("open connections did not close in time; ending regardless.")
    mine.stop()
    os._exit(0)


class WhileStarting:
    """ASGI middleware: a failed start is one sentence, and requests that need the database wait their turn.

    `/api` (but for `/api/health`) and `/files` answer 503 with Retry-After until the database is ready.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        path = scope.get("path", "")
        needs_database = path.startswith(("/api/", "/files/")) and path != "/api/health"
        if scope["type"] == "http" and needs_database and (message := stack.progress()) is not None:
            await _unavailable(message, send)
            return
        await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        held_back: list[Message] = []

        async def send_or_hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                held_back.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, send_or_hold)
        except StudioOpsError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
        except BaseException:
            for message in held_back:
                await send(message)
            raise


async def _unavailable(message: str, send: Send) -> None:
    error = {"code": "starting", "message": message, "request_id": log.new_request_id()}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"2"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
