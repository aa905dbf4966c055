"""How often one caller may ask of one process: so many at once, then so many a second. It asks
nobody, so that somebody who is refused costs nothing."""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from core.errors import TooManyRequests

# Callers that are remembered; one who is forgotten begins anew.
CALLERS = 20_000


class OwnPace:
    """A bucket of `most` requests a caller, which fills with `per_second`."""

    def __init__(
        self, most: int, per_second: float, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._per_second, self._what = most, per_second, what
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def forget(self) -> None:
        """Let everybody begin anew."""
        self._left.clear()

    def take(self, caller: str) -> None:
        """Count one request. Raises TooManyRequests that says how long to wait."""
        now = self._clock()
        left, at = self._left.get(caller, (float(self._most), now))
        left = min(self._most, left + (now - at) * self._per_second)
        if left < 1:
            wait = ceil((1 - left) / self._per_second)
            raise TooManyRequests(
                f"Too many {self._what}: {self._most} at once, then one every"
                f" {1 / self._per_second:g} s. Wait {wait} s.",
                retry_after=wait,
            )
        self._left[caller] = (left - 1, now)
        self._left.move_to_end(caller)
        if len(self._left) > CALLERS:
            self._left.popitem(last=False)
