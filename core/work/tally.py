"""How much a worker gets done: counted in its memory, told with its heartbeat."""

import threading
from collections import Counter, deque
from datetime import datetime, timedelta

# A pace is that of the last minutes: one of seconds would jump, one of an hour would hide an end.
WINDOW = timedelta(minutes=5)


class Tally:
    """Jobs that were done, by queue; many threads count, one tells."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._done: Counter[str] = Counter()
        self._marks: deque[tuple[datetime, Counter[str]]] = deque()

    def count(self, queue: str) -> None:
        """One more job of that queue is done, well or not."""
        with self._guard:
            self._done[queue] += 1

    def per_minute(self, now: datetime) -> dict[str, float]:
        """Jobs a minute of each queue within the last minutes; nothing at the first call, which begins it."""
        with self._guard:
            done = Counter(self._done)
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW:
            self._marks.popleft()
        since, before = self._marks[0]
        minutes = (now - since) / timedelta(minutes=1)
        if minutes <= 0:
            return {}
        return {queue: round((number - before[queue]) / minutes, 1) for queue, number in done.items()}
