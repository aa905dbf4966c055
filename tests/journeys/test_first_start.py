"""The one command: what it brings up, what it refuses, and that no kill loses anything."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from core import settings
from core.local import folder, postgres, postmaster, stack
from core.settings import ROOT, Settings

# The promise is for two cores of its own (`pytest -n 0`, `python -m tests.bench start`); beside other files'
# tests the machine is shared.
FIRST_PAGE_S = 45.0 if "PYTEST_XDIST_WORKER" in os.environ else 15.0
STOP_S = 10.0
# For everything that has no promise of its own, on a machine that does other things too.
PATIENCE_S = 60.0
STREAMLIT = ("-m", "streamlit", "run", "app.py")
PARTS = {"sandbox": "core.sandbox", "clock": "jobs clock", "worker": "jobs worker"}


@dataclass
class Started:
    """A stack that a test has started, by its web process."""

    web: subprocess.Popen[bytes]
    port: int
    place: Path
    output: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def part(self, name: str) -> psutil.Process | None:
        """The part's process now; None while it is being started again."""
        if name == "postgres":
            return postmaster.survivor(self.place / "postgres")
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.web.pid).children():
                with contextlib.suppress(psutil.Error):
                    if f"core.local.child {PARTS[name]}" in " ".join(child.cmdline()):
                        return child
        return None

    def parts(self) -> dict[str, psutil.Process]:
        found = {name: self.part(name) for name in ("postgres", *PARTS)}
        return {name: process for name, process in found.items() if process is not None}

    def until_complete(self) -> dict[str, psutil.Process]:
        until(lambda: len(self.parts()) == 1 + len(PARTS), f"all parts run; the start said: {self.said()}")
        return self.parts()

    def database_url(self) -> str:
        environment = stack.attach(settings.load({"STUDIO_OPS_DATA_DIR": str(self.place)}))
        assert environment is not None
        return environment["DATABASE_URL"]

    def stop(self, number: int = signal.SIGINT) -> None:
        if self.web.poll() is None:
            self.web.send_signal(number)
            try:
                self.web.wait(PATIENCE_S)
            finally:
                self.web.kill()
                self.web.wait()


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def environment(place: Path, **more: str) -> dict[str, str]:
    """Nothing configured, whatever this machine's environment or .env holds."""
    unset = {str(field.validation_alias or name).upper(): "" for name, field in Settings.model_fields.items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, **unset, "STUDIO_OPS_DATA_DIR": str(place), **more}


def begin(place: Path, port: int, arguments: Sequence[str] = STREAMLIT) -> Started:
    output = place / f"output-{port}.txt"
    with output.open("ab") as file:
        web = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(place, STREAMLIT_SERVER_PORT=str(port)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return Started(web, port, place, output)


def until_it_serves(started: Started) -> None:
    def serves() -> bool:
        assert started.web.poll() is None, f"it ended: {started.said()}"
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{started.url}/_stcore/health", timeout=5).status_code == 200
        return False

    until(serves, "the first page")


@contextlib.contextmanager
def running(place: Path, arguments: Sequence[str] = STREAMLIT, port: int | None = None) -> Iterator[Started]:
    started = begin(place, port or postgres.free_port(), arguments)
    try:
        until_it_serves(started)
        yield started
    finally:
        started.stop()


@pytest.fixture
def place() -> Iterator[Path]:
    with postgres.temporary_folder() as found:
        yield found
        if (left := postmaster.survivor(found / "postgres")) is not None:
            postmaster.end(left, found / "postgres", timeout_s=2)


def run_refused(place: Path, port: int, arguments: Sequence[str] = STREAMLIT) -> str:
    """Start where it has to be refused; what it said."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(place, STREAMLIT_SERVER_PORT=str(port)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def write_row(started: Started, word: str) -> None:
    with psycopg.connect(started.database_url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS journey_rows (word text)")
        connection.execute("INSERT INTO journey_rows VALUES (%s)", (word,))


def rows(started: Started) -> list[str]:
    with psycopg.connect(started.database_url()) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM journey_rows ORDER BY word")]


def beating(started: Started) -> set[str]:
    with psycopg.connect(started.database_url()) as connection:
        return {role for (role,) in connection.execute("SELECT DISTINCT role FROM process_heartbeats")}


def test_one_command_brings_everything_up_and_ctrl_c_takes_all_of_it_down(place: Path) -> None:
    begun_at = time.monotonic()
    with running(place) as started:
        assert time.monotonic() - begun_at < FIRST_PAGE_S
        page = httpx.get(started.url, headers={"accept": "text/html"})
        assert (page.status_code, 'id="root"' in page.text) == (200, True)
        assert httpx.get(f"{started.url}/api/health").json() == {"status": "ok"}
        parts = started.until_complete()
        until(lambda: beating(started) >= {"clock", "worker"}, "clock and worker are alive")
        record = folder.read_record(place)
        assert record is not None
        assert record.environment["PUBLIC_BASE_URL"] == started.url
        for name in ("stack.json", "secrets.json"):
            assert (place / name).stat().st_mode & 0o777 == 0o600

        refused = run_refused(place, postgres.free_port())
        assert f"already runs from {place}: {started.url}, process {started.web.pid}, since" in refused
        assert httpx.get(f"{started.url}/_stcore/health").status_code == 200

        asked_at = time.monotonic()
        started.stop(signal.SIGINT)
        assert time.monotonic() - asked_at < STOP_S
        assert [name for name, process in parts.items() if not gone(process)] == []
        assert not folder.is_held(place)


def test_a_killed_part_comes_back_and_after_a_kill_of_all_a_second_start_recovers(place: Path) -> None:
    with running(place) as started:
        before = started.until_complete()
        write_row(started, "first")
        for process in before.values():
            process.kill()
        until(
            lambda: not {p.pid for p in before.values()} & {p.pid for p in started.parts().values()},
            "new parts",
        )
        after = started.until_complete()
        until(lambda: not gone(after["postgres"]) and rows(started) == ["first"], "the row is still there")

        write_row(started, "second")
        for process in (psutil.Process(started.web.pid), *after.values()):
            process.kill()
        started.web.wait()

    with running(place, port=started.port) as again:
        again.until_complete()
        assert rows(again) == ["first", "second"]


def test_postgres_outlives_a_killed_start_and_is_adopted_by_the_next(place: Path) -> None:
    with running(place) as started:
        parts = started.until_complete()
        write_row(started, "kept")
        started.web.kill()
        started.web.wait()
    server = parts.pop("postgres")
    for name, process in parts.items():
        until(lambda process=process: gone(process), f"{name} ends with its launcher")  # type: ignore[misc]
    assert not gone(server)
    with running(place) as again:
        assert again.until_complete()["postgres"].pid == server.pid
        assert rows(again) == ["kept"]
        again.stop(signal.SIGTERM)
    assert gone(server)


def test_two_data_folders_run_side_by_side_under_either_server(place: Path) -> None:
    port = postgres.free_port()
    uvicorn = ("-m", "uvicorn", "app:app", "--port", str(port))
    with postgres.temporary_folder() as other, running(place) as one, running(other, uvicorn, port) as two:
        parts = [*one.until_complete().values(), *two.until_complete().values()]
        assert len({process.pid for process in parts}) == 2 * (1 + len(PARTS))
        records = [folder.read_record(found) for found in (place, other)]
        assert [record.url for record in records if record] == [one.url, two.url]
        ports = [port for record in records if record for port in record.ports.values()]
        assert len(set(ports)) == len(ports) == 4
        one.stop()
        assert httpx.get(f"{two.url}/api/health").status_code == 200
        assert len(two.parts()) == 1 + len(PARTS)


def test_a_port_in_use_is_named_and_nothing_is_started(place: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port} " in run_refused(place, port)
        said = run_refused(place, port, ("-m", "uvicorn", "app:app", "--port", str(port)))
    assert f"Port {port} is in use" in said
    assert f"uvicorn app:app --port {port + 1}" in said
    assert not (place / "postgres").exists()
