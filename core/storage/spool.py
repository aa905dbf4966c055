"""A file on its way to a remote backend, kept on this machine's disk until it is whole.

The spool file has no name: whatever kills the process, nothing of it is left.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.storage.buckets import Bucket
from core.storage.contract import ObjectInfo, Progress, check_key
from core.storage.objects import named_errors
from core.storage.rules import check_rules

CHUNK = 256 * 1024


class Spool:
    """Bytes on disk: appended, then read from any place, any number of times."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self._descriptor).st_size

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; StorageError with the remedy when the disk is full."""
        rest = memoryview(chunk)
        with named_errors(self._folder):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with named_errors(self._folder):
            return os.pread(self._descriptor, length, offset)

    def chunks(self, progress: Progress | None = None, size: int = CHUNK) -> Iterator[bytes]:
        """All bytes from the start; `progress` is called before each chunk."""
        offset = 0
        while chunk := self.read_at(offset, size):
            if progress:
                progress()
            offset += len(chunk)
            yield chunk


# Sends a whole spool to its key: bucket, path, content type, spool, progress.
Send = Callable[[Bucket, str, str, Spool, Progress | None], ObjectInfo]


class SpooledUpload:
    """See `core.storage.contract.Upload`; `send` publishes the whole file in one step."""

    def __init__(self, bucket: Bucket, spool: Spool, send: Send) -> None:
        self._bucket = bucket
        self._spool = spool
        self._send = send

    def write(self, chunk: bytes) -> None:
        self._spool.write(chunk)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._spool.read_at(offset, length)

    def commit(self, path: str, content_type: str, progress: Progress | None = None) -> ObjectInfo:
        check_rules(self._bucket, check_key(path), content_type, self._spool.size)
        return self._send(self._bucket, path, content_type, self._spool, progress)


@contextmanager
def spooled(folder: Path, bucket: Bucket, send: Send) -> Iterator[SpooledUpload]:
    """An upload that spools into `folder`, which lies on a disk and not in memory as /tmp may."""
    with named_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 closed below
    with file:
        yield SpooledUpload(bucket, Spool(folder, file.fileno()), send)
