"""Supabase Storage's wire protocol: one exchange, and what each refusal means.

https://supabase.com/docs/guides/storage/debugging/error-codes. The protocol is spoken with httpx and not
with the `supabase` package, whose uploads share one connection pool with everything else: after a refused
upload of several MB the next request on that connection hangs. Here each upload has its own connection.
"""

import base64
import binascii
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx

from core.errors import StorageError
from core.log import MASK, redact
from core.version import VERSION

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
# The answer to an upload comes once Supabase has written it all.
UPLOAD_TIMEOUT = httpx.Timeout(45.0, connect=10.0)
MAX_ERROR_BYTES = 64 * 1024
# Busy or broken for now: 544 is a time-out of Supabase's own database.
_PASSING = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 544}
_KEY_REMEDY = (
    "Check SUPABASE_SERVICE_ROLE_KEY: the service_role key or a secret key (sb_secret_…) of this very"
    " project (dashboard, Project Settings, API keys)."
)


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


def key_fault(key: str, now: datetime) -> str | None:
    """Why `key` cannot be a service key, or None; its signature is not looked at."""
    if key.startswith("sb_secret_"):
        return None
    if key.startswith("sb_publishable_"):
        return f"is a publishable key, which may write nothing. {_KEY_REMEDY}"
    claims = _claims(key)
    if claims is None:
        return f"is neither a JWT nor a secret key (sb_secret_…). {_KEY_REMEDY}"
    if claims.get("role") != "service_role":
        return f"is the key of the role {str(claims.get('role'))[:30]!r}, not of service_role. {_KEY_REMEDY}"
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires < now.timestamp():
        return f"expired. {_KEY_REMEDY}"
    return None


def project_of_key(key: str) -> str | None:
    """The project that a JWT names; a secret key names none."""
    found = (_claims(key) or {}).get("ref")
    return found if isinstance(found, str) else None


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return None
    return found if len(parts) == 3 and isinstance(found, dict) else None


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes about 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class Wire:
    """One project's storage API. Safe to share between threads."""

    def __init__(self, url: str, key: str) -> None:
        self.base = f"{url.rstrip('/')}/storage/v1"
        self._key = key
        headers = {"apikey": key, "Authorization": f"Bearer {key}", "User-Agent": f"StudioOps/{VERSION}"}
        tls = _tls()
        self._client = httpx.Client(
            headers=headers, timeout=TIMEOUT, trust_env=False, verify=tls,
            limits=httpx.Limits(max_connections=40, max_keepalive_connections=20),
        )  # fmt: skip
        self._uploads = httpx.Client(
            headers=headers, timeout=UPLOAD_TIMEOUT, trust_env=False, verify=tls,
            limits=httpx.Limits(max_connections=40, max_keepalive_connections=0),
        )  # fmt: skip

    def close(self) -> None:
        """Give every connection back."""
        self._client.close()
        self._uploads.close()

    def ask(self, method: str, path: str, bucket: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of one exchange about `bucket`. Raises StorageError; Missing and NoBucket among them."""
        with self._named_errors():
            answer = self._client.request(method, self.base + path, json=body)
            return self._json(answer, bucket)

    def send(
        self, path: str, bucket: str, content: Iterator[bytes], size: int, content_type: str
    ) -> Mapping[str, Any]:
        """Upload `size` bytes in place of any file there, on a connection of its own.

        One standard request, which Supabase takes up to 5 GB; its resumable protocol is for more.
        """
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size),
            "Cache-Control": "max-age=31536000",
            "x-upsert": "true",
        }
        with self._named_errors():
            answer = self._uploads.post(self.base + path, content=content, headers=headers)
            found = self._json(answer, bucket, size)
        return found if isinstance(found, dict) else {}

    @contextmanager
    def receive(self, path: str, bucket: str, first: int, last: int) -> Iterator[httpx.Response]:
        """The open answer with the bytes `first` to `last`, to be read in chunks."""
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        with self._named_errors(), self._client.stream("GET", self.base + path, headers=headers) as answer:
            if answer.is_error:
                answer.read()
                self._json(answer, bucket)
            yield answer

    def _json(self, answer: httpx.Response, bucket: str, size: int | None = None) -> Any:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.is_error:
            raise self._fault(answer, found if isinstance(found, dict) else {}, bucket, size)
        if found is None:
            raise StorageError(
                f"{self.base} does not answer as Supabase Storage does (HTTP {answer.status_code}). Check"
                " SUPABASE_URL.",
                retryable=True,
            )
        return found

    def _fault(
        self, answer: httpx.Response, body: Mapping[str, Any], bucket: str, size: int | None
    ) -> StorageError:
        told = str(body.get("message") or body.get("msg") or body.get("error") or answer.text)
        words = str(redact(told.replace(self._key, MASK)))
        return fault(
            answer.status_code, body, " ".join(words.split())[:300] or "no reason given", bucket, size
        )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise StorageError(
                f"Supabase Storage did not answer in time ({type(error).__name__}). Try again.",
                retryable=True,
            ) from error
        except httpx.TransportError as error:
            host = self.base.split("://", 1)[-1].split("/")[0]
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
            f"Supabase Storage refuses this key for the bucket {bucket}: {words}. {_KEY_REMEDY}",
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


def place(bucket: str, path: str) -> str:
    """Bucket and path within a URL."""
    return f"{quote(bucket, safe='')}/{quote(path)}"
