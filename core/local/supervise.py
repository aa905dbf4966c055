"""Keeps the stack's parts alive: restarts what ended, with growing pauses, and says what keeps failing."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from core.errors import LocalStackError
from core.local import folder as data
from core.local import parent
from core.log import redact
from core.settings import ROOT

TICK_S = 0.2
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A part that ran this long counts as healthy again.
HEALTHY_S = 30.0
# So many ends in a row, and the person who started the stack is told.
FAILURES_TO_SAY = 3
LOG_BYTES = 5 * 2**20
LOG_CHECK_S = 10.0
STOP_S = 5.0

State = Literal["starting", "running", "restarting", "failing", "stopped"]


class Process(Protocol):
    """A running part."""

    @property
    def pid(self) -> int: ...

    def alive(self) -> bool:
        """Whether it still runs."""

    def stop(self, timeout_s: float) -> None:
        """End it, politely for `timeout_s` seconds; returns when it has ended."""


@dataclass(frozen=True)
class PartStatus:
    """One part as it is now. `since` is the ISO 8601 time of its last start, UTC."""

    name: str
    state: State
    pid: int | None
    since: str | None
    restarts: int
    last_error: str | None


@dataclass
class _Part:
    name: str
    begin: Callable[[], Process]
    log: Path
    process: Process | None = None
    since: str | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    failures: int = 0
    restarts: int = 0
    last_error: str | None = None

    def status(self) -> PartStatus:
        state: State = "running"
        if self.process is None:
            state = "failing" if self.failures >= FAILURES_TO_SAY else "restarting"
        elif self.failures >= FAILURES_TO_SAY:
            state = "failing"
        pid = self.process.pid if self.process else None
        return PartStatus(self.name, state, pid, self.since, self.restarts, self.last_error)


@dataclass
class Child:
    """A Python module of ours in a process that ends with this one."""

    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL after `timeout_s` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def spawn(module: str, arguments: list[str], watch_fd: int, log: Path) -> Child:
    """Run `python -m module arguments…` from the product's folder, in this process's environment.

    It ends when the writing end of the pipe `watch_fd` closes; its output goes to `log`.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "core.local.child", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, parent.PARENT_FD: str(watch_fd), "PYTHONUNBUFFERED": "1"},
            pass_fds=[watch_fd],
            start_new_session=True,
        )
    return Child(process)


class Supervisor:
    """Starts parts in the order they are added and watches them from a thread until `stop`."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._parts: list[_Part] = []
        self._guard = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stack-supervisor", daemon=True)

    def add(self, name: str, begin: Callable[[], Process]) -> Process:
        """Start a part by `begin`, which is called again whenever the part has ended."""
        part = _Part(name, begin, self._logs / f"{name}.log")
        with self._guard:
            if self._ending.is_set():
                raise LocalStackError("The local stack is stopping.")
            self._start(part)
            self._parts.append(part)
        assert part.process is not None
        if not self._thread.is_alive():
            self._thread.start()
        return part.process

    def statuses(self) -> tuple[PartStatus, ...]:
        """Every part as it is now, in the order of their start."""
        return tuple(part.status() for part in self._parts)

    def pids(self) -> Mapping[str, int]:
        """The process ids of the parts that run."""
        return {part.name: part.process.pid for part in self._parts if part.process}

    def stop(self) -> None:
        """End every part: all but the first together, then the first, which the others need."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._guard:
            first, rest = self._parts[:1], self._parts[1:]
            threads = [threading.Thread(target=_stop, args=(part,)) for part in rest]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for part in first:
                _stop(part)
            self._parts.clear()

    def _start(self, part: _Part) -> None:
        part.process = part.begin()
        part.since, part.started_at = data.now(), time.monotonic()

    def _watch(self) -> None:
        next_log_check = 0.0
        while not self._ending.wait(TICK_S):
            with self._guard:
                for part in self._parts:
                    if not self._ending.is_set():
                        self._tend(part)
                if time.monotonic() >= next_log_check:
                    next_log_check = time.monotonic() + LOG_CHECK_S
                    for part in self._parts:
                        shorten(part.log)

    def _tend(self, part: _Part) -> None:
        """Notice an end, or start again what ended when its pause is over."""
        if part.process is not None:
            if part.process.alive():
                if time.monotonic() - part.started_at > HEALTHY_S:
                    part.failures = 0
                return
            self._note_failure(part, last_line(part.log))
        elif time.monotonic() >= part.due_at:
            try:
                self._start(part)
                part.restarts += 1
            except (LocalStackError, OSError) as error:
                self._note_failure(part, str(error))

    def _note_failure(self, part: _Part, words: str) -> None:
        part.process = None
        part.failures += 1
        part.last_error = words
        part.due_at = time.monotonic() + min(FIRST_PAUSE_S * 2 ** (part.failures - 1), LONGEST_PAUSE_S)
        if part.failures % FAILURES_TO_SAY == 0:
            self._say(f"{part.name} keeps ending ({part.failures} times in a row): {words} — see {part.log}")
        elif part.failures == 1:
            self._say(f"{part.name} ended and is started again.")


def _stop(part: _Part) -> None:
    if part.process is not None:
        part.process.stop(STOP_S)


def last_line(log: Path) -> str:
    """The last line of `log` with secrets masked; of a traceback that is the error itself."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return str(redact(next((line for line in reversed(lines) if line), "it said nothing")))[:500]
    return "it said nothing"


def shorten(log: Path, limit: int = LOG_BYTES) -> None:
    """Move a log of more than `limit` bytes aside as `….1`; its writers go on in the emptied file."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
