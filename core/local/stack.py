"""The one-command stack: with no DATABASE_URL the web process brings up everything else itself.

Order: lock on the data folder, Postgres, migrations, then sandbox, clock and worker side by side. The
parts are children that end with this process; Postgres outlives a kill and is adopted by the next start.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from core import database, settings
from core.errors import LocalStackError
from core.local import address as addresses
from core.local import binaries, folder, parent, postgres
from core.local.address import WebAddress
from core.local.folder import Record
from core.local.supervise import PartStatus, Process, Supervisor, spawn
from core.sandbox.safety import ACCOUNT, OutsideServices, check_local
from core.settings import LOOPBACK, Settings
from core.upgrade import upgrade

# Settings that may be given together with the local stack; any other belongs to a configured one.
MAY_BE_SET = {"data_dir", "ops_api_key", "supabase_jwt_secret", "storage_backend", "alert_urls"}
PORTS = ("postgres", "sandbox")

Phase = Literal["absent", "starting", "ready", "failed", "stopping"]


@dataclass(frozen=True)
class StackStatus:
    """The local stack as it is now; `message` says what it is doing or why it failed."""

    phase: Phase
    message: str
    parts: tuple[PartStatus, ...] = ()


_ABSENT = StackStatus("absent", "No local stack runs in this process.")
_current: "Stack | None" = None


def status() -> StackStatus:
    """This process's stack; phase `absent` in every other process and in the configured profile."""
    return _current.status() if _current else _ABSENT


def progress() -> str | None:
    """What the stack is still doing (or why it failed), for a start page; None once pages can be served."""
    found = status()
    return None if found.phase in {"absent", "ready"} else found.message


def attach(current: Settings) -> dict[str, str] | None:
    """The environment of the stack that runs from `current`'s data folder.

    None when there is none, or when `current` is configured or already part of a stack.
    """
    if current.database_url is not None or current.local_stack:
        return None
    binaries.refuse_windows()
    place = folder.place(current)
    record = folder.read_record(place) if folder.is_held(place) else None
    return dict(record.environment) if record and record.environment else None


def say(sentence: str) -> None:
    """One line to the person at the terminal."""
    sys.stderr.write(f"Studio Ops: {sentence}\n")
    sys.stderr.flush()


def begin(current: Settings, address: WebAddress) -> "Stack":
    """Take the data folder for a new stack; whatever can refuse the start does it here, before anything runs.

    Raises LocalStackError with the sentence for the person who started it.
    """
    global _current
    binaries.refuse_windows()
    refuse_production_settings(current)
    place = folder.place(current)
    folder.prepare(place)
    lock = folder.Lock(place)
    if not lock.take():
        raise LocalStackError(_runs_already(place))
    try:
        addresses.check(address)
        _current = Stack(place, lock, address)
    except BaseException:
        lock.release()
        raise
    if place != current.data_path:
        say(
            f"{current.data_path} cannot be entered by the account that runs Postgres for root,"
            f" so the data lies in {place}."
        )
    say(f"starting from {place}; logs in {place / 'logs'}.")
    return _current


class Stack:
    """One local stack, held by this process from `begin` to `stop`."""

    def __init__(self, place: Path, lock: folder.Lock, address: WebAddress) -> None:
        self._folder = place
        self._lock = lock
        self._secrets = folder.load_secrets(place)
        last = folder.read_record(place)
        ports = {name: postgres.free_port(last.ports.get(name) if last else None) for name in PORTS}
        self._record = Record(address.url, os.getpid(), folder.now(), ports)
        folder.write_record(place, self._record)
        self._status = StackStatus("starting", "Starting…")
        self._supervisor = Supervisor(place / "logs", say)
        self._ending = threading.Event()
        self._stopping = threading.Lock()
        self._before: dict[str, str | None] = {}
        self._watch_fds = parent.pipe()

    @property
    def ending(self) -> bool:
        """Whether `stop` has been called."""
        return self._ending.is_set()

    def status(self) -> StackStatus:
        """Phase, sentence and parts as they are now."""
        return replace(self._status, parts=self._supervisor.statuses())

    def bring_up(self) -> None:
        """Postgres, migrations, then the other parts; returns when all are started.

        Raises what went wrong and leaves the phase `failed` with the sentence.
        """
        started = time.monotonic()
        try:
            self._start_database()
            say(f"{self._record.url} is ready after {time.monotonic() - started:.1f} s. Ctrl-C stops it all.")
            self._start_parts()
        except BaseException as error:
            if not self.ending:
                self._status = StackStatus("failed", f"The local stack could not start: {error}")
            raise

    def stop(self) -> None:
        """End every part, Postgres last and with a fast shutdown; returns when all of it has ended."""
        global _current
        with self._stopping:
            if self.ending:
                return
            self._ending.set()
            was_ready = self._status.phase == "ready"
            self._status = StackStatus("stopping", "Stopping…")
            self._supervisor.stop()
            database.close()
            for fd in self._watch_fds:
                os.close(fd)
            self._restore_environment()
            self._lock.release()
            _current = None
            if was_ready:
                say("stopped, nothing runs any more.")

    def _start_database(self) -> None:
        self._status = StackStatus("starting", "Starting Postgres…")
        server = self._supervisor.add("postgres", self._start_postgres)
        assert isinstance(server, postgres.Server)
        if server.adopted:
            say(f"the Postgres of an earlier start (process {server.pid}) still ran and is used again.")
        self._status = StackStatus("starting", "Preparing the database…")
        database.connect(server.url, process="studio-ops web")
        upgrade(server.url, local=True)
        ports = {**self._record.ports, "postgres": server.port}
        environment = self._environment(server.url, ports["sandbox"])
        self._record = replace(self._record, ports=ports, environment=environment)
        folder.write_record(self._folder, self._record)
        self._before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        settings.current.cache_clear()
        self._status = StackStatus("ready", "Ready.")

    def _start_postgres(self) -> Process:
        """Start or adopt it; once the other parts know its address that may not change."""
        wanted = self._record.ports["postgres"]
        server = postgres.start(self._folder, self._secrets.postgres_password, port=wanted)
        if self._record.environment and server.port != wanted:
            server.stop()
            raise LocalStackError(f"Another program has taken Postgres' port {wanted}; waiting for it.")
        return server

    def _start_parts(self) -> None:
        sandbox = ["--port", str(self._record.ports["sandbox"])]
        for name, module, arguments in (
            ("sandbox", "core.sandbox", sandbox),
            ("clock", "jobs", ["clock"]),
            ("worker", "jobs", ["worker"]),
        ):
            log = self._folder / "logs" / f"{name}.log"
            self._supervisor.add(name, partial(spawn, module, arguments, self._watch_fds[0], log))

    def _environment(self, database_url: str, sandbox_port: int) -> dict[str, str]:
        """The settings that this process and its children share."""
        sandbox = f"http://127.0.0.1:{sandbox_port}"
        return {
            "DATABASE_URL": database_url,
            "KIE_BASE_URL": sandbox,
            "KIE_API_KEY": self._secrets.kie_api_key,
            "FAL_QUEUE_URL": f"{sandbox}/fal",
            "FAL_JWKS_URL": f"{sandbox}/fal/.well-known/jwks.json",
            "FAL_KEY": self._secrets.kie_api_key,
            "REPLICATE_BASE_URL": f"{sandbox}/replicate/v1",
            "REPLICATE_API_TOKEN": self._secrets.kie_api_key,
            "REPLICATE_OWNER": ACCOUNT,
            "RUNPOD_BASE_URL": f"{sandbox}/runpod/v2",
            "RUNPOD_API_KEY": self._secrets.kie_api_key,
            "HF_ENDPOINT": f"{sandbox}/hf",
            "HUGGINGFACE_API_TOKEN": self._secrets.kie_api_key,
            "HUGGINGFACE_USERNAME": ACCOUNT,
            "KIE_CALLBACK_SECRET": self._secrets.kie_callback_secret,
            "FILES_SIGNING_KEY": self._secrets.files_signing_key,
            "PUBLIC_BASE_URL": self._record.url,
            "STUDIO_OPS_DATA_DIR": str(self._folder),
            "STUDIO_OPS_LOCAL_STACK": sandbox,
        }

    def _restore_environment(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        settings.current.cache_clear()


def refuse_production_settings(current: Settings) -> None:
    """LocalStackError if settings of a configured Studio Ops are given without its DATABASE_URL.

    SettingsError if the environment holds the keys of a service that the sandbox stands in for.
    """
    check_local(current, OutsideServices())
    given = current.model_fields_set - MAY_BE_SET
    if not current.alerts_stay_here:
        given |= {"alert_urls"}
    if urlsplit(current.public_base_url).hostname in LOOPBACK:
        given -= {"public_base_url"}
    if not given:
        return
    fields = type(current).model_fields
    names = sorted(str(fields[name].validation_alias or name).upper() for name in given)
    raise LocalStackError(
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} set, but DATABASE_URL is not. Set it to run"
        " Studio Ops configured, or unset the others to run the local stack."
    )


def _runs_already(place: Path) -> str:
    record = folder.read_record(place)
    if record is None:
        return f"Studio Ops already runs from {place}."
    since = record.since.replace("T", " ").replace("+00:00", " UTC")
    return (
        f"Studio Ops already runs from {place}: {record.url}, process {record.pid}, since {since}."
        " Open that address, stop it with Ctrl-C, or start a second one with another STUDIO_OPS_DATA_DIR"
        " and another port."
    )
