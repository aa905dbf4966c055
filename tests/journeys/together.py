"""`python -m tests.journeys.together N WHAT`: N processes that do it at the same moment; exit 1 if one fails.

They are forked from one that has imported the product, each as fresh as one that was started.
"""

import os
import sys
import traceback
from collections.abc import Callable

import apprise

from core import database
from core.alerts.service import GATHERED_FOR
from core.notifications import service
from jobs import alerts

WHAT: dict[str, Callable[[], object]] = {
    "look": alerts.run,
    "deliver": lambda: service.deliver(lambda: database.now() + GATHERED_FOR),
}


def _begun(work: Callable[[], object], gate: int, shut: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(shut)
        os.read(gate, 1)  # ends when the last holder of the other end has closed it
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of a process
        traceback.print_exc()
    finally:
        os._exit(code)


def main(processes: int, what: str) -> int:
    """1 if one of them failed."""
    apprise.Apprise.instantiate("json://127.0.0.1")  # has it read its hundred services, before there are many
    gate, shut = os.pipe()
    crowd = [_begun(WHAT[what], gate, shut) for _ in range(processes)]
    os.close(shut)
    codes = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in crowd]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
