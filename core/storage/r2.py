"""Cloudflare R2 as a backend: one R2 bucket, in which each of our buckets is the first part of the key."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import httpx
import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from core.errors import InvalidInput, NotFound, StorageError
from core.log import redact
from core.storage.buckets import Bucket
from core.storage.contract import Kind, ObjectInfo, Progress, Upload, check_key
from core.storage.patience import QUESTION_S, UPLOAD_S, patiently
from core.storage.rules import content_type_of, known
from core.storage.spool import CHUNK, Spool, spooled

if TYPE_CHECKING:
    from obstore import ObjectMeta

# Parts of a multipart upload; each of the two under way is held in memory.
PART = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
LONGEST_LINK = timedelta(days=7)
CHECK_PATH = ".studio-ops/check.jpg"
CHECKED = b"check"

_T = TypeVar("_T")
_STATUS = re.compile(r"status code: (\d{3})")


@dataclass(frozen=True)
class Opened:
    """Whether a stranger got the file at `url`, and what was said otherwise."""

    url: str
    well: bool
    said: str


class R2Storage:
    """An R2 bucket as a `core.storage.contract.Storage`."""

    kind: Kind = "r2"

    def __init__(
        self,
        store: S3Store,
        r2_bucket: str,
        public_url: str,
        buckets: Mapping[str, Bucket],
        spool_folder: Path,
    ) -> None:
        self._store = store
        self.r2_bucket = r2_bucket
        self._public_url = public_url.rstrip("/")
        self._buckets = buckets
        self._spool_folder = spool_folder

    def upload(self, bucket: str) -> AbstractContextManager[Upload]:
        return spooled(self._spool_folder, known(self._buckets, bucket), self._send)

    def _send(
        self, bucket: Bucket, path: str, content_type: str, spool: Spool, progress: Progress | None
    ) -> ObjectInfo:
        def once() -> None:
            chunks = _Told(spool.chunks(progress, PART))
            content = spool.read_at(0, PART) if spool.size <= PART else chunks
            attributes = {
                "Content-Type": content_type,
                "Cache-Control": "public, max-age=31536000, immutable",
            }
            try:
                obstore.put(
                    self._store, f"{bucket.name}/{path}", content,
                    attributes=attributes, chunk_size=PART, max_concurrency=PARTS_AT_ONCE,
                )  # fmt: skip
            except BaseException:
                # obstore tells its own story of an error of the iterator; the first one is the cause.
                if chunks.error is not None:
                    raise chunks.error from None
                raise

        self._ask(once, UPLOAD_S)
        found = self.stat(bucket.name, path)
        if found is None:
            raise StorageError(f"R2 took {path} and no longer has it. Try again.", retryable=True)
        return found

    def stat(self, bucket: str, path: str) -> ObjectInfo | None:
        key = self._key(bucket, path)
        try:
            return self._info(bucket, self._ask(lambda: obstore.head(self._store, key)))
        except NotFound:
            return None

    def find(self, bucket: str, prefix: str, limit: int = 1000) -> list[ObjectInfo]:
        check_key(prefix.rstrip("/") or "x")
        return list(islice(self._listed(bucket, prefix), limit))

    def walk(self, bucket: str) -> Iterator[ObjectInfo]:
        return self._listed(bucket, "")

    def _listed(self, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        """By key, in S3's own order; obstore's prefix is of whole folders."""
        name = known(self._buckets, bucket).name
        folder = f"{name}/{prefix.rpartition('/')[0]}".rstrip("/")
        with self._named_errors():
            for page in obstore.list(self._store, folder, chunk_size=1000):
                for found in page:
                    info = self._info(bucket, found)
                    if info.path.startswith(prefix):
                        yield info

    def open(self, bucket: str, path: str) -> "R2Reader":
        key = self._key(bucket, path)
        found = self._info(bucket, self._ask(lambda: obstore.head(self._store, key)))
        return R2Reader(found, self._store, self._named_errors)

    def delete(self, bucket: str, path: str) -> bool:
        if self.stat(bucket, path) is None:
            return False
        key = self._key(bucket, path)
        self._ask(lambda: obstore.delete(self._store, key))
        return True

    def url(self, bucket: str, path: str) -> str:
        if not known(self._buckets, bucket).public:
            raise StorageError(
                f"The bucket {bucket} is private, so its files have no permanent address; use a signed one.",
                retryable=False,
            )
        return f"{self._public_url}/{quote(self._key(bucket, path))}"

    def signed_url(self, bucket: str, path: str, expires_in: timedelta, session: str | None = None) -> str:
        if expires_in > LONGEST_LINK:
            raise InvalidInput("expires_in", "A signed link of R2 lasts at most 7 days.")
        with self._named_errors():
            return obstore.sign(self._store, "GET", self._key(bucket, path), expires_in)

    def prepare(self, bucket: Bucket) -> str:
        """R2 makes folders by writing into them; what can be wanting is the bucket around them."""
        self.check(bucket.name)
        return "unchanged"

    def check(self, bucket: str) -> None:
        self.delete(bucket, self._put_check(bucket))

    def _put_check(self, bucket: str) -> str:
        of = known(self._buckets, bucket)
        ending = next(e for e in ("jpg", "json") if content_type_of(f"x.{e}") in of.content_types)
        path = CHECK_PATH.replace("jpg", ending)
        with self.upload(of.name) as upload:
            upload.write(CHECKED)
            upload.commit(path, content_type_of(path))
        return path

    def opens_to_anyone(self, bucket: str) -> Opened:
        """Write a small file and fetch it at the public address as a stranger would; then remove it."""
        path = self._put_check(bucket)
        url = f"{self._public_url}/{quote(self._key(bucket, path))}"
        try:
            # The query keeps a cache from answering with what it has kept.
            answer = httpx.get(f"{url}?at={uuid.uuid4().hex}", timeout=10, trust_env=False)
            opened = Opened(url, answer.content == CHECKED, f"HTTP {answer.status_code}")
        except httpx.HTTPError as error:
            opened = Opened(url, False, str(redact(str(error))) or type(error).__name__)
        self.delete(bucket, path)
        return opened

    def close(self) -> None:
        pass

    def _key(self, bucket: str, path: str) -> str:
        return f"{known(self._buckets, bucket).name}/{check_key(path)}"

    def _ask(self, call: Callable[[], _T], within_s: float = QUESTION_S) -> _T:
        def named() -> _T:
            with self._named_errors():
                return call()

        return patiently(named, within_s)

    def _info(self, bucket: str, found: "ObjectMeta") -> ObjectInfo:
        path = found["path"].removeprefix(f"{bucket}/")
        return ObjectInfo(
            bucket=bucket,
            path=path,
            bytes=found["size"],
            content_type=content_type_of(path),
            etag=found["e_tag"] or "",
            modified_at=found["last_modified"].astimezone(UTC),
        )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self._absent(str(error)) from error
        except (BaseError, PermissionError) as error:
            raise self._fault(error) from error

    def _absent(self, words: str) -> NotFound | StorageError:
        if "NoSuchBucket" in words:
            return StorageError(
                f"There is no R2 bucket {self.r2_bucket} in this account. Make it in Cloudflare's dashboard"
                " (R2, Create bucket), or correct CLOUDFLARE_R2_BUCKET or CLOUDFLARE_R2_ENDPOINT.",
                retryable=False,
            )
        return NotFound("There is no such file in R2.")

    def _fault(self, error: Exception) -> StorageError | NotFound:
        words = _short(str(error))
        found = _STATUS.search(str(error))
        status = int(found[1]) if found else 0
        if isinstance(error, NotFoundError):
            return self._absent(str(error))
        if isinstance(error, PreconditionError) or status == 412:
            return StorageError("The file was written anew while it was read. Open it again.", retryable=True)
        if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError) or status in {
            401,
            403,
        }:
            return StorageError(
                f"R2 refuses these keys: {words}. Check CLOUDFLARE_R2_ACCESS_KEY_ID and"
                " CLOUDFLARE_R2_SECRET_ACCESS_KEY: an R2 API token with Object Read & Write for the bucket"
                f" {self.r2_bucket}.",
                retryable=False,
            )
        if status == 413 or "EntityTooLarge" in words:
            return StorageError(
                f"R2 takes no file of this size: {words}. Its limit is 5 GiB in one piece.",
                retryable=False,
            )
        if status == 404:
            return self._absent(str(error))
        return StorageError(f"R2 failed: {words}. Try again later.", retryable=True)


class _Told:
    """The chunks of an upload; remembers the error that ended them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


class R2Reader:
    """See `core.storage.contract.Reader`; each call of `chunks` is one request for this very version."""

    def __init__(
        self, info: ObjectInfo, store: S3Store, named_errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.info = info
        self._store = store
        self._named_errors = named_errors

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        end = self.info.bytes if length is None else min(start + length, self.info.bytes)
        if start >= end:
            return
        with self._named_errors():
            answer = obstore.get(
                self._store,
                f"{self.info.bucket}/{self.info.path}",
                options={"range": (start, end), "if_match": self.info.etag},
            )
            for chunk in answer.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def close(self) -> None:
        pass


def _short(words: str) -> str:
    """obstore's errors carry whole answers and a dump of its own state: the first lines say what is wrong."""
    return " ".join(str(redact(words)).split("Debug source")[0].split())[:300]
