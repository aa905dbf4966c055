"""The product as real processes that tests may kill, and what is true of a generation in the end."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psutil  # type: ignore[import-untyped]

from core import access, database, settings
from core.deliveries import sending, service, tools
from core.work import queue
from jobs.schedule import JOBS
from tests.conftest import Sandbox

MODEL = "flux-2/pro-text-to-image"
ENDS_WITHIN_S = 60.0


def until(done: Callable[[], Any], seconds: float = ENDS_WITHIN_S, what: str = "it") -> Any:
    """Wait for `done` to be true and return what it returned; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := done():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Part(Protocol):
    """One process of the product."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""


class Nursery:
    """Where processes come from that start at once and may halt at a step; see `tests.crash.stopping`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.stopping"],
            env={"PATH": os.environ["PATH"]},
            cwd=settings.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order: Any) -> Any:
        """Its answer to one order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it; what it brought forth is ended by those who asked for it."""
        self._process.kill()
        self._process.communicate()


@dataclass
class Forked:
    """A process from the nursery; most of them halt at a step."""

    pid: int
    nursery: Nursery
    log: Path
    _code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self._code is None:
            self._code = self.nursery.ask(ended=self.pid)
        return self._code

    def dies(self) -> None:
        """Wait until it has killed itself."""
        until(lambda: self.poll() is not None, what=f"the kill at {self.log.stem}")
        assert self.poll() == -signal.SIGKILL, self.log.read_text()

    def stands_still(self) -> None:
        """Wait until it has stopped itself."""
        child = psutil.Process(self.pid)
        until(lambda: child.status() == psutil.STATUS_STOPPED, what=f"the stop at {self.log.stem}")

    def goes_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def finishes(self) -> None:
        """SIGTERM: it ends when the jobs in hand are done, without an error."""
        os.kill(self.pid, signal.SIGTERM)
        until(lambda: self.poll() is not None, what=f"the end of {self.log.stem}")
        assert self.poll() == 0, self.log.read_text()


@dataclass(frozen=True)
class Facts:
    """What the database, the storage's folder and the sandbox know of a generation."""

    state: str
    status: str
    events: tuple[str, ...]
    paid: int
    files: tuple[Path, ...]
    recorded_sha256: tuple[str, ...]
    cost_lines: int

    @property
    def delivered_events(self) -> int:
        return self.events.count("delivered")


@dataclass
class Stage:
    """A database, a sandbox and a data folder; processes come and go as the test says."""

    environment: dict[str, str]
    sandbox: Sandbox
    folder: Path
    nursery: Nursery
    running: list[Part] = field(default_factory=list)

    def _log(self, name: str) -> Path:
        return self.folder / f"{len(self.running):02} {name}.log"

    def start(self, *arguments: str, of: Path = settings.ROOT) -> "subprocess.Popen[bytes]":
        """`python -m arguments…`, unchanged, of the product in the folder `of`, until the stage closes."""
        with self._log(" ".join(arguments[:2])).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=self.environment,
                cwd=of,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.running.append(process)
        return process

    def fork(self, *arguments: str) -> Forked:
        """The same, from the nursery, which has imported the product already."""
        return self.halting("", "", "", *arguments)

    def halting(self, step: str, how: str, generation: str, *arguments: str) -> Forked:
        """`python -m arguments…`, which halts at a step of the generation."""
        log = self._log(step or " ".join(arguments))
        pid = self.nursery.ask(
            step=step,
            how=how,
            generation=generation,
            arguments=arguments,
            environment=self.environment,
            log=str(log),
        )
        part = Forked(pid, self.nursery, log)
        self.running.append(part)
        return part

    def stop(self, *parts: Part) -> None:
        """kill -9."""
        for part in parts:
            if part.poll() is None:
                os.kill(part.pid, signal.SIGKILL)
            until(lambda part=part: part.poll() is not None, what="the end of a process")  # type: ignore[misc]

    def web(self) -> tuple[str, ...]:
        """The arguments of the web process."""
        port = str(urlsplit(self.environment["PUBLIC_BASE_URL"]).port)
        return ("uvicorn", "core.web.app:app", "--host", "127.0.0.1", "--port", port)

    def web_answers(self) -> None:
        """Wait until the web process serves."""
        url = self.environment["PUBLIC_BASE_URL"] + "/api/health"

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return self.sandbox.client.get(url).status_code == 200
            return False

        until(answers, what="an answer")

    def close(self) -> None:
        """End every process; nothing here relies on a polite end."""
        self.stop(*self.running)

    def create(self, prompt: str = "a lighthouse", *, send_later: bool = False) -> str:
        """The row of a new generation; with `send_later` a worker is to send it."""
        wanted = service.NewGeneration(MODEL, {"prompt": prompt}, request_key=os.urandom(8).hex())
        actor = access.command_line("crash test")
        return str(service.create(actor, wanted, tools.current(), send_later=send_later).id)

    def submit(self, generation: str) -> None:
        """Send its paid request from here."""
        sending.submit(UUID(generation), tools.current())

    def enqueue_poll(self) -> None:
        """Put a poll on the queue, as a clock would."""
        slot = "2026-01-01T00:00:00+00:00"
        with database.transaction() as connection:
            queue.enqueue(connection, "poll", queue=JOBS["poll"].queue, slot=slot)

    def called_back(self, generation: str) -> None:
        """Wait until its callback is recorded."""
        until(lambda: "callback" in self.events(generation), what=f"the callback of {generation}")

    def finished(self, generation: str) -> None:
        """Wait until the sandbox has finished its task."""
        [(task,)] = self.sql("SELECT task_id FROM generations WHERE id = %(id)s", id=generation)
        until(lambda: self.sandbox.get(f"tasks/{task}")["record"]["state"] == "success", what=f"task {task}")

    def time_passes(self, passed: timedelta) -> None:
        """Let leases, pauses and heartbeats age by so much, as time would."""
        self.sql(
            "UPDATE generations SET lease_until = lease_until - %(by)s,"
            " next_attempt_at = next_attempt_at - %(by)s, submitted_at = submitted_at - %(by)s",
            by=passed,
        )
        self.sql("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - %(by)s", by=passed)
        self.sql("UPDATE procrastinate_jobs SET scheduled_at = scheduled_at - %(by)s", by=passed)

    def state(self, generation: str) -> str:
        """Where the delivery stands."""
        return str(self.sql("SELECT delivery_state FROM generations WHERE id = %(id)s", id=generation)[0][0])

    def states(self, generations: Sequence[str]) -> set[str]:
        """Where these deliveries stand."""
        found = self.sql(
            "SELECT DISTINCT delivery_state FROM generations WHERE id = ANY(%(ids)s::uuid[])",
            ids=[*generations],
        )
        return {str(row[0]) for row in found}

    def events(self, generation: str) -> tuple[str, ...]:
        """The kinds of its timeline, in order."""
        rows = self.sql(
            "SELECT kind FROM delivery_events WHERE generation_id = %(id)s ORDER BY id", id=generation
        )
        return tuple(str(row[0]) for row in rows)

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Run a statement; its rows."""
        with database.transaction() as connection:
            result = connection.exec_driver_sql(statement, values)
            return list(result.all()) if result.returns_rows else []

    def facts(self, generation: str) -> Facts:
        """Everything that is known of it."""
        [(state, status)] = self.sql(
            "SELECT delivery_state, status FROM generations WHERE id = %(id)s", id=generation
        )
        recorded = self.sql(
            "SELECT sha256 FROM stored_files WHERE generation_id = %(id)s ORDER BY n", id=generation
        )
        [(lines,)] = self.sql("SELECT count(*) FROM job_costs WHERE generation_id = %(id)s", id=generation)
        stored = Path(self.environment["STUDIO_OPS_DATA_DIR"]) / "files" / "generations"
        return Facts(
            state=state,
            status=status,
            events=self.events(generation),
            paid=self.sandbox.get("stats", generation=generation)["paid_by_generation"].get(generation, 0),
            files=tuple(stored.rglob(f"{generation}_*")),
            recorded_sha256=tuple(row[0] for row in recorded),
            cost_lines=lines,
        )

    def assert_delivered_once(self, generation: str) -> None:
        """One file with the provider's very bytes, one success, one paid create, one line of cost."""
        facts = self.facts(generation)
        assert (facts.state, facts.status) == ("delivered", "success"), facts
        assert facts.paid == 1, facts
        assert facts.delivered_events == 1, facts
        assert facts.cost_lines == 1, facts
        [file] = facts.files
        [url] = self.sql("SELECT result_urls[1] FROM generations WHERE id = %(id)s", id=generation)[0]
        at_provider = hashlib.sha256(self.sandbox.client.get(url).content).hexdigest()
        assert (hashlib.sha256(file.read_bytes()).hexdigest(),) == (at_provider,) == facts.recorded_sha256


@contextmanager
def opened_nursery() -> Iterator[Nursery]:
    """A nursery that ends with the block; any number of stages may have their processes from it."""
    nursery = Nursery()
    try:
        yield nursery
    finally:
        nursery.close()


@contextmanager
def staged(environment: dict[str, str], sandbox: Sandbox, folder: Path, nursery: Nursery) -> Iterator[Stage]:
    """A stage whose processes end with the block."""
    stage = Stage(environment, sandbox, folder, nursery)
    try:
        yield stage
    finally:
        stage.close()
