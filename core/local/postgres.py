"""The embedded Postgres of the local stack: made, started, adopted and stopped.

The server runs in the foreground as our child, on 127.0.0.1 alone, with a password. It outlives a
killed launcher; the next start adopts it.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]
import psycopg

from core.errors import LocalStackError
from core.local import binaries, postmaster
from core.local.binaries import Account

MAJOR = 18
# Recovery after a crash replays at most max_wal_size, seconds on any disk; this only bounds a hang.
START_TIMEOUT_S = 300.0
ADOPT_TIMEOUT_S = 60.0
PORT_ATTEMPTS = 5

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "password_encryption": "scram-sha-256",
}
# For databases that a test throws away.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class Server:
    """A running Postgres. `adopted` means that an earlier launcher had started it."""

    url: str
    port: int
    pid: int
    cluster: Path
    adopted: bool = False
    _process: psutil.Process | None = None
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def alive(self) -> bool:
        """Whether the server process still runs."""
        if self._child is not None:
            return self._child.poll() is None
        return self._process is not None and postmaster.is_ours(self._process, self.cluster)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Fast shutdown; after `timeout_s` seconds the hard way. Loses nothing that was committed."""
        if self._process is not None:
            postmaster.end(self._process, self.cluster, timeout_s=timeout_s)
        if self._child is not None:
            self._child.wait()


@contextlib.contextmanager
def running(data_dir: Path, *, password: str | None = None, major: int = MAJOR) -> Iterator[Server]:
    """A Postgres whose data stays in `data_dir`/postgres, stopped at the end."""
    server = start(data_dir, password or secrets.token_urlsafe(24), major=major)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def temporary(*, major: int = MAJOR) -> Iterator[Server]:
    """A Postgres for tests, in a folder of its own that is removed at the end; fast, not crash-safe."""
    with temporary_folder() as folder:
        server = start(folder, secrets.token_urlsafe(24), major=major, durable=False)
        try:
            yield server
        finally:
            server.stop(timeout_s=3)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that the account of Postgres can enter, removed at the end."""
    account = binaries.account_for(Path("/nonexistent"))
    places = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108
    base = next((place for place in places if place.is_dir() and binaries.can_enter(place, account)), None)
    folder = Path(tempfile.mkdtemp(prefix="studio-ops-", dir=base)).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(
    data_dir: Path, password: str, *, major: int = MAJOR, port: int | None = None, durable: bool = True
) -> Server:
    """Start the Postgres in `data_dir`/postgres, or adopt the one that runs there already.

    Made on first use with `major` (an existing one keeps its own); `port` is taken if it is free.
    The caller holds the data folder's lock. Raises LocalStackError with the server's last words.
    """
    binaries.refuse_windows()
    cluster = data_dir / "postgres"
    account = binaries.account_for(cluster)
    if not (cluster / "PG_VERSION").exists():
        _create(cluster, account, binaries.tools(major, account, data_dir), password)
    tools = binaries.tools(int((cluster / "PG_VERSION").read_text()), account, data_dir)
    if (left_behind := postmaster.survivor(cluster)) is not None:
        if (server := _adopt(left_behind, cluster, password)) is not None:
            return server
        postmaster.end(left_behind, cluster)
    postmaster.clear_stale_pid_file(cluster)
    log = data_dir / "logs" / "postgres.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    launch = _Launch(cluster, account, tools, log, durable)
    server = launch.serve(password, port)
    if server is None:
        launch.set_password(password)
        server = launch.serve(password, port)
    if server is None:
        raise LocalStackError(f"Postgres in {cluster} refuses its own password. See {log}.")
    return server


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nothing on 127.0.0.1 uses it, else a port that is free now."""
    for port in (preferred, 0):
        if port is None:
            continue
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise LocalStackError("No free port was found on 127.0.0.1.")


def _address(port: int, password: str) -> str:
    return f"postgresql://postgres:{quote(password, safe='')}@127.0.0.1:{port}/postgres"


def _create(cluster: Path, account: Account | None, tools: Path, password: str) -> None:
    """initdb beside the final place and rename, so that an interrupted one leaves nothing half-made."""
    unfinished = cluster.with_name("postgres.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(cluster, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    secret = cluster.with_name("postgres.new.password")
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(password + "\n")
    if account is not None:
        for path in (unfinished, secret):
            os.chown(path, account.uid, account.gid)
    modern = int(_major(tools)) >= 17  # the collation that behaves the same on every machine
    command = [
        *(str(tools / "initdb"), "--pgdata", str(unfinished), "--username", "postgres"),
        *("--auth", "scram-sha-256", "--pwfile", str(secret), "--encoding", "UTF8", "--locale", "C"),
        *(["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"] if modern else []),
    ]
    done = subprocess.run(  # noqa: S603
        command,
        cwd="/",
        env=_environment(unfinished),
        capture_output=True,
        text=True,
        umask=0o077,
        check=False,
        **binaries.as_account(account),
    )
    secret.unlink()
    if done.returncode:
        raise LocalStackError(f"Postgres could not be set up in {cluster}: {_last_words(done.stderr)}")
    unfinished.rename(cluster)


def _major(tools: Path) -> str:
    """The major version of the server binary, such as `18`."""
    said = subprocess.run(  # noqa: S603
        [tools / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return said.split()[2].split(".")[0]


def _environment(home: Path) -> dict[str, str]:
    """Nothing of this process's environment reaches the server, where PG* variables would steer it."""
    return {"LC_ALL": "C", "TZ": "UTC", "HOME": str(home), "PATH": os.defpath}


def _last_words(text: str, lines: int = 3) -> str:
    found = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(found[-lines:]) or "it said nothing"


def _adopt(process: psutil.Process, cluster: Path, password: str) -> Server | None:
    """The server that runs already, if it answers to our password; None if it has to be replaced."""
    found = postmaster.read_pid_file(cluster)
    if found is None:
        return None
    url = _address(found.port, password)
    deadline = time.monotonic() + ADOPT_TIMEOUT_S
    while time.monotonic() < deadline and postmaster.is_ours(process, cluster):
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "starting up" not in str(error) and "recovery" not in str(error):
                return None
            time.sleep(0.1)
            continue
        if row is None or os.path.realpath(row[0]) != os.path.realpath(cluster):
            return None
        return Server(url, found.port, process.pid, cluster, adopted=True, _process=process)
    return None


@dataclass(frozen=True)
class _Launch:
    """One data folder with what is needed to run a server on it."""

    cluster: Path
    account: Account | None
    tools: Path
    log: Path
    durable: bool

    def serve(self, password: str, port: int | None) -> Server | None:
        """A server that answers; None if it refuses the password."""
        for _ in range(PORT_ATTEMPTS):
            port = free_port(port)
            begin = self.log.stat().st_size if self.log.exists() else 0
            child = self._spawn(port)
            url = _address(port, password)
            try:
                answer = _wait_until_it_answers(child, url)
            except BaseException:
                self._end(child)
                raise
            if answer == "ready":
                process = psutil.Process(child.pid)
                return Server(url, port, child.pid, self.cluster, _process=process, _child=child)
            if answer == "password":
                self._end(child)
                return None
            with self.log.open(errors="replace") as file:
                file.seek(begin)
                words = file.read()
            if "Address already in use" not in words:
                raise LocalStackError(
                    f"Postgres did not start: {_last_words(words)}. Its whole log is {self.log}."
                )
            port = None
        raise LocalStackError(f"Postgres found no free port in {PORT_ATTEMPTS} attempts. See {self.log}.")

    def set_password(self, password: str) -> None:
        """Give the stopped server a new password, in single-user mode, which asks for none."""
        done = subprocess.run(  # noqa: S603
            [self.tools / "postgres", "--single", "-D", self.cluster, "postgres"],
            input=f"ALTER ROLE postgres PASSWORD '{password.replace(chr(39), chr(39) * 2)}'\n",
            cwd=self.cluster,
            env=_environment(self.cluster),
            capture_output=True,
            text=True,
            umask=0o077,
            check=False,
            **binaries.as_account(self.account),
        )
        if done.returncode:
            raise LocalStackError(f"Postgres in {self.cluster} took no new password; see {self.log}.")

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            postmaster.end(psutil.Process(child.pid), self.cluster)
            child.wait()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        settings = {**SERVER_SETTINGS, "port": str(port), **({} if self.durable else NOT_DURABLE)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [self.tools / "postgres", "-D", self.cluster, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.cluster,
                env=_environment(self.cluster),
                umask=0o077,
                start_new_session=True,
                **binaries.as_account(self.account),
            )


def _wait_until_it_answers(child: subprocess.Popen[bytes], url: str) -> str:
    """`ready`, `password` (refused) or `ended`; LocalStackError if it does neither for minutes."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            return "ended"
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                return "password"
            time.sleep(0.02)
        else:
            return "ready"
    raise LocalStackError(f"Postgres (process {child.pid}) did not answer within {START_TIMEOUT_S:.0f} s.")
