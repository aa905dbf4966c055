"""The data folder of a local stack: where it is, who holds it, its secrets and what runs from it."""

import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from core.errors import LocalStackError
from core.local import binaries
from core.settings import Settings

if sys.platform != "win32":
    import fcntl

SYSTEM_FOLDER = Path("/var/lib/studio-ops")
# A stack that was just killed, and somebody who only looks whether one runs, let go within this time.
LOCK_PATIENCE_S = 1.0
Port = Annotated[int, Field(ge=1, le=65535)]
# Of an environment variable.
Name = Annotated[str, Field(pattern=r"^[A-Z_]+$")]
Value = Annotated[str, Field(pattern=r"^[^\x00]*$")]


@dataclass(frozen=True)
class Secrets:
    """Made once for a data folder, kept in its secrets.json."""

    postgres_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    kie_api_key: str = field(default_factory=lambda: f"sandbox-{secrets.token_urlsafe(24)}")
    kie_callback_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    files_signing_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))


@dataclass(frozen=True)
class Record:
    """What the stack of a data folder is or last was: kept in its stack.json, for its owner alone."""

    url: str
    pid: int
    since: str
    ports: dict[str, Port] = field(default_factory=dict)
    environment: dict[Name, Value] = field(default_factory=dict)


_RECORD = TypeAdapter(Record)


def place(settings: Settings) -> Path:
    """The data folder to use: STUDIO_OPS_DATA_DIR, unless Postgres could not get there.

    Root's Postgres runs as an unprivileged account. Where that account cannot enter, the data lies in
    /var/lib/studio-ops under a name made from the folder's own path.
    """
    wanted = settings.data_path
    account = binaries.account_for(wanted / "postgres")
    if account is None:
        return wanted
    existing = next(parent for parent in wanted.parents if parent.exists())
    if binaries.can_enter(existing, account):
        return wanted
    return SYSTEM_FOLDER / hashlib.sha256(str(wanted).encode()).hexdigest()[:12]


def prepare(folder: Path) -> None:
    """Make the data folder; others may pass through it (root's Postgres has to), not list it."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        (folder / "logs").mkdir(exist_ok=True)
        (folder / "logs").chmod(0o700)
    except OSError as error:
        raise LocalStackError(
            f"The data folder {folder} cannot be used: {error.strerror}."
            " Set STUDIO_OPS_DATA_DIR to a folder that this account can write."
        ) from None


class Lock:
    """The exclusive hold of one process on a data folder; the kernel lets go when the process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._fd: int | None = None

    def take(self) -> bool:
        """Whether the folder is now this process's own."""
        fd = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    return False
                time.sleep(0.05)
            else:
                self._fd = fd
                return True

    def release(self) -> None:
        """Let go; nothing happens if it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(folder: Path) -> bool:
    """Whether a process holds the data folder now."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def load_secrets(folder: Path) -> Secrets:
    """The folder's secrets, made on first use; one that is missing from the file is made anew.

    LocalStackError when the file has content that cannot be used.
    """
    path = folder / "secrets.json"
    known = _read(path)
    if known is None and _is_blank(path):
        known = {}
    if known is None or not all(isinstance(value, str) for value in known.values()):
        raise LocalStackError(
            f"{path} is damaged, and nothing was started. Restore it from a backup. Or move it away: then"
            " new secrets are made, and links to files that were handed out stop working."
        )
    made = Secrets(**{name: str(known[name]) for name in Secrets.__dataclass_fields__ if known.get(name)})
    if asdict(made) != known:
        write(path, asdict(made))
    return made


def read_record(folder: Path) -> Record | None:
    """What stack.json says; None without a usable one."""
    found = _read(folder / "stack.json")
    try:
        return _RECORD.validate_python(found)
    except ValidationError:
        return None


def write_record(folder: Path, record: Record) -> None:
    """Keep `record` as the folder's stack.json."""
    write(folder / "stack.json", asdict(record))


def now() -> str:
    """This moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(path: Path, value: dict[str, Any]) -> None:
    """Replace the JSON file `path` in one step, readable by its owner alone."""
    unfinished = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        unfinished.unlink()
    fd = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file; None when there is no file, or anything else in it."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_blank(path: Path) -> bool:
    """Whether the file is missing or empty."""
    try:
        return not path.read_bytes().strip()
    except FileNotFoundError:
        return True
    except OSError:
        return False
