"""The whole product as separate processes for a measurement: Postgres, sandbox, web, worker, clock."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from core import database, settings
from core.local import postgres

KIE_KEY = "sandbox-key-of-the-measurement"
CALLBACK_SECRET = "callback-secret-of-the-measurement"
OPS_KEY = "ops-key-of-the-measurement"
STOPS_WITHIN_S = 30


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(done: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for `done` to be true and return what it returned; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := done():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")


@dataclass
class Rig:
    """Addresses of the parts that run, and the environment that describes them to the others."""

    folder: Path
    database_url: str
    sandbox_url: str
    web_port: int
    environment: dict[str, str]
    _logs: int = field(default=0, repr=False)

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """`python -m arguments…` in the rig's environment; its output goes to a file of the folder."""
        self._logs += 1
        with (self.folder / f"{self._logs}-{arguments[0]}.log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=self.environment,
                cwd=settings.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    @contextmanager
    def web(self, application: str = "app:app") -> Iterator[subprocess.Popen[bytes]]:
        """`uvicorn APPLICATION`, as in production, once it answers."""
        arguments = ("uvicorn", application, "--host", "127.0.0.1", "--port", str(self.web_port))
        with self.process(*arguments) as child:
            until(lambda: _answers(f"{self.web_url}/api/health"), 30, f"an answer of {application}")
            yield child

    @contextmanager
    def jobs(self, *roles: str) -> Iterator[None]:
        """`python -m jobs ROLE` for each role, once all have beaten."""
        with ExitStack() as running:
            begun = self.sql("SELECT now()")[0][0]
            for role in roles:
                running.enter_context(self.process("jobs", role))
            beating = "SELECT count(DISTINCT role) FROM process_heartbeats WHERE beat_at >= %s"
            until(lambda: self.sql(beating, begun)[0][0] >= len(roles), 30, "a heartbeat of each process")
            yield

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement; its rows."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def sandbox(self, method: str, what: str, values: Any = None) -> Any:
        """Ask the sandbox's control API."""
        answer = httpx.request(
            method,
            f"{self.sandbox_url}/_sandbox/{what}",
            json=values,
            headers={"X-Sandbox": "1"},
            timeout=60,
        )
        return answer.raise_for_status().json()

    @property
    def files(self) -> Path:
        """The folder in which the storage keeps the results."""
        return Path(self.environment["STUDIO_OPS_DATA_DIR"]) / "files" / "generations"


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def rig(database_url: str | None = None) -> Iterator[Rig]:
    """A durable Postgres with the schema and a sandbox; everything ends and goes away with the block, but for
    a database that was there before."""
    with ExitStack() as running:
        folder = running.enter_context(postgres.temporary_folder())
        url = database_url or running.enter_context(postgres.running(folder)).url
        database.migrate(url, local=True)
        web_port = free_port()
        basic = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(settings.ROOT),
            "KIE_API_KEY": KIE_KEY,
            "KIE_CALLBACK_SECRET": CALLBACK_SECRET,
        }
        sandbox_url = running.enter_context(_sandbox(folder / "sandbox", basic))
        environment = basic | {
            "DATABASE_URL": url,
            "KIE_BASE_URL": sandbox_url,
            "OPS_API_KEY": OPS_KEY,
            "FILES_SIGNING_KEY": "files-signing-key-of-the-measurement",
            "PUBLIC_BASE_URL": f"http://127.0.0.1:{web_port}",
            "STUDIO_OPS_DATA_DIR": str(folder / "data"),
            "STUDIO_OPS_LOCAL_STACK": sandbox_url,
        }
        yield Rig(folder, url, sandbox_url, web_port, environment)


@contextmanager
def _sandbox(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "core.sandbox", "--port", "0", "--data-dir", str(folder)],
        env=environment,
        cwd=settings.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        url = child.stdout.readline().split()[-1]
        until(lambda: _answers(f"{url}/health"), 15, "an answer of the sandbox")
        yield url
    finally:
        child.terminate()
        child.wait(STOPS_WITHIN_S)
        child.stdout.close()


def callback_body(task_id: str, result_url: str) -> bytes:
    """The body of KIE's callback for a finished task, as its documents show it."""
    data = {
        "taskId": task_id,
        "model": "flux-2/pro-text-to-image",
        "state": "success",
        "param": json.dumps({"model": "flux-2/pro-text-to-image", "input": '{"prompt":"a lighthouse"}'}),
        "resultJson": json.dumps({"resultUrls": [result_url]}),
        "failCode": None,
        "failMsg": None,
        "costTime": 12,
        "completeTime": 1_760_000_012_000,
        "createTime": 1_760_000_000_000,
        "consumeCredits": 5,
        "remainedCredits": 99_000,
    }
    body = {"code": 200, "msg": "Playground task completed successfully.", "data": data}
    return json.dumps(body).encode()
