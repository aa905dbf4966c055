"""One Supabase project's storage: questions and what each refusal means, and files' bytes.

https://supabase.com/docs/guides/storage/debugging/error-codes. Questions go through the `supabase` package.
Bytes go over HTTP beside it: its uploads share one connection pool with everything else, where after a
refused upload of several MB the next request hangs, and its downloads are held in memory whole.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

import httpx

from core.errors import StorageError
from core.log import MASK, redact
from core.storage.patience import patiently
from core.storage.supabase_key import KEY_REMEDY
from core.version import VERSION

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
# The answer to an upload comes once Supabase has written it all.
UPLOAD_TIMEOUT = httpx.Timeout(45.0, connect=10.0)
# Busy or broken for now: 544 is a time-out of Supabase's own database.
_PASSING = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 544}
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Missing(StorageError):
    """There is no such file."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class NoBucket(StorageError):
    """There is no such bucket."""

    def __init__(self, bucket: str) -> None:
        super().__init__(
            f"There is no bucket {bucket} at Supabase. Make it with: python -m jobs migrate", retryable=False
        )


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes about 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class _Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


def _refuse(answer: httpx.Response) -> None:
    """Before the package reads a refusal: its error drops the reason if one of three fields is missing."""
    if not answer.is_success:
        answer.read()
        raise _Refusal(answer)


class Wire:
    """One project's storage. Safe to share between threads."""

    def __init__(self, url: str, key: str) -> None:
        # Here, because it takes 0.4 s and 14 MB, which whoever keeps files elsewhere need not spend.
        from supabase import ClientOptions, create_client

        self._base = f"{url.rstrip('/')}/storage/v1"
        self._key = key
        headers = {"apikey": key, "Authorization": f"Bearer {key}", "User-Agent": f"StudioOps/{VERSION}"}
        client = partial(
            httpx.Client, headers=headers, trust_env=False, verify=_tls(), event_hooks={"response": [_refuse]}
        )
        self._client = client(
            timeout=TIMEOUT, limits=httpx.Limits(max_connections=40, max_keepalive_connections=20)
        )
        self._uploads = client(
            timeout=UPLOAD_TIMEOUT, limits=httpx.Limits(max_connections=40, max_keepalive_connections=0)
        )
        options = ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=self._client)
        self.project = create_client(url, key, options).storage

    def close(self) -> None:
        """Give every connection back."""
        self._client.close()
        self._uploads.close()

    def ask(self, bucket: str, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What a call of the package answers about `bucket`, tried again while that may help.

        Raises StorageError; Missing and NoBucket among them.
        """

        def once() -> _T:
            with self._named_errors(bucket):
                try:
                    return call(*args, **kwargs)
                except (TypeError, ValueError) as error:  # no JSON, or not what it should hold
                    raise StorageError(
                        f"{self._base} does not answer as Supabase Storage does. Check SUPABASE_URL.",
                        retryable=True,
                    ) from error

        return patiently(once)

    def send(self, bucket: str, path: str, content: Iterator[bytes], size: int, content_type: str) -> None:
        """Upload `size` bytes in place of any file there, on a connection of its own.

        One standard request, which Supabase takes up to 5 GB; its resumable protocol is for more.
        """
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size),
            "Cache-Control": "max-age=31536000",
            "x-upsert": "true",
        }
        with self._named_errors(bucket, size):
            self._uploads.post(self._place(bucket, path), content=content, headers=headers)

    @contextmanager
    def receive(self, bucket: str, path: str, first: int, last: int) -> Iterator[httpx.Response]:
        """The open answer with the bytes `first` to `last`, to be read in chunks."""
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        with (
            self._named_errors(bucket),
            self._client.stream("GET", self._place(bucket, path), headers=headers) as answer,
        ):
            yield answer

    def _place(self, bucket: str, path: str) -> str:
        return f"{self._base}/object/{quote(bucket, safe='')}/{quote(path)}"

    def _fault(self, answer: httpx.Response, bucket: str, size: int | None) -> StorageError:
        try:
            found = answer.json()
        except ValueError:
            found = None
        body = found if isinstance(found, dict) else {}
        told = str(body.get("message") or body.get("msg") or body.get("error") or answer.text)
        words = str(redact(told.replace(self._key, MASK)))
        return fault(
            answer.status_code, body, " ".join(words.split())[:300] or "no reason given", bucket, size
        )

    @contextmanager
    def _named_errors(self, bucket: str, size: int | None = None) -> Iterator[None]:
        try:
            yield
        except _Refusal as refusal:
            raise self._fault(refusal.answer, bucket, size) from None
        except httpx.TimeoutException as error:
            raise StorageError(
                f"Supabase Storage did not answer in time ({type(error).__name__}). Try again.",
                retryable=True,
            ) from error
        except httpx.TransportError as error:
            host = self._base.split("://", 1)[-1].split("/")[0]
            words = str(redact(str(error))).rstrip(".") or type(error).__name__
            raise StorageError(
                f"The connection to Supabase Storage at {host} failed: {words}. Check the network and"
                " SUPABASE_URL.",
                retryable=True,
            ) from error


def fault(
    http_status: int, body: Mapping[str, Any], words: str, bucket: str, size: int | None
) -> StorageError:
    """What a refusal means and what to change. HTTP says 400 for most; the body's `statusCode` is it."""
    status = _status(http_status, body)
    name = f"{body.get('error', '')} {body.get('code', '')} {words}".lower()
    if status == 404 and "bucket" in name:
        return NoBucket(bucket)
    if status == 404:
        return Missing(f"Supabase has no such file in the bucket {bucket}.")
    if status == 413:
        of = f" of {size / 1024 / 1024:,.1f} MB" if size is not None else ""
        return StorageError(
            f"The bucket {bucket} takes no file{of}: {words}. Raise the bucket's file size limit"
            " (python -m jobs migrate, or dashboard, Storage, Edit bucket) and the project's (Settings).",
            retryable=False,
        )
    if status == 415 or "mime type" in name:
        return StorageError(
            f"The bucket {bucket} does not take this type of file: {words}. Add it to the bucket's allowed"
            " types (python -m jobs migrate, or dashboard, Storage, the bucket, Edit).",
            retryable=False,
        )
    if status in {401, 403} or "jwt" in name or "jws" in name or "api key" in name:
        return StorageError(
            f"Supabase Storage refuses this key for the bucket {bucket}: {words}. {KEY_REMEDY}",
            retryable=False,
        )
    if status == 402:
        return StorageError(
            f"Supabase has restricted the project: {words}. Check its plan and usage in the dashboard.",
            retryable=False,
        )
    if status == 429:
        return StorageError(f"Supabase Storage has too much to do: {words}. Try again later.", retryable=True)
    if status in _PASSING or status == 409:
        return StorageError(f"Supabase Storage failed ({status}): {words}. Try again later.", retryable=True)
    return StorageError(f"Supabase Storage refused ({status}): {words}.", retryable=False)


def _status(http_status: int, body: Mapping[str, Any]) -> int:
    told = str(body.get("statusCode", ""))
    return (
        int(told)
        if http_status == 400 and told.isascii() and told.isdigit() and len(told) == 3
        else http_status
    )
