"""What keeps finished files, and what it promises.

A key is `path` within a `bucket`. A file appears under its key whole or not at all, and stays until
it is deleted. Everything streams; nothing here holds a file in memory.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from core.errors import InvalidInput
from core.storage.buckets import Bucket

# Supabase Storage accepts these characters and no others, so a key that is good here is good there.
_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
MAX_KEY = 800  # beyond about 900 Supabase answers 500
MAX_SEGMENT = 255  # bytes in one file name, on every file system that we know

Kind = Literal["local", "supabase", "r2"]
# Called now and then while a file travels.
Progress = Callable[[], None]


@dataclass(frozen=True)
class ObjectInfo:
    """A stored file. `etag` changes with its content; `modified_at` is aware UTC."""

    bucket: str
    path: str
    bytes: int
    content_type: str
    etag: str
    modified_at: datetime


class Upload(Protocol):
    """A file on its way in, seen by nobody until it is committed."""

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` of what has been written."""
        ...

    def commit(self, path: str, content_type: str, progress: Progress | None = None) -> ObjectInfo:
        """Make the file visible at `path` in one step, in place of any file there.

        Steps: 1. check the key and the bucket's rules (type, size); 2. make the bytes durable;
        3. publish. Idempotent in effect: the same content at the same path changes nothing that a
        reader could see. Of two writers of one key the later wins, and a reader always gets one of
        the two whole. May be called once. `progress` is called while bytes travel to a remote backend;
        what it raises ends the upload, and nothing is published.
        """
        ...


class Reader(Protocol):
    """One stored file, open; it delivers one version, whole or in parts.

    When the key is written anew meanwhile, a backend that no longer has that version raises StorageError.
    """

    @property
    def info(self) -> ObjectInfo: ...

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start`, `length` of them or all the rest."""
        ...

    def close(self) -> None: ...


class Storage(Protocol):
    """A backend. Safe to share between threads.

    Errors: StorageError (`retryable`, the text names the remedy) for the backend's faults,
    InvalidInput for a key that no file can have, NotFound where said.
    """

    @property
    def kind(self) -> Kind:
        """Which backend it is, as STORAGE_BACKEND names it."""
        ...

    def upload(self, bucket: str) -> AbstractContextManager[Upload]:
        """A new file in `bucket`. Leaving the block without a commit leaves nothing behind."""
        ...

    def stat(self, bucket: str, path: str) -> ObjectInfo | None:
        """The file at the key, or None."""
        ...

    def find(self, bucket: str, prefix: str, limit: int = 1000) -> list[ObjectInfo]:
        """The files whose path begins with `prefix`, by path, at most `limit`."""
        ...

    def walk(self, bucket: str) -> Iterator[ObjectInfo]:
        """Every file of the bucket, in no order, as the backend lists them: millions fit into little memory.

        A file that comes or goes meanwhile may be missed.
        """
        ...

    def open(self, bucket: str, path: str) -> Reader:
        """The file at the key, to be closed by the caller. Raises NotFound."""
        ...

    def delete(self, bucket: str, path: str) -> bool:
        """Remove the file; False when there was none. Idempotent."""
        ...

    def url(self, bucket: str, path: str) -> str:
        """The file's permanent URL: it never expires. May be relative to the product's own address.

        Raises StorageError where a private bucket has none.
        """
        ...

    def signed_url(self, bucket: str, path: str, expires_in: timedelta, session: str | None = None) -> str:
        """A URL of the file that stops working after `expires_in`, and together with the sign-in `session`
        where this product serves the file itself; others cannot know of it. Raises NotFound if the backend
        looks."""
        ...

    def prepare(self, bucket: Bucket) -> str:
        """Make the bucket, or open one that is there as far as its table asks: made, changed, unchanged.

        Never shuts a bucket further than it is. Raises StorageError with the remedy.
        """
        ...

    def check(self, bucket: str) -> None:
        """Prove that files can be written to `bucket`. Raises StorageError that says what to change."""
        ...

    def close(self) -> None:
        """Give every connection back."""
        ...


def check_key(path: str) -> str:
    """`path` if it can be a key everywhere. Raises InvalidInput that says why not."""
    if not 0 < len(path) <= MAX_KEY:
        raise InvalidInput("path", f"A storage path has 1 to {MAX_KEY} characters; this has {len(path)}.")
    if not _KEY.fullmatch(path):
        raise InvalidInput("path", "A storage path has ASCII letters, digits and _/!.*'() &$=@;:+,?- only.")
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            raise InvalidInput(
                "path", "A storage path has no empty part, no '.' and no '..' between slashes."
            )
        if len(segment) > MAX_SEGMENT:
            raise InvalidInput("path", f"Each part of a storage path has at most {MAX_SEGMENT} characters.")
    return path
