"""Which processes belong to a Postgres data folder, and how to end them without harming another.

`postmaster.pid` outlives a kill -9 and a reboot, so its process id may by then be anybody's. A
process counts as ours only if it is called postgres and its working folder is the data folder, where
every Postgres process stays for its whole life.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

ORPHANS_END_S = 5.0


@dataclass(frozen=True)
class PidFile:
    """What `postmaster.pid` says: process id and TCP port."""

    pid: int
    port: int


def read_pid_file(cluster: Path) -> PidFile | None:
    """The data folder's `postmaster.pid`; None without one or with one cut short by a crash."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return PidFile(int(lines[0]), int(lines[3]))
    except (FileNotFoundError, IndexError, ValueError):
        return None


def is_ours(process: psutil.Process, cluster: Path) -> bool:
    """Whether `process` is a Postgres process of the data folder `cluster`."""
    try:
        if not process.name().startswith("postgres") or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(os.path.realpath(process.cwd()) == os.path.realpath(cluster))
    except psutil.Error:
        return False


def survivor(cluster: Path) -> psutil.Process | None:
    """The running server of `cluster` that an earlier launcher left behind, if there is one."""
    found = read_pid_file(cluster)
    if found is None:
        return None
    try:
        process = psutil.Process(found.pid)
    except psutil.NoSuchProcess:
        return None
    return process if is_ours(process, cluster) else None


def clear_stale_pid_file(cluster: Path) -> None:
    """Make a `postmaster.pid` harmless whose server is gone; call it only when `survivor` found none.

    Postgres refuses to start while a process with the file's id lives under its own account, whoever
    that is. The id of Postgres' own parent it takes for stale, so ours is written in place of the
    reused one; the rest of the file stays, and with it Postgres' check for its old shared memory.
    """
    path = cluster / "postmaster.pid"
    if not path.exists():
        return
    _end_orphans(cluster)
    found = read_pid_file(cluster)
    if found is None:
        path.unlink()
    elif psutil.pid_exists(found.pid):
        owner = path.stat()
        lines = path.read_text().splitlines(keepends=True)
        replacement = path.with_name("postmaster.pid.new")
        replacement.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))
        replacement.chmod(owner.st_mode & 0o777)
        if os.geteuid() == 0:
            os.chown(replacement, owner.st_uid, owner.st_gid)
        replacement.replace(path)


def end(process: psutil.Process, cluster: Path, *, timeout_s: float = 10.0) -> None:
    """End the server `process` of `cluster`: fast shutdown, then immediate, then kill."""
    for number, patience in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        if not is_ours(process, cluster):
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(patience)
            return


def _end_orphans(cluster: Path) -> None:
    """Backends notice a dead server and leave by themselves; those that do not are ended."""
    deadline = time.monotonic() + ORPHANS_END_S
    while orphans := [process for process in psutil.process_iter() if is_ours(process, cluster)]:
        if time.monotonic() > deadline:
            for process in orphans:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        time.sleep(0.05)
