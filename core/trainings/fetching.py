"""Images fetched by their addresses: direct first, through the company's proxy second, several at once."""

import contextvars
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlsplit

from core import log
from core.errors import ErrorCategory
from core.providers.fetch import FetchedStream, Fetcher, FetchFailed
from core.providers.fetch_rules import FetchRefused, rules_for
from core.providers.registry import result_hosts
from core.settings import LOOPBACK, Settings
from core.storage.file_types import looks_like_text
from core.trainings.images import MAX_BYTES

TRIES = 3
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 30.0
AT_ONCE = 8
_BUFFER = 256 * 1024

_log = log.get(__name__)


class Way(StrEnum):
    """How an image is fetched."""

    DIRECT = "direct"
    PROXY = "proxy"


@dataclass(frozen=True)
class Proxy:
    """The company's image proxy: `{url}?url=…` answers with the image. Its fetcher reaches it alone."""

    url: str
    fetcher: Fetcher

    def of(self, url: str) -> str:
        """Where the proxy has the image."""
        return f"{self.url}{'&' if '?' in self.url else '?'}url={quote(url, safe='')}"


@dataclass(frozen=True)
class FetchedImage:
    """What became of one address. `path` is where the bytes lie, None when they could not be had: `failure`
    then says why and what to do. `failed` are the ways that were tried in vain;
    `refused`: nothing was sent."""

    n: int
    url: str = field(repr=False)
    path: Path | None = None
    bytes: int = 0
    way: Way | None = None
    failed: tuple[Way, ...] = ()
    failure: str | None = None
    refused: bool = False


def fetch_all(
    urls: Sequence[str],
    folder: Path,
    fetcher: Fetcher,
    sleep: Callable[[float], None],
    proxy: Proxy | None = None,
) -> Sequence[FetchedImage]:
    """Fetch every image into `folder`, at most AT_ONCE together; one outcome each, in the order given.

    Each is tried at most TRIES times, 2 s after the first failure and then twice as long; a try is direct,
    then through the proxy at once. One that the guard refuses goes no way at all. Raises nothing.
    """
    ways = [(Way.DIRECT, fetcher, lambda url: url)]
    if proxy is not None:
        ways.append((Way.PROXY, proxy.fetcher, proxy.of))

    def one(n: int, url: str) -> FetchedImage:
        return _Fetch(n, len(urls), url, folder / f"{n:03}.fetched", ways, sleep).run()

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="image") as pool:
        begun = [
            pool.submit(contextvars.copy_context().run, one, n, url) for n, url in enumerate(urls, start=1)
        ]
        return [fetch.result() for fetch in begun]


def fetcher_for(settings: Settings) -> Fetcher:
    """A fetcher for the hosts that images may come from: results', our storage's and ALLOWED_FETCH_HOSTS."""
    origins = (urlsplit(origin) for origin in settings.storage_origins)
    ours = [parts.hostname for parts in origins if parts.hostname and parts.scheme == "https"]
    hosts = (*result_hosts(), *settings.fetch_hosts, *ours)
    return Fetcher(rules_for(hosts, settings.fetch_loopback), total_timeout=120.0)


def proxy_for(settings: Settings) -> Proxy | None:
    """The proxy of IMAGE_PROXY_URL, None when it is not set."""
    if not settings.image_proxy_url:
        return None
    parts = urlsplit(settings.image_proxy_url)
    host = parts.hostname or ""
    rules = rules_for((), (host, parts.port or 80)) if host in LOOPBACK else rules_for((host,))
    return Proxy(settings.image_proxy_url, Fetcher(rules, total_timeout=120.0))


_Ways = Sequence[tuple[Way, Fetcher, Callable[[str], str]]]


@dataclass
class _Fetch:
    """The tries for one address."""

    n: int
    of: int
    url: str = field(repr=False)
    path: Path
    ways: _Ways
    sleep: Callable[[float], None]

    def run(self) -> FetchedImage:
        failed: dict[Way, FetchFailed] = {}
        for attempt in range(TRIES):
            if attempt:
                self.sleep(_pause(attempt, failed.values()))
            for way, fetcher, address in self.ways:
                try:
                    size = self._receive(fetcher, address(self.url))
                except FetchRefused as refused:
                    self._tell("training.image_refused", way, reason=refused.reason)
                    told = f"{refused.message} {_OTHERWISE}"
                    return FetchedImage(self.n, self.url, failure=told, refused=True)
                except FetchFailed as failure:
                    self._tell("training.image_failed", way, attempt=attempt + 1, words=failure.message)
                    failed[way] = failure
                    continue
                self._tell("training.image_fetched", way, kb=round(size / 1000, 1))
                lost = tuple(other for other in failed if other is not way)
                return FetchedImage(self.n, self.url, self.path, size, way, lost)
            if not any(failure.retryable for failure in failed.values()):
                break
        self.path.unlink(missing_ok=True)
        words = failed[Way.DIRECT].message
        return FetchedImage(self.n, self.url, failed=tuple(failed), failure=f"{words} {_REMEDY}")

    def _tell(self, event: str, way: Way, **facts: object) -> None:
        tell = _log.info if event == "training.image_fetched" else _log.warning
        host = urlsplit(self.url).hostname if "://" in self.url else None
        tell(event, image=f"{self.n}/{self.of}", way=way, host=host, **facts)

    def _receive(self, fetcher: Fetcher, url: str) -> int:
        with ExitStack() as stack:
            stream = stack.enter_context(fetcher.open_stream(url))
            file = stack.enter_context(self.path.open("wb", buffering=_BUFFER))
            host = urlsplit(url).hostname or ""
            size = 0
            for chunk in _checked(stream, host):
                size += len(chunk)
                file.write(chunk)
            return size


_OTHERWISE = "Or download the image yourself and add the file."
_REMEDY = "Open the address in a browser; if it shows the image, try again or add the file itself."


def _checked(stream: FetchedStream, host: str) -> Iterator[bytes]:
    """The chunks, as long as they are neither too many nor a page in the place of an image."""
    size = 0
    if stream.content_length is not None and stream.content_length > MAX_BYTES:
        raise _unusable(
            f"{host} has a file of {stream.content_length / 1e6:,.0f} MB there, which is too large."
        )
    for chunk in stream.chunks:
        if not size and looks_like_text(chunk):
            raise _unusable(f"{host} answers with a page or a text, not with an image.", retryable=True)
        size += len(chunk)
        if size > MAX_BYTES:
            raise _unusable(f"{host} has a file of more than {MAX_BYTES / 1e6:,.0f} MB there.")
        yield chunk
    if not size:
        raise _unusable(f"{host} answers with nothing.", retryable=True)


def _unusable(message: str, *, retryable: bool = False) -> FetchFailed:
    return FetchFailed(message, category=ErrorCategory.FILE_ERROR, retryable=retryable, status=200)


def _pause(attempt: int, failures: Iterable[FetchFailed]) -> float:
    """2 s, then twice as long each time; longer when a host asks for it."""
    asked: float = max((failure.retry_after or 0.0 for failure in failures), default=0.0)
    return max(FIRST_PAUSE_S * float(2 ** (attempt - 1)), min(asked, LONGEST_PAUSE_S))
