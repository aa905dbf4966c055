"""Supabase Storage as a backend."""

import heapq
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import NotFound, StorageError
from core.storage.buckets import Bucket
from core.storage.contract import Kind, ObjectInfo, Progress, Upload, check_key
from core.storage.patience import UPLOAD_S, patiently
from core.storage.rules import content_type_of, known
from core.storage.spool import CHUNK, Spool, spooled
from core.storage.supabase_wire import Missing, NoBucket, Wire

if TYPE_CHECKING:
    from storage3.types import CreateOrUpdateBucketOptions, ListBucketFilesOptions

PAGE = 1000
# Whatever is asked for, a page may hold no more than this, Supabase's own default.
SMALL_PAGE = 100
# How long a bucket that was found public is taken to be so, in seconds.
PUBLIC_KEPT_S = 300.0
CHECK_PATH = ".studio-ops/check.jpg"


class SupabaseStorage:
    """A project's buckets as a `core.storage.contract.Storage`."""

    kind: Kind = "supabase"

    def __init__(self, wire: Wire, buckets: Mapping[str, Bucket], spool_folder: Path) -> None:
        self._wire = wire
        self._buckets = buckets
        self._spool_folder = spool_folder
        self._public_until: dict[str, float] = {}
        self._guard = threading.Lock()

    def upload(self, bucket: str) -> AbstractContextManager[Upload]:
        return spooled(self._spool_folder, known(self._buckets, bucket), self._send)

    def _send(
        self, bucket: Bucket, path: str, content_type: str, spool: Spool, progress: Progress | None
    ) -> ObjectInfo:
        self._prove_public(bucket)

        def once() -> None:
            self._wire.send(bucket.name, path, spool.chunks(progress), spool.size, content_type)

        patiently(once, UPLOAD_S)
        found = self.stat(bucket.name, path)
        if found is None:
            raise StorageError(f"Supabase took {path} and no longer has it. Try again.", retryable=True)
        return found

    def _prove_public(self, bucket: Bucket) -> None:
        """An address in a private bucket opens for nobody: better no file than one that nobody can see."""
        if not bucket.public or self._public_until.get(bucket.name, 0.0) > time.monotonic():
            return
        if not self.describe(bucket.name).public:
            raise StorageError(
                f"The bucket {bucket.name} is private at Supabase, so no address in it would open. Make it"
                f" public with: python -m jobs migrate (or dashboard, Storage, Edit bucket, Public bucket).",
                retryable=False,
            )
        with self._guard:
            self._public_until[bucket.name] = time.monotonic() + PUBLIC_KEPT_S

    def stat(self, bucket: str, path: str) -> ObjectInfo | None:
        name = known(self._buckets, bucket).name
        try:
            found = self._wire.ask(name, self._wire.project.from_(name).info, check_key(path))
        except Missing:
            return None
        return _info(name, path, found)

    def find(self, bucket: str, prefix: str, limit: int = 1000) -> list[ObjectInfo]:
        check_key(prefix.rstrip("/") or "x")
        name = known(self._buckets, bucket).name
        folder, _, beginning = prefix.rpartition("/")
        found = (info for info in self._below(name, folder, beginning) if info.path.startswith(prefix))
        return heapq.nsmallest(limit, found, key=lambda info: info.path)

    def walk(self, bucket: str) -> Iterator[ObjectInfo]:
        return self._below(known(self._buckets, bucket).name, "", "")

    def _below(self, bucket: str, folder: str, beginning: str) -> Iterator[ObjectInfo]:
        """Every file below `folder` whose name there begins with `beginning`; a list holds one folder."""
        folders = [(folder, beginning)]
        while folders:
            here, wanted = folders.pop()
            for entry in self._entries(bucket, here, wanted):
                path = f"{here}/{entry['name']}" if here else str(entry["name"])
                if entry.get("id") is None:
                    folders.append((path, ""))
                else:
                    yield _info(bucket, path, entry)

    def _entries(self, bucket: str, folder: str, beginning: str) -> Iterator[dict[str, Any]]:
        files = self._wire.project.from_(bucket)
        inside = f"{folder}/" if folder else ""
        offset = 0
        while True:
            asked: ListBucketFilesOptions = {"limit": PAGE, "offset": offset, "search": beginning}
            page = self._wire.ask(bucket, files.list, inside, asked)
            # `search` takes _ for any letter, and no notice of case.
            yield from (entry for entry in page if str(entry.get("name", "")).startswith(beginning))
            offset += len(page)
            if len(page) < SMALL_PAGE:
                return

    def open(self, bucket: str, path: str) -> "SupabaseReader":
        found = self.stat(bucket, path)
        if found is None:
            raise NotFound(f"There is no file {path} in the bucket {bucket}.")
        return SupabaseReader(found, self._wire)

    def delete(self, bucket: str, path: str) -> bool:
        name = known(self._buckets, bucket).name
        return bool(self._wire.ask(name, self._wire.project.from_(name).remove, [check_key(path)]))

    def url(self, bucket: str, path: str) -> str:
        of = known(self._buckets, bucket)
        if not of.public:
            raise StorageError(
                f"The bucket {bucket} is private, so its files have no permanent address; use a signed one.",
                retryable=False,
            )
        return self._wire.project.from_(of.name).get_public_url(check_key(path))

    def signed_url(self, bucket: str, path: str, expires_in: timedelta, session: str | None = None) -> str:
        name = known(self._buckets, bucket).name
        sign = self._wire.project.from_(name).create_signed_url
        seconds = max(int(expires_in.total_seconds()), 1)
        try:
            found = self._wire.ask(name, sign, check_key(path), seconds)
        except Missing:
            raise NotFound(f"There is no file {path} in the bucket {bucket}.") from None
        return str(found["signedURL"])

    def describe(self, bucket: str) -> Bucket:
        """The bucket as it is at Supabase; no types and no size (0) where it sets none. Raises NoBucket."""
        try:
            found = self._wire.ask(bucket, self._wire.project.get_bucket, bucket)
        except Missing:
            raise NoBucket(bucket) from None
        return Bucket(bucket, found.public, tuple(found.allowed_mime_types or ()), found.file_size_limit or 0)

    def prepare(self, bucket: Bucket) -> str:
        project = self._wire.project
        try:
            there = self.describe(bucket.name)
        except NoBucket:
            wanted: CreateOrUpdateBucketOptions = {
                "public": bucket.public,
                "file_size_limit": bucket.max_bytes,
                "allowed_mime_types": list(bucket.content_types),
            }
            self._wire.ask(bucket.name, project.create_bucket, bucket.name, options=wanted)
            return "made"
        if not lacks(there, bucket):
            return "unchanged"
        # What is left out stays as it is.
        opened: CreateOrUpdateBucketOptions = {"public": there.public or bucket.public}
        if there.max_bytes:
            opened["file_size_limit"] = max(there.max_bytes, bucket.max_bytes)
        if there.content_types:
            opened["allowed_mime_types"] = list(dict.fromkeys((*there.content_types, *bucket.content_types)))
        self._wire.ask(bucket.name, project.update_bucket, bucket.name, opened)
        return "changed"

    def check(self, bucket: str) -> None:
        of = known(self._buckets, bucket)
        ending = next(e for e in ("jpg", "json") if content_type_of(f"x.{e}") in of.content_types)
        path = CHECK_PATH.replace("jpg", ending)
        self._public_until.pop(of.name, None)
        with self.upload(of.name) as upload:
            upload.write(b"check")
            upload.commit(path, content_type_of(path))
        self.delete(of.name, path)

    def close(self) -> None:
        self._wire.close()


def lacks(there: Bucket, wanted: Bucket) -> list[str]:
    """What a bucket that is there does not allow, in words; nothing when it is open enough."""
    found = []
    if wanted.public and not there.public:
        found.append("it is private and must be public")
    if there.max_bytes and there.max_bytes < wanted.max_bytes:
        found.append(
            f"it takes {there.max_bytes / 1024 / 1024:,.0f} MB a file and must take"
            f" {wanted.max_bytes / 1024 / 1024:,.0f} MB"
        )
    missing = [one for one in wanted.content_types if one not in there.content_types]
    if there.content_types and missing:
        found.append(f"it does not take {', '.join(missing)}")
    return found


class SupabaseReader:
    """See `core.storage.contract.Reader`; each call of `chunks` is one request."""

    def __init__(self, info: ObjectInfo, wire: Wire) -> None:
        self.info = info
        self._wire = wire

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        end = self.info.bytes if length is None else min(start + length, self.info.bytes)
        if start >= end:
            return
        with self._wire.receive(self.info.bucket, self.info.path, start, end - 1) as answer:
            etag = answer.headers.get("etag", "")
            if etag and self.info.etag and etag.strip('"') != self.info.etag.strip('"'):
                raise StorageError(
                    f"{self.info.path} was written anew while it was read. Open it again.", retryable=True
                )
            # A server may send the whole file in answer to a range.
            skip = start if answer.status_code == 200 else 0
            yield from _cut(answer.iter_bytes(CHUNK), skip, end - start)

    def close(self) -> None:
        pass


def _cut(chunks: Iterator[bytes], skip: int, length: int) -> Iterator[bytes]:
    for received in chunks:
        chunk = received[skip : skip + length]
        skip = max(skip - len(received), 0)
        length -= len(chunk)
        if chunk:
            yield chunk
        if not length:
            return


def _info(bucket: str, path: str, found: Mapping[str, Any]) -> ObjectInfo:
    """From an answer of `info`, whose facts stand at the top, or of `list`, whose stand under metadata."""
    facts = found.get("metadata") or {}
    size = found.get("size", facts.get("size", facts.get("contentLength", 0)))
    changed = str(
        found.get("last_modified")
        or found.get("updated_at")
        or facts.get("lastModified")
        or found["created_at"]
    )
    return ObjectInfo(
        bucket=bucket,
        path=path,
        bytes=int(size or 0),
        content_type=str(found.get("content_type") or facts.get("mimetype") or content_type_of(path)),
        etag=str(found.get("etag") or facts.get("eTag") or ""),
        modified_at=datetime.fromisoformat(changed.replace("Z", "+00:00")).astimezone(UTC),
    )
