"""The one way in which files are fetched from outside.

Every URL, the first and each redirect's, passes `fetch_rules` before anything is sent; each name is
resolved once, all its addresses are checked, and the connection goes to one of those very addresses
while Host and TLS still carry the name: a second, different DNS answer is never asked for. Proxies
and credentials of the environment play no part.
"""

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

import httpcore

from core.errors import ErrorCategory, ProviderError
from core.providers.fetch_rules import FetchRefused, FetchRules, RefusalReason, Target, rules_for
from core.providers.http import USER_AGENT, clean, tls
from core.providers.registry import result_hosts
from core.providers.training_registry import weights_hosts
from core.settings import Settings

MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_GONE = {403, 404, 410}
_MAX_ADDRESSES = 3

Resolver = Callable[[str, int], list[str]]


class FetchFailed(ProviderError):
    """The file could not be had. `gone`: its host answers that it is not there (any more) or that the
    link is no longer good; a fresh URL may still work."""

    code = "fetch_failed"

    def __init__(
        self,
        message: str,
        *,
        category: ErrorCategory,
        retryable: bool,
        words: str = "",
        status: int | None = None,
        sent: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message,
            category=category,
            retryable=retryable,
            words=words,
            status=status,
            sent=sent,
            retry_after=retry_after,
        )
        self.gone = status in _GONE


@dataclass(frozen=True)
class FetchedStream:
    """An open answer: `chunks` are its bytes, read once, as they arrive.

    `content_length` is in bytes, None when the host does not say; `content_type` is what the host
    claims, lower case without parameters. Reading `chunks` raises FetchFailed when the answer breaks
    off, ends early, or takes longer than allowed in all.
    """

    status: int
    content_type: str
    content_length: int | None
    chunks: Iterator[bytes]


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the system knows for `host`; raises OSError when it knows none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects to a name's checked addresses and to nothing else."""

    def __init__(self, rules: FetchRules, resolve: Resolver, network: httpcore.NetworkBackend) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            resolved = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name does not resolve ({error})") from error
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in self._rules.check_addresses(host, port, resolved)[:_MAX_ADDRESSES]:
            try:
                return self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("fetches never go to a socket file")


class Fetcher:
    """Opens streams under one set of rules. Safe to share between threads; close it once.

    Times are in seconds: for a connection, for each read, and for a whole file.
    """

    def __init__(
        self,
        rules: FetchRules,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        total_timeout: float = 900.0,
        max_connections: int = 64,
        resolve: Resolver = system_resolver,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._rules = rules
        self._total = total_timeout
        self._timeouts = {
            "connect": connect_timeout,
            "read": read_timeout,
            "write": read_timeout,
            "pool": read_timeout,
        }
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls(),
            max_connections=max_connections,
            max_keepalive_connections=20,  # more of them made httpx three times slower
            keepalive_expiry=15.0,
            network_backend=_CheckedNetwork(rules, resolve, network or httpcore.SyncBackend()),
        )

    @contextmanager
    def open_stream(self, url: str) -> Iterator[FetchedStream]:
        """The file behind `url`, following at most MAX_REDIRECTS redirects, each of them checked.

        Raises FetchRefused when the rules forbid it, FetchFailed for any answer but 200 with a body
        and for every fault of the network. One attempt; repeating is the caller's.
        """
        ends = time.monotonic() + self._total
        target = self._rules.check_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            with self._answer(target) as response:
                location = _header(response, b"location")
                if response.status not in _REDIRECTS or not location:
                    yield _stream(response, target, ends)
                    return
            target = self._rules.check_url(urljoin(target.url, location))
        raise FetchRefused(
            RefusalReason.REDIRECTS, target.host, f"The URL redirects more than {MAX_REDIRECTS} times."
        )

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    @contextmanager
    def _answer(self, target: Target) -> Iterator[httpcore.Response]:
        request = httpcore.Request(
            "GET",
            httpcore.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=target.port,
                target=target.path.encode(),
            ),
            headers={
                "Host": target.netloc,
                "User-Agent": USER_AGENT,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            },
            extensions={"timeout": self._timeouts},
        )
        # Only opening is translated here: what the caller raises inside passes as it is.
        with _named_errors(target.host):
            response = self._pool.handle_request(request)
        try:
            yield response
        finally:
            response.close()


def _stream(response: httpcore.Response, target: Target, ends: float) -> FetchedStream:
    if response.status != 200:
        raise _status_error(response, target.host)
    if _header(response, b"content-encoding").lower() not in {"", "identity"}:
        raise FetchFailed(
            f"{target.host} sent the file compressed although that was not asked for.",
            category=ErrorCategory.FILE_ERROR,
            retryable=True,
            status=response.status,
        )
    length = _header(response, b"content-length")
    return FetchedStream(
        status=response.status,
        content_type=_header(response, b"content-type").partition(";")[0].strip().lower(),
        content_length=int(length) if length.isascii() and length.isdigit() else None,
        chunks=_chunks(response, target.host, ends),
    )


def _chunks(response: httpcore.Response, host: str, ends: float) -> Iterator[bytes]:
    with _named_errors(host):
        for chunk in response.iter_stream():
            if time.monotonic() > ends:
                raise FetchFailed(
                    f"{host} sends the file too slowly; the download was given up.",
                    category=ErrorCategory.TIMEOUT,
                    retryable=True,
                    status=response.status,
                )
            yield chunk


def _status_error(response: httpcore.Response, host: str) -> FetchFailed:
    status = response.status
    if status in _GONE:
        sentence, category, retryable = "no longer has the file at this URL", ErrorCategory.FILE_ERROR, False
    elif status == 429:
        sentence, category, retryable = "asks for fewer downloads", ErrorCategory.RATE_LIMIT, True
    elif status >= 500 or status in {408, 425}:
        sentence, category, retryable = "cannot serve the file now", ErrorCategory.SERVICE_ERROR, True
    else:
        sentence, category, retryable = "did not send the file", ErrorCategory.FILE_ERROR, status < 300
    wait = _header(response, b"retry-after")
    return FetchFailed(
        f"{host} {sentence} (HTTP {status}).",
        category=category,
        retryable=retryable,
        words=f"HTTP {status}",
        status=status,
        retry_after=float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 5 else None,
    )


def _header(response: httpcore.Response, name: bytes) -> str:
    found = next((value for key, value in response.headers if key.lower() == name), b"")
    return found.decode("latin-1").strip()


@contextmanager
def _named_errors(host: str) -> Iterator[None]:
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        never_sent = isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout | httpcore.PoolTimeout)
        timed_out = isinstance(error, httpcore.TimeoutException)
        words = clean(str(error)) or type(error).__name__
        what = "could not be reached" if never_sent else "broke off the download"
        raise FetchFailed(
            f"{host} {'did not answer in time' if timed_out else what}: {words}.",
            category=ErrorCategory.TIMEOUT if timed_out else ErrorCategory.NETWORK,
            retryable=True,
            words=words,
            sent=not never_sent,
        ) from error


def from_settings(settings: Settings) -> Fetcher:
    """The fetcher for the providers' result hosts, ALLOWED_FETCH_HOSTS and, in the local profile, the
    sandbox. Raises SettingsError for a malformed host."""
    hosts = (*result_hosts(), *weights_hosts(), *settings.fetch_hosts)
    return Fetcher(rules_for(hosts, settings.fetch_loopback))
