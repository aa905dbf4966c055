"""How often one caller may ask, whichever process answers: so many at once, then so many a second.

A process takes a tenth of what a caller may ask at once from the allowance that all processes share, and asks
for more when that is used up: one question for ten requests, and none for who was just refused.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from anyio import to_thread

from core.errors import TooManyRequests
from core.work import allowances
from core.work.allowances import Allowance

# Callers that a process remembers; who is forgotten has only lost what was taken for them.
CALLERS = 20_000
# What was taken for a caller and not used is no longer theirs; the allowance has grown meanwhile.
KEPT_S = 5.0


@dataclass
class _Caller:
    """What this process has taken for a caller and until when it is theirs, and until when nothing is to be
    had; by the clock."""

    left: int = 0
    kept_until: float = 0.0
    refused_until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pace:
    """An allowance for each caller; `what` is what its requests are called."""

    def __init__(self, of: Allowance, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._of, self._what, self._clock = of, what, clock
        self._at_once = max(1, of.most // 10)
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    def forget(self) -> None:
        """Let go of whatever was taken."""
        self._callers.clear()

    async def take(self, name: str) -> None:
        """Count one request. Raises TooManyRequests that says how long to wait."""
        caller = self._callers.setdefault(name, _Caller())
        self._callers.move_to_end(name)
        if len(self._callers) > CALLERS:
            self._callers.popitem(last=False)
        if self._counted(caller):
            return
        async with caller.asking:
            if self._counted(caller):
                return
            granted = await to_thread.run_sync(allowances.take, self._of, name, self._at_once)
            now = self._clock()
            caller.left, caller.kept_until = granted.requests, now + KEPT_S
            caller.refused_until = 0.0 if granted.requests else now + granted.wait_s
            self._counted(caller)

    def _counted(self, caller: _Caller) -> bool:
        """Take one of what is there; False when more is to be asked for. Raises TooManyRequests."""
        now = self._clock()
        if caller.left and now < caller.kept_until:
            caller.left -= 1
            return True
        if now < caller.refused_until:
            wait = ceil(caller.refused_until - now)
            raise TooManyRequests(
                f"Too many {self._what}: {self._of.most} at once, then one every"
                f" {1 / self._of.per_second:g} s. Wait {wait} s.",
                retry_after=wait,
            )
        return False
