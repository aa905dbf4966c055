"""Storage in a folder of this machine: `{root}/{bucket}/{path}`.

A file is written beside the buckets, synced, and renamed into its place, so that a crash at any
moment leaves either the whole file or nothing that a reader could see. Plain `os` calls, because
obstore's local store has no signed links and keeps no content type (0.12).
"""

import errno
import os
import stat as stat_bits
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.errors import NotFound, StorageError
from core.storage import links
from core.storage.buckets import Bucket
from core.storage.contract import Kind, ObjectInfo, Progress, check_key
from core.storage.rules import check_rules, content_type_of, known

CHUNK = 256 * 1024
_INCOMING = ".incoming"
_ABANDONED_AFTER = timedelta(days=1)


class LocalStorage:
    """A folder as a `core.storage.contract.Storage`; any number of processes may share it."""

    kind: Kind = "local"

    def __init__(
        self,
        root: Path,
        signing_key: bytes,
        buckets: Mapping[str, Bucket],
        before_keeping: Callable[[str], None] | None = None,
    ) -> None:
        """`before_keeping` is asked before a file becomes visible; its OSError is the folder's own."""
        self._before_keeping = before_keeping
        self._root = root
        self._key = signing_key
        self._buckets = buckets
        self._swept = False

    @contextmanager
    def upload(self, bucket: str) -> Iterator["LocalUpload"]:
        rules = self._bucket(bucket)
        with named_errors(self._root):
            incoming = self._incoming()
            part = incoming / uuid.uuid4().hex
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            yield LocalUpload(self._root, rules, part, descriptor, self._before_keeping)
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                part.unlink()

    def stat(self, bucket: str, path: str) -> ObjectInfo | None:
        place = self._place(bucket, path)
        with named_errors(self._root):
            try:
                found = place.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return _info(bucket, path, found) if stat_bits.S_ISREG(found.st_mode) else None

    def find(self, bucket: str, prefix: str, limit: int = 1000) -> list[ObjectInfo]:
        check_key(prefix.rstrip("/") or "x")
        base = self._root / self._bucket(bucket).name
        folder = base / prefix.rpartition("/")[0]
        with named_errors(self._root):
            paths = sorted(
                name
                for top, _, files in os.walk(folder)
                for file in files
                if (name := str((Path(top) / file).relative_to(base))).startswith(prefix)
            )
        return [info for path in paths[:limit] if (info := self.stat(bucket, path))]

    def walk(self, bucket: str) -> Iterator[ObjectInfo]:
        base = f"{self._root / self._bucket(bucket).name}/"
        folders = [base]
        while folders:
            with named_errors(self._root), _entries(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{entry.path}/")
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            yield _info(bucket, entry.path.removeprefix(base), entry.stat())

    def open(self, bucket: str, path: str) -> "LocalReader":
        place = self._place(bucket, path)
        with named_errors(self._root):
            try:
                descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except (FileNotFoundError, NotADirectoryError):
                raise _not_found(bucket, path) from None
            found = os.fstat(descriptor)
        if not stat_bits.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise _not_found(bucket, path)
        return LocalReader(_info(bucket, path, found), descriptor, self._root)

    def delete(self, bucket: str, path: str) -> bool:
        place = self._place(bucket, path)
        with named_errors(self._root):
            try:
                place.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return False
            _sync_folder(place.parent)
        return True

    def url(self, bucket: str, path: str) -> str:
        return links.link(self._key, self._bucket(bucket).name, path)

    def signed_url(self, bucket: str, path: str, expires_in: timedelta, session: str | None = None) -> str:
        return links.link(self._key, self._bucket(bucket).name, path, datetime.now(UTC) + expires_in, session)

    def close(self) -> None:
        pass

    def check_link(
        self, bucket: str, path: str, signature: str, expires: str | None, session: str | None = None
    ) -> links.LinkState:
        """Whether a link to this storage, taken apart, is good now; its sign-in is not looked at."""
        return links.check_link(self._key, bucket, path, signature, expires, datetime.now(UTC), session)

    def prepare(self, bucket: Bucket) -> str:
        folder = self._root / self._bucket(bucket.name).name
        outcome = "unchanged" if folder.is_dir() else "made"
        with named_errors(self._root):
            _make_folder(folder)
        return outcome

    def check(self, bucket: str) -> None:
        with self.upload(bucket) as upload, named_errors(self._root):
            upload.write(b"check")
            _make_folder(self._root / bucket)

    def _bucket(self, name: str) -> Bucket:
        return known(self._buckets, name)

    def _place(self, bucket: str, path: str) -> Path:
        return self._root / self._bucket(bucket).name / check_key(path)

    def _incoming(self) -> Path:
        folder = self._root / _INCOMING
        _make_folder(folder)
        if not self._swept:
            self._swept = True
            _sweep(folder)
        return folder


class LocalUpload:
    """A file being written to a folder's storage; see `core.storage.contract.Upload`."""

    def __init__(
        self,
        root: Path,
        bucket: Bucket,
        part: Path,
        descriptor: int,
        before_keeping: Callable[[str], None] | None,
    ) -> None:
        self._before_keeping = before_keeping
        self._root = root
        self._bucket = bucket
        self._part = part
        self._descriptor = descriptor

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        with named_errors(self._root):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def read_at(self, offset: int, length: int) -> bytes:
        with named_errors(self._root):
            return os.pread(self._descriptor, length, offset)

    def commit(self, path: str, content_type: str, progress: Progress | None = None) -> ObjectInfo:
        place = self._root / self._bucket.name / check_key(path)
        with named_errors(self._root):
            check_rules(self._bucket, path, content_type, os.fstat(self._descriptor).st_size)
            if self._before_keeping is not None:
                self._before_keeping(path)
            os.fsync(self._descriptor)
            _make_folder(place.parent)
            self._part.replace(place)
            _sync_folder(place.parent)
            return _info(self._bucket.name, path, os.fstat(self._descriptor))


class LocalReader:
    """An open file of a folder's storage; see `core.storage.contract.Reader`."""

    def __init__(self, info: ObjectInfo, descriptor: int, root: Path) -> None:
        self.info = info
        self._descriptor: int | None = descriptor
        self._root = root

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        end = self.info.bytes if length is None else min(start + length, self.info.bytes)
        while start < end and self._descriptor is not None:
            with named_errors(self._root):
                chunk = os.pread(self._descriptor, min(CHUNK, end - start), start)
            if not chunk:
                return
            start += len(chunk)
            yield chunk

    @property
    def closed(self) -> bool:
        return self._descriptor is None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _info(bucket: str, path: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        bucket=bucket,
        path=path,
        bytes=found.st_size,
        content_type=content_type_of(path),
        etag=f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"',
        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
    )


def _not_found(bucket: str, path: str) -> NotFound:
    return NotFound(f"There is no file {path} in the bucket {bucket}.")


def _entries(folder: str) -> AbstractContextManager[Iterator["os.DirEntry[str]"]]:
    """What lies in the folder; nothing when it is gone."""
    try:
        return os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return nullcontext(iter(()))


def _make_folder(folder: Path) -> None:
    """Make the folder and those above it, each durable before anything is put into it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o750)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(incoming: Path) -> None:
    """Remove what killed processes left; an upload under way is never that old."""
    oldest = time.time() - _ABANDONED_AFTER.total_seconds()
    for part in incoming.iterdir():
        with suppress(FileNotFoundError):
            if part.stat().st_mtime < oldest:
                part.unlink()


@contextmanager
def named_errors(root: Path) -> Iterator[None]:
    """Turn the operating system's faults into StorageError with the remedy."""
    try:
        yield
    except OSError as error:
        raise _storage_error(error, root) from error


def _storage_error(error: OSError, root: Path) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StorageError(
            f"The disk that holds {root} is full ({os.strerror(error.errno)}). Free some space there, or set "
            "STUDIO_OPS_DATA_DIR to a folder on a larger disk.",
            retryable=True,
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StorageError(
            f"The folder {root} cannot be written. Give this process's user the right to write there, or set "
            "STUDIO_OPS_DATA_DIR to another folder.",
            retryable=False,
        )
    if error.errno in {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}:
        return StorageError(
            "A file stands where a folder of this path should be, or the reverse. Choose another path.",
            retryable=False,
        )
    return StorageError(f"The folder {root} failed: {error.strerror or error}. Try again.", retryable=True)
