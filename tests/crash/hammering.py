"""A process that asks KIE as fast as the shared limiter lets it.

Reads lines `PRIORITY TASK SECONDS` from standard input and answers each with the number of its reads, and by
how many milliseconds the latest of them had missed its place.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from core.deliveries import tools
from core.work import limiter
from core.work.limiter import Priority

THREADS = 4
AT_ONCE = 3


def hammer(priority: Priority, task: str, ends: float) -> tuple[int, float]:
    """Reserve and read until `ends`; how many reads, and the seconds by which the latest was late."""
    with_tools, reads, late = tools.current(), 0, 0.0
    while time.monotonic() < ends:
        places = limiter.reserve(limiter.READS["kie"], AT_ONCE, priority)
        given = time.monotonic()
        for delay in places.delays_s:
            time.sleep(max(0.0, given + delay - time.monotonic()))
            with_tools.providers["kie"].record(task)
            late = max(late, time.monotonic() - given - delay)
            reads += 1
        if not places:
            time.sleep(0.05)
    return reads, late


def main() -> None:
    """Hammer as each line says, with connections that are open already, as a worker's are."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(tools.current().providers["kie"].record, ["task_unknown"] * THREADS))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, task, seconds = line.split()
        ends = time.monotonic() + float(seconds)
        with ThreadPoolExecutor(THREADS) as pool:
            calls = [pool.submit(hammer, Priority[name], task, ends) for _ in range(THREADS)]
        told = [call.result() for call in calls]
        late_ms = round(1000 * max(late for _, late in told))
        sys.stdout.write(f"{sum(reads for reads, _ in told)} {late_ms}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
