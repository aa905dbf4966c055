"""What refuses a local start, what a start leaves behind, and how its parts are kept alive."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from core import settings
from core.errors import LocalStackError, SettingsError
from core.local import address, folder, parent, postgres, stack, supervise
from core.local.address import WebAddress
from core.local.supervise import Supervisor, spawn
from core.settings import ROOT, Settings


@pytest.fixture
def place() -> Iterator[Path]:
    with postgres.temporary_folder() as found:
        folder.prepare(found)
        yield found


@pytest.fixture
def pipe() -> Iterator[int]:
    """The reading end of a pipe that ends every child of the test."""
    reading, writing = parent.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(place: Path, said: list[str]) -> Iterator[Supervisor]:
    found = Supervisor(place / "logs", said.append)
    yield found
    found.stop()


def given(place: Path, **environment: str) -> Settings:
    return settings.load({"STUDIO_OPS_DATA_DIR": str(place), **environment})


def web(port: int = 8501, *, wanted: int = 8501, host: str = "127.0.0.1", bound: bool = True) -> WebAddress:
    return WebAddress(host, port, wanted, bound, "STREAMLIT_SERVER_PORT={port} streamlit run app.py")


def eventually(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_a_second_start_says_what_runs_already(place: Path) -> None:
    first = folder.Lock(place)
    assert first.take()
    folder.write_record(place, folder.Record("http://127.0.0.1:8777", 4711, "2026-11-20T09:05:00+00:00"))
    with pytest.raises(LocalStackError) as refused:
        stack.begin(given(place), web())
    sentence = refused.value.message
    assert sentence.startswith(
        f"Studio Ops already runs from {place}: http://127.0.0.1:8777, process 4711,"
        " since 2026-11-20 09:05:00 UTC."
    )
    assert "STUDIO_OPS_DATA_DIR" in sentence
    first.release()
    assert not folder.is_held(place)


def test_a_lock_ends_with_its_process(place: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from core.local import folder\n"
        "lock = folder.Lock(Path(sys.argv[1])); print(lock.take(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert folder.is_held(place)
        holder.kill()
    assert folder.Lock(place).take()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(web(8502), id="streamlit moved to the next port"),
        pytest.param(web(bound=False), id="uvicorn has not bound it yet"),
    ],
)
def test_a_port_in_use_is_named_with_the_way_to_choose_another(place: Path, asked: WebAddress) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        moved = asked.port - asked.wanted
        asked = web(taken + moved, wanted=taken, bound=asked.bound)
        with pytest.raises(LocalStackError) as refused:
            stack.begin(given(place), asked)
    assert f"Port {taken} is in use" in refused.value.message
    assert f"STREAMLIT_SERVER_PORT={taken + 1} streamlit run app.py" in refused.value.message
    assert sorted(path.name for path in place.iterdir()) == ["lock", "logs"], "nothing was started"
    assert not folder.is_held(place)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "ops.example.com"])  # noqa: S104
def test_the_local_stack_answers_on_this_machine_alone(host: str) -> None:
    with pytest.raises(LocalStackError, match="this machine alone"):
        address.check(web(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_every_loopback_address_will_do(host: str) -> None:
    address.check(web(host=host))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KIE_API_KEY", "a-real-key"),
        ("KIE_CALLBACK_SECRET", "secret"),
        ("PUBLIC_BASE_URL", "https://ops.example.com"),
        ("FILES_SIGNING_KEY", "key"),
    ],
)
def test_settings_of_production_without_its_database_are_refused_by_name(
    place: Path, name: str, value: str
) -> None:
    with pytest.raises((LocalStackError, SettingsError), match=name) as refused:
        stack.begin(given(place, **{name: value}), web())
    assert value not in refused.value.message or name == "PUBLIC_BASE_URL"
    assert not (place / "lock").exists()


def test_what_may_be_set_beside_the_local_stack_is_accepted(place: Path) -> None:
    stack.refuse_production_settings(
        given(
            place,
            OPS_API_KEY="one,two",
            SUPABASE_JWT_SECRET="jwt",
            PUBLIC_BASE_URL="http://localhost:8501",
        )
    )


def test_secrets_are_made_once_and_belong_to_their_owner_alone(place: Path) -> None:
    made = folder.load_secrets(place)
    assert folder.load_secrets(place) == made
    assert (place / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert made.kie_api_key.startswith("sandbox-")
    kept = json.loads((place / "secrets.json").read_text())
    del kept["files_signing_key"]
    folder.write(place / "secrets.json", kept)
    after = folder.load_secrets(place)
    assert after.postgres_password == made.postgres_password
    assert after.files_signing_key != made.files_signing_key


def test_a_process_of_the_same_folder_attaches_while_the_stack_runs(place: Path) -> None:
    environment = {"DATABASE_URL": "postgresql://127.0.0.1/postgres"}
    folder.write_record(place, folder.Record("http://127.0.0.1:1", 1, folder.now(), {}, environment))
    assert (place / "stack.json").stat().st_mode & 0o777 == 0o600
    assert stack.attach(given(place)) is None
    lock = folder.Lock(place)
    assert lock.take()
    assert stack.attach(given(place)) == environment
    assert stack.attach(given(place, DATABASE_URL="postgresql://db.example.com/ops")) is None
    lock.release()


def test_root_puts_data_that_postgres_cannot_reach_into_the_system_folder(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    found = folder.place(given(hidden / "clone" / ".data"))
    other = folder.place(given(hidden / "other" / ".data"))
    if os.geteuid() == 0:
        assert found.parent == folder.SYSTEM_FOLDER
        assert found != other
        assert found == folder.place(given(hidden / "clone" / ".data"))
    else:
        assert found == hidden / "clone" / ".data"


def test_a_data_folder_that_cannot_be_made_is_named(place: Path) -> None:
    (place / "file").write_text("")
    with pytest.raises(LocalStackError, match=r"file/data cannot be used.*STUDIO_OPS_DATA_DIR"):
        folder.prepare(place / "file" / "data")


def test_a_part_that_is_killed_is_started_again(place: Path, supervisor: Supervisor, pipe: int) -> None:
    port = str(postgres.free_port())
    log = place / "logs" / "server.log"
    arguments = ["--bind", "127.0.0.1", port]
    first = supervisor.add("server", lambda: spawn("http.server", arguments, pipe, log))
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: supervisor.statuses()[0].restarts == 1, "the restart")
    status = supervisor.statuses()[0]
    assert (status.name, status.state) == ("server", "running")
    assert status.pid not in (None, first.pid)
    supervisor.stop()
    assert not psutil.pid_exists(status.pid)


def test_a_part_that_keeps_ending_is_reported_with_its_last_line(
    place: Path, supervisor: Supervisor, pipe: int, said: list[str]
) -> None:
    log = place / "logs" / "broken.log"
    supervisor.add("broken", lambda: spawn("no_such_module_here", [], pipe, log))
    eventually(lambda: supervisor.statuses()[0].state == "failing", "the third failure")
    status = supervisor.statuses()[0]
    assert status.last_error is not None
    assert "No module named no_such_module_here" in status.last_error
    assert any("broken keeps ending" in line and str(log) in line for line in said)


def test_children_end_when_their_launcher_is_killed(place: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from core.local import parent; from core.local.supervise import spawn\n"
        "fds = parent.pipe(); log = Path(sys.argv[1])\n"
        "child = spawn('http.server', ['--bind', '127.0.0.1', '0'], fds[0], log)\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place / "logs" / "child.log")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        child = psutil.Process(int(launcher.stdout.readline()))
        launcher.kill()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child's end")


def test_a_long_log_is_moved_aside_while_its_writer_goes_on(place: Path) -> None:
    log = place / "logs" / "long.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"before\n" * 100)
        supervise.shorten(log, limit=100)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert log.with_name("long.log.1").read_bytes() == b"before\n" * 100


def test_a_last_line_is_shown_without_its_secrets(place: Path) -> None:
    log = place / "logs" / "worker.log"
    log.write_text("first\nno route to postgresql://postgres:hunter22@127.0.0.1/x\n\n")
    assert supervise.last_line(log) == "no route to postgresql://postgres:***@127.0.0.1/x"


def test_no_stack_runs_in_an_ordinary_process() -> None:
    assert stack.status().phase == "absent"
    assert stack.progress() is None
