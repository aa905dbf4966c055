"""A check and what it says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from core.settings import Settings


@dataclass(frozen=True)
class Verdict:
    """What was looked at, whether it is well, and a sentence with the remedy, never with a secret.

    `warning` is a fault that stops nothing. `bucket` names the one that can be mended at a button.
    """

    name: str
    good: bool
    message: str
    warning: bool = False
    bucket: str | None = None

    def line(self) -> str:
        """The verdict as one line."""
        mark = "warn" if self.warning else "ok  " if self.good else "FAIL"
        return f"{mark}  {self.name}: {self.message}"


@dataclass(frozen=True)
class Check:
    """Something that can be looked at by itself. One that `needs_database` says nothing while it is away."""

    key: str
    title: str
    looks_at: str
    run: Callable[[Settings, datetime], Iterator[Verdict]]
    needs_database: bool = False


@dataclass(frozen=True)
class Result:
    """What a check last said, who asked, and when; it took `took_ms`."""

    key: str
    verdicts: tuple[Verdict, ...]
    ended_at: datetime
    took_ms: int
    asked_by: str
    asked_by_id: str | None


@dataclass(frozen=True)
class Setting:
    """A setting without its value: what it is for, whether it is given, and whether it is a secret."""

    name: str
    purpose: str
    given: bool
    has_default: bool
    secret: bool
