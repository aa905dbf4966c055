"""One HTTP exchange with a provider: capped, bounded in time, its failures named."""

import json
import math
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpx

from core.errors import ErrorCategory, InvalidInput, ProviderError
from core.log import MASK, redact
from core.version import VERSION

# Own name: some vendors' edges refuse the default ones of HTTP libraries.
USER_AGENT = f"StudioOps/{VERSION}"
MAX_ANSWER_BYTES = 2 * 1024 * 1024
MAX_WORDS = 500
MAX_DEPTH = 40
MAX_RETRY_AFTER = 3600.0

# Raised before the first byte of the request leaves: nothing can have been begun by it.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer of at most MAX_ANSWER_BYTES."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None when it is anything else."""
        parsed = parse_json(self.text)
        return parsed if isinstance(parsed, dict) else None

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, from Retry-After as a number or a date; None when absent or malformed."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return min(float(value), MAX_RETRY_AFTER)
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), MAX_RETRY_AFTER)


@dataclass(frozen=True)
class Fault:
    """What a provider's code means. `refuses`: a paid call was not accepted and nothing was begun."""

    category: ErrorCategory
    retryable: bool
    sentence: str
    refuses: bool = False


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """This process's TLS settings, made once: reading the certificates takes about 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def client(
    base_url: str,
    authorization: str,
    *,
    timeout: httpx.Timeout,
    connections: int,
    keepalive: int,
    transport: httpx.BaseTransport | None = None,
) -> httpx.Client:
    """A client of one provider. `transport` replaces the network; nothing of the environment plays a part.

    For paid calls keep no connection alive: on one that the other side is just closing, a call would end in
    an unknown outcome, while a failed connect is certain not to have been sent.
    """
    return httpx.Client(
        base_url=base_url,
        headers={
            "Authorization": authorization,
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        },
        timeout=timeout,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=keepalive),
        follow_redirects=False,
        trust_env=False,
        verify=tls(),
        transport=transport,
    )


def send(
    client: httpx.Client,
    method: str,
    path: str,
    *,
    provider: str,
    deadline_seconds: float,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Answer:
    """One request, whatever its status. `provider` is the vendor's name in the sentences.

    Raises ProviderError when no whole answer came: `sent` is False only if it is certain that the
    request never left. Raises InvalidInput for a body that JSON cannot carry, before anything is sent.
    """
    content = None if body is None else _encode(body)
    headers = None if body is None else {"Content-Type": "application/json"}
    ends = time.monotonic() + deadline_seconds
    try:
        with client.stream(method, path, params=params, content=content, headers=headers) as response:
            return Answer(response.status_code, response.headers, _read(response, ends, provider))
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise _transport_error(error, provider) from error


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise InvalidInput("input", f"The input cannot be written as JSON: {error}.") from error


def _read(response: httpx.Response, ends: float, provider: str) -> bytes:
    received = bytearray()
    for chunk in response.iter_bytes():
        received += chunk
        if len(received) > MAX_ANSWER_BYTES:
            raise ProviderError(
                f"{provider} answered with more than {MAX_ANSWER_BYTES // 1024} KB, which is no answer "
                "of its API. Check the base URL.",
                category=ErrorCategory.SERVICE_ERROR,
                retryable=True,
                status=response.status_code,
            )
        if time.monotonic() > ends:
            raise ProviderError(
                f"{provider} did not finish its answer in time. Try again later.",
                category=ErrorCategory.TIMEOUT,
                retryable=True,
                status=response.status_code,
            )
    return bytes(received)


def _transport_error(error: Exception, provider: str) -> ProviderError:
    words = clean(str(error)) or type(error).__name__
    timed_out = isinstance(error, httpx.TimeoutException)
    if isinstance(error, _NEVER_SENT):
        sentence = f"{provider} could not be reached: {words}. Check the network and the base URL."
    elif timed_out:
        sentence = f"{provider} took the request and did not answer in time."
    else:
        sentence = f"The connection to {provider} broke before the answer was complete: {words}."
    return ProviderError(
        sentence,
        category=ErrorCategory.TIMEOUT if timed_out else ErrorCategory.NETWORK,
        retryable=True,
        words=words,
        sent=not isinstance(error, _NEVER_SENT),
    )


def parse_json(text: str) -> Any:
    """The JSON value, or None for anything that is not plain JSON (NaN and infinities included)."""
    try:
        return json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _refuse_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse_number(digits)


def clean(text: str, secrets: tuple[str, ...] = (), limit: int = MAX_WORDS) -> str:
    """A provider's words for logs, pages and Postgres: one short line, secrets masked.

    `secrets` are values to mask wherever they stand, besides those that look like one.
    """
    return str(mask(re.sub(r"\s+", " ", _storable(text)), secrets)).strip()[:limit]


def mask(value: Any, secrets: tuple[str, ...] = (), depth: int = 0) -> Any:
    """A JSON value with every secret masked, also inside strings that are themselves JSON.

    What lies deeper than MAX_DEPTH is left out.
    """
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {
            _storable(str(key)): MASK if item and _names_a_secret(key) else mask(item, secrets, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item, secrets, depth + 1) for item in value]
    if isinstance(value, str):
        return _mask_text(_storable(value), secrets, depth)
    return value


@lru_cache(maxsize=4096)
def _names_a_secret(key: Any) -> bool:
    return bool(redact({key: "."}) == {key: MASK})


def _mask_text(text: str, secrets: tuple[str, ...], depth: int) -> str:
    # Inside a JSON string a URL may stand escaped (\u003d for "="), where no pattern finds it.
    nested = parse_json(text) if text.lstrip()[:1] in {"{", "[", '"'} else None
    if nested is not None:
        return json.dumps(mask(nested, secrets, depth + 1), ensure_ascii=False)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return str(redact(text))


def _storable(text: str) -> str:
    """Without NUL and lone surrogates, which JSON can carry and Postgres refuses."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
