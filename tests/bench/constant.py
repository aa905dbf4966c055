"""What to compare the pages with: the product itself, whose pages draw constants in place of what they would
read. The constants are what the same pages read once, before the first that is measured; they lie in the file
that `STUDIO_OPS_CONSTANTS` names.
"""

import functools
import importlib
import inspect
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

from core import database, settings

FILE = Path(os.environ["STUDIO_OPS_CONSTANTS"])
OPENERS = ("transaction", "reading", "statement")

# The file is our own, written by the process before.
_constants: dict[str, Any] = pickle.loads(FILE.read_bytes()) if FILE.exists() else {}  # noqa: S301
_opened = 0


def _counted(opener: Callable[[], Any]) -> Callable[[], Any]:
    @contextmanager
    def counting() -> Iterator[Any]:
        global _opened
        _opened += 1
        with opener() as connection:
            yield connection

    return counting


def _plain(value: object) -> str:
    """What tells one call from another; the time of day doesn't."""
    return re.sub(r"datetime\.datetime\(.*?\)\)|0x[0-9a-f]+", "", repr(value))


def _constant(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose answer is kept as soon as one was read from the database."""

    @functools.wraps(function)
    def answered(*arguments: Any, **named: Any) -> Any:
        told = (*arguments, *sorted(named.items()))
        key = f"{function.__module__}.{function.__name__} " + _plain(
            [one for one in told if not isinstance(one, date)]
        )
        if key in _constants:
            return _constants[key]
        before = _opened
        found = function(*arguments, **named)
        if _opened > before:
            _keep(key, found)
        return found

    return answered


def _keep(key: str, found: object) -> None:
    try:
        pickle.dumps(found)
    except (TypeError, AttributeError, pickle.PicklingError):
        return
    _constants[key] = found
    FILE.write_bytes(pickle.dumps(_constants))


def _asked_by_pages() -> set[str]:
    """The names of the modules of core that pages import."""
    texts = [path.read_text() for path in (settings.ROOT / "pages").rglob("*.py")]
    lines = [
        line for text in texts for line in re.findall(r"^from (core[\w.]*) import ([\w, ]+)", text, re.M)
    ]
    named = {
        f"{package}.{one.split(' as ')[0].strip()}" for package, what in lines for one in what.split(",")
    }
    return named | {package for package, _ in lines}


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def _readable(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, function in inspect.getmembers(module, inspect.isfunction):
        ours = function.__module__ == module.__name__ and not name.startswith("_")
        if ours and not inspect.isgeneratorfunction(inspect.unwrap(function)):
            yield name, function


for _name in OPENERS:
    setattr(database, _name, _counted(getattr(database, _name)))
for _found in filter(None, map(_module, sorted(_asked_by_pages() - {"core.database", "core.settings"}))):
    for _name, _function in _readable(_found):
        setattr(_found, _name, _constant(_function))

from app import app  # noqa: E402, F401
