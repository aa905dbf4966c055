"""Moves one stream of bytes into storage: hashed, checked and counted on the way, never held whole."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.errors import ErrorCategory, StudioOpsError
from core.storage.contract import Progress, Storage, Upload
from core.storage.file_types import HEAD_BYTES, FileType, is_complete, looks_like_text, sniff

MAX_BYTES = 500 * 1024 * 1024


class UnusableFile(StudioOpsError):
    """What arrived is not the file that it should be; nothing was stored.

    `retryable`: it may be another time (cut off, or a page in its place).
    """

    code = "unusable_file"
    http_status = 502
    category = ErrorCategory.FILE_ERROR

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True)
class StoredObject:
    """A file that is now in storage. `sha256` is in hex, `url` is permanent."""

    bucket: str
    path: str
    bytes: int
    sha256: str
    content_type: str
    url: str


def store_stream(
    chunks: Iterable[bytes],
    content_length: int | None,
    storage: Storage,
    bucket: str,
    key_for_type: Callable[[FileType], str],
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> StoredObject:
    """Read `chunks` to their end and store them under the key that the real type asks for.

    Steps: 1. stream into an upload, hashing; 2. compare with `content_length`; 3. tell the type by the
    bytes and look for the format's end; 4. commit, which calls `progress` now and then. Idempotent for a
    key that depends on the task alone.
    Raises UnusableFile, StorageError, and whatever reading `chunks` raises; the key is then untouched.
    """
    if content_length is not None and content_length > max_bytes:
        raise _too_large(max_bytes)
    with storage.upload(bucket) as upload:
        size, digest, head = _receive(chunks, upload, max_bytes)
        if content_length is not None and size != content_length:
            raise UnusableFile(
                f"The file arrived cut off: {size:,} of {content_length:,} bytes.", retryable=True
            )
        file_type = _check_content(head, size, upload)
        info = upload.commit(key_for_type(file_type), file_type.content_type, progress)
    return StoredObject(
        bucket=info.bucket,
        path=info.path,
        bytes=size,
        sha256=digest,
        content_type=file_type.content_type,
        url=storage.url(info.bucket, info.path),
    )


def _receive(chunks: Iterable[bytes], upload: Upload, max_bytes: int) -> tuple[int, str, bytes]:
    """Size in bytes, SHA-256 in hex, and the first HEAD_BYTES of what was written."""
    digest, size, head = hashlib.sha256(), 0, b""
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if len(head) < HEAD_BYTES:
            head += chunk[: HEAD_BYTES - len(head)]
        upload.write(chunk)
        digest.update(chunk)
    return size, digest.hexdigest(), head


def _check_content(head: bytes, size: int, upload: Upload) -> FileType:
    if not size:
        raise UnusableFile("The file arrived empty.", retryable=True)
    file_type = sniff(head)
    if file_type is None and looks_like_text(head):
        raise UnusableFile(
            "A text (a web page or a message) arrived in place of an image or video.", retryable=True
        )
    if file_type is None:
        raise UnusableFile(
            "The file is of no known image or video type (JPEG, PNG, WebP, GIF, AVIF, MP4, MOV, WebM).",
            retryable=False,
        )
    if not is_complete(file_type, size, upload.read_at):
        raise UnusableFile(
            f"The file is cut off: it begins as {file_type.content_type} and lacks that format's end.",
            retryable=True,
        )
    return file_type


def _too_large(max_bytes: int) -> UnusableFile:
    return UnusableFile(
        f"The file is larger than the {max_bytes / 1024 / 1024:,.0f} MB that are allowed.", retryable=False
    )
