"""Requests that are kept waiting on purpose: who asked can be watched, or killed, before the answer."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.sandbox.store import Entry, now_ms

# Nobody waits for ever, should whoever asked for the hold be gone.
LONGEST_SECONDS = 120.0


class Hold(BaseModel):
    """Which request is held, once: the `nth` of its `kind` from now on, as the log names kinds.

    On `arrival` nothing has been done yet; at its `answer` everything has, and only the answer is kept back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(min_length=1)
    moment: Literal["arrival", "answer"]
    nth: int = Field(default=1, ge=1)


@dataclass
class _Held:
    """A request that waits."""

    entry: Entry
    since: int = field(default_factory=now_ms)


class Holds:
    """At most one hold of a sandbox. Lives in its event loop."""

    def __init__(self) -> None:
        self._wanted: Hold | None = None
        self._seen = 0
        self._held: _Held | None = None
        self._open = asyncio.Event()

    def want(self, hold: Hold | None) -> None:
        """Hold that one, and let go of whatever is held now."""
        self._open.set()
        self._open = asyncio.Event()
        self._wanted, self._seen, self._held = hold, 0, None

    def wants(self, moment: str, kind: str) -> bool:
        """Whether requests of that kind are counted at this moment."""
        return self._wanted is not None and (self._wanted.kind, self._wanted.moment) == (kind, moment)

    async def at(self, moment: str, entry: Entry) -> None:
        """Count it, and wait here when it is the one."""
        if self._wanted is None or not self.wants(moment, entry.kind):
            return
        self._seen += 1
        if self._seen != self._wanted.nth:
            return
        self._held = _Held(entry)
        try:
            await asyncio.wait_for(self._open.wait(), LONGEST_SECONDS)
        except TimeoutError:
            self._held = None

    def told(self) -> dict[str, Any]:
        """What is wanted and what is held, for the control API."""
        held = self._held
        return {
            "wanted": self._wanted.model_dump() if self._wanted else None,
            "held": {"kind": held.entry.kind, "task": held.entry.task, "generation": held.entry.generation,
                     "since": held.since}
            if held
            else None,
        }  # fmt: skip
