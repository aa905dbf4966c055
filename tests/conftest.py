"""Real parts for every test: Postgres, the sandbox over HTTP, and no way out of this machine."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import psycopg
import pytest
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from core import database, settings
from core.deliveries import tools
from core.local import postgres
from tests.database.reused import Reused

# With rich about, an error that is logged would be drawn with every local of every frame: half a second each.
PLAIN_LOG: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]
structlog.configure(processors=PLAIN_LOG)

# For longer, other ways each time, within 25 minutes on two free cores:
# `pytest -n 0 --hypothesis-profile=campaign tests/journeys/test_any_order.py`
hypothesis_settings.register_profile(
    "campaign",
    max_examples=250,
    stateful_step_count=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
CALLBACK_SECRET = "callback-secret-of-the-tests"
SANDBOX_KEY = "sandbox-key-of-the-tests"


@pytest.fixture(autouse=True, scope="session")
def _nothing_outside() -> Iterator[None]:
    """A connection to anything but this machine fails loudly."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test reached for {address[0]}, outside of this machine")
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="session")
def _certificates_are_read_once() -> Iterator[None]:
    """A client of httpx reads those of the whole world, 30 ms of CPU, even where it speaks plain HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(autouse=True)
def _plain_log() -> Iterator[None]:
    """A test that has logs written as in production leaves the next one the plain ones."""
    yield
    logging.captureWarnings(False)
    if structlog.get_config()["processors"] is not PLAIN_LOG:
        structlog.reset_defaults()
        structlog.configure(processors=PLAIN_LOG)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a throw-away Postgres with a migrated template database."""
    with postgres.temporary() as server:
        url = server.url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE migrated")
            # Both sides hash the password at every connection: four thousand rounds are four milliseconds.
            connection.execute("SET scram_iterations = 1")
            password = sql.Literal(unquote(urlsplit(url).password or ""))
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(password))
        database.migrate(_of(url, "migrated"), local=True)
        yield url


def _of(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Reused:
    """The databases that tests have for themselves, one after the other."""
    return Reused(postgres_server)


@pytest.fixture
def database_url(databases: Reused) -> Iterator[str]:
    """A migrated, empty database of the test's own, already connected."""
    with databases.lent() as url:
        database.connect(url)
        yield url
        database.close()


@dataclass(frozen=True)
class Sandbox:
    """The sandbox's control API."""

    url: str
    client: httpx.Client

    def reset(self) -> None:
        """No tasks, no faults, quick tasks."""
        self.client.post("/_sandbox/reset").raise_for_status()
        self.put("settings", image_seconds=0.2, video_seconds=0.3, jitter=0, creates_per_window=0)
        self.put("settings", training_seconds=0.3, lora_image_seconds=0.2)

    def put(self, what: str, **values: Any) -> None:
        self.client.put(f"/_sandbox/{what}", json=values).raise_for_status()

    def get(self, what: str, **query: Any) -> Any:
        return self.client.get(f"/_sandbox/{what}", params=query).raise_for_status().json()

    def post(self, what: str, **values: Any) -> Any:
        return self.client.post(f"/_sandbox/{what}", json=values).raise_for_status().json()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a sandbox that runs for the whole session."""
    environment = {"PATH": os.environ["PATH"], "KIE_API_KEY": SANDBOX_KEY, "PYTHONPATH": str(settings.ROOT)}
    folder = str(tmp_path_factory.mktemp("sandbox"))
    child = subprocess.Popen(
        [sys.executable, "-m", "core.sandbox", "--port", "0", "--data-dir", folder],
        env=environment,
        cwd=settings.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    yield line.split()[-1]
    child.terminate()
    child.wait(10)
    child.stdout.close()


@pytest.fixture
def sandbox(sandbox_process: str) -> Iterator[Sandbox]:
    """The sandbox, empty and without faults."""
    with httpx.Client(base_url=sandbox_process, headers={"X-Sandbox": "1"}, timeout=10) as client:
        found = Sandbox(sandbox_process, client)
        found.reset()
        yield found


@pytest.fixture
def local_settings(
    database_url: str, sandbox_process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """This process's settings as the local stack would make them; the environment for child processes."""
    environment = {
        "DATABASE_URL": database_url,
        "KIE_BASE_URL": sandbox_process,
        "KIE_API_KEY": SANDBOX_KEY,
        "KIE_CALLBACK_SECRET": CALLBACK_SECRET,
        "FILES_SIGNING_KEY": "files-signing-key-of-the-tests",
        "OPS_API_KEY": "ops-key-of-the-tests",
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{free_port()}",
        "STUDIO_OPS_DATA_DIR": str(tmp_path / "data"),
        "STUDIO_OPS_LOCAL_STACK": sandbox_process,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    tools.current.cache_clear()
    yield environment
    if tools.current.cache_info().currsize:
        tools.current().close()
    settings.current.cache_clear()
    tools.current.cache_clear()
