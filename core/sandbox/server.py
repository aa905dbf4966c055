"""Serves a sandbox under uvicorn on 127.0.0.1: the app, the port, the folder's lock."""

import asyncio
import contextlib
import fcntl
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from core.errors import SettingsError
from core.sandbox.callbacks import Postman
from core.sandbox.control import Control
from core.sandbox.fal import Fal
from core.sandbox.files import Files
from core.sandbox.hugging_face import HuggingFace
from core.sandbox.kie import Kie
from core.sandbox.replicate import Replicate
from core.sandbox.runpod import RunPod
from core.sandbox.safety import DEFAULT_KEY
from core.sandbox.service import Sandbox
from core.sandbox.workshop import Workshop

HOST = "127.0.0.1"
START_SECONDS = 15.0


class _Protocol(H11Protocol):
    """uvicorn's own, with the connection within reach, so that a fault can close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@dataclass(frozen=True)
class Site:
    """Where and as whom a sandbox runs."""

    data_dir: Path
    key: str = DEFAULT_KEY
    hmac_key: str | None = None
    database_url: str | None = None
    port: int = 0
    public_url: str | None = None


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _app(sandbox: Sandbox) -> Starlette:
    workshop = Workshop(sandbox)
    fal = Fal(sandbox, workshop)
    replicate = Replicate(sandbox, workshop)
    writers = {"fal": fal.letter, "replicate": replicate.letter}
    postman = Postman(sandbox, lambda one, owed: writers[one.service](one, owed.says))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        workshop.resume()
        running = asyncio.create_task(postman.run())
        yield
        await workshop.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        sandbox.close()

    routes = [
        *Kie(sandbox, postman).routes(),
        *Files(sandbox).routes(),
        *fal.routes(),
        *replicate.routes(),
        *RunPod(sandbox, workshop).routes(),
        *HuggingFace(sandbox).routes(),
        Control(sandbox, workshop).mount(),
        Route("/health", _health, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def listen(port: int) -> socket.socket:
    """The listening socket on loopback, or SettingsError when the port is taken (0: any free one).

    The protocol number is given because asyncio switches Nagle's delay off only where it is.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"The sandbox cannot listen on {HOST} port {port}: {error.strerror}. Choose another with --port."
        ) from None
    return listener


def lock(data_dir: Path) -> IO[str]:
    """Hold the data folder for this process, or SettingsError when another sandbox has it.

    The folder is its owner's alone from then on, whatever it was before.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir.chmod(0o700)
        held = (data_dir / "lock").open("w")
    except OSError as error:
        raise SettingsError(
            f"The sandbox cannot write to {data_dir}: {error.strerror}. Give another folder with --data-dir."
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise SettingsError(
            f"Another sandbox runs in {data_dir}. Stop it, or give another folder with --data-dir."
        ) from None
    return held


class Server:
    """A sandbox that is bound to its port and folder, ready to serve."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._listener = listen(site.port)
        try:
            self._lock = lock(site.data_dir)
        except SettingsError:
            self._listener.close()
            raise
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self.key = site.key
        self._uvicorn: uvicorn.Server | None = None
        self._stopped = False

    def run(self) -> None:
        """Serve until stopped or signalled."""
        sandbox = Sandbox(
            self._site.data_dir,
            key=self._site.key,
            public_url=self._site.public_url or self.url,
            hmac_key=self._site.hmac_key,
            database_url=self._site.database_url,
        )
        config = uvicorn.Config(
            _app(sandbox),
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        self._uvicorn = uvicorn.Server(config)
        self._uvicorn.should_exit = self._stopped
        try:
            self._uvicorn.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self._lock.close()

    def stop(self) -> None:
        """Ask a running server to end; `run` returns soon after."""
        self._stopped = True
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True

    @property
    def started(self) -> bool:
        return self._uvicorn is not None and self._uvicorn.started


@contextlib.contextmanager
def running(site: Site) -> Iterator[Server]:
    """A sandbox in a thread of this process, for tests and measurements; stopped at the end of the block."""
    server = Server(site)
    thread = threading.Thread(target=server.run, name="sandbox", daemon=True)
    thread.start()
    pause = threading.Event()
    waited = 0.0
    while not server.started and thread.is_alive() and waited < START_SECONDS:
        pause.wait(0.01)
        waited += 0.01
    if not server.started:
        raise RuntimeError("The sandbox did not start; its traceback is above.")
    try:
        yield server
    finally:
        server.stop()
        thread.join(START_SECONDS)
