"""What the storage really wrote: every file that gets its final name in a folder, as the kernel tells it.

The local storage has no request log of its own, and a table of ours would only repeat what we believe.
"""

import ctypes
import os
import select
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# inotify(7)
_MOVED_TO, _OVERFLOW = 0x80, 0x4000
_HEAD = struct.Struct("iIII")


class StorageLog:
    """How often each name appeared in the folder since the log was opened."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lost = False

    def note(self, events: bytes) -> None:
        """Count the events of one read."""
        at = 0
        while at < len(events):
            _, mask, _, length = _HEAD.unpack_from(events, at)
            name = events[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0").decode()
            at += _HEAD.size + length
            self._lost = self._lost or bool(mask & _OVERFLOW)
            if mask & _MOVED_TO:
                self._counts[name] += 1

    def counts(self) -> Counter[str]:
        """The counts so far; RuntimeError when the kernel dropped some."""
        if self._lost:
            raise RuntimeError("the kernel dropped events of the storage's folder")
        return Counter(self._counts)


@contextmanager
def watching(folder: Path) -> Iterator[StorageLog]:
    """Count what is stored right in `folder`, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(folder), _MOVED_TO) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    log, stopping = StorageLog(), threading.Event()
    reader = threading.Thread(target=_read, args=(descriptor, log, stopping), daemon=True)
    reader.start()
    try:
        yield log
    finally:
        stopping.set()
        reader.join(10)
        os.close(descriptor)


def _read(descriptor: int, log: StorageLog, stopping: threading.Event) -> None:
    """Read until asked to stop, and then what is still waiting."""
    while select.select([descriptor], [], [], 0.1)[0] or not stopping.is_set():
        if select.select([descriptor], [], [], 0)[0]:
            log.note(os.read(descriptor, 64 * 1024))
