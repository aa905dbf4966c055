"""Processes that end with the one that started them, however that one ended.

The launcher keeps the writing end of a pipe, its children hold the reading end. When the launcher
is gone, even by kill -9, the kernel closes the pipe and every child reads the end of it.
"""

import os
import signal
import threading
import time

PARENT_FD = "STUDIO_OPS_PARENT_FD"
# What a child may still finish, seconds, once its launcher is gone.
GRACE_S = 3.0


def pipe() -> tuple[int, int]:
    """A new pipe as (reading end for the children, writing end to keep)."""
    reading, writing = os.pipe()
    return reading, writing


def end_with_parent() -> None:
    """Watch the launcher's pipe from a thread: SIGTERM to this process when it closes, then a hard end.

    Does nothing in a process that no launcher started.
    """
    number = os.environ.pop(PARENT_FD, None)
    if number is None:
        return
    os.set_inheritable(int(number), False)
    threading.Thread(target=_watch, args=(int(number),), name="parent-watch", daemon=True).start()


def _watch(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
