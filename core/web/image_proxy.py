"""GET `/api/image-proxy?url=`: an image of an allowed host, streamed through to a browser that may not fetch
it itself. What is fetched passes the one fetch guard; what is sent is an image by its bytes, or nothing."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from core import log, settings
from core.access import Actor
from core.errors import Busy, StudioOpsError
from core.providers.fetch import FetchedStream, Fetcher
from core.providers.fetch_rules import MAX_URL
from core.storage.file_types import HEAD_BYTES, sniff
from core.trainings.fetching import fetcher_for
from core.web.auth import caller
from core.web.openapi import refusals

router = APIRouter(tags=["Images"])
MAX_BYTES = 50 * 1024 * 1024
# Streams that may wait for other hosts at once; they have threads of their own.
AT_ONCE = 16
_THREADS = CapacityLimiter(AT_ONCE)
_open_now = 0

_log = log.get(__name__)
T = TypeVar("T")
_IMAGE: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The image",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class NotAnImage(StudioOpsError):
    code = "not_an_image"
    http_status = 415


class TooLarge(StudioOpsError):
    code = "too_large"
    http_status = 413


@dataclass
class _Opened:
    """An answer whose first bytes have been read and found to be an image's."""

    block: AbstractContextManager[FetchedStream]
    stream: FetchedStream
    head: bytes
    content_type: str


@router.get(
    "/image-proxy",
    response_class=StreamingResponse,
    responses=_IMAGE | refusals(400, 401, 413, 415, 502, 503),
)
async def image_proxy(
    url: Annotated[str, Query(min_length=1, max_length=MAX_URL, description="The image's https address")],
    _actor: Annotated[Actor, Depends(caller)],
) -> StreamingResponse:
    """The image at `url`, from a host that results, our storage or ALLOWED_FETCH_HOSTS name."""
    global _open_now
    if _open_now >= AT_ONCE:
        raise Busy("Too many images are fetched just now. Try again in a few seconds.", retry_after=3)
    _open_now += 1
    try:
        opened = await _threaded(lambda: _open(_fetcher(), url))
    except BaseException:
        _open_now -= 1
        raise
    headers = {
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": "inline",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if opened.stream.content_length is not None:
        headers["Content-Length"] = str(opened.stream.content_length)
    return _Streamed(opened, headers)


class _Streamed(StreamingResponse):
    """Sends an opened answer, and closes it and gives its place back however the sending ends."""

    def __init__(self, opened: _Opened, headers: dict[str, str]) -> None:
        super().__init__(_chunks(opened), media_type=opened.content_type, headers=headers)
        self._opened = opened

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        global _open_now
        try:
            await super().__call__(scope, receive, send)
        except StudioOpsError as fault:
            # Left unfinished, so that the server closes the connection and nobody takes it for whole.
            _log.warning("image_proxy.broke_off", code=fault.code, message=fault.message)
        finally:
            _open_now -= 1
            self._opened.block.__exit__(None, None, None)


async def _chunks(opened: _Opened) -> AsyncIterator[bytes]:
    """The bytes; an answer that grows too large breaks off, so that nobody takes it for whole."""
    size = len(opened.head)
    yield opened.head
    chunks = iter(opened.stream.chunks)
    while chunk := await _threaded(lambda: next(chunks, b"")):
        size += len(chunk)
        if size > MAX_BYTES:
            raise TooLarge(_TOO_LARGE)
        yield chunk


_TOO_LARGE = f"The image has more than {MAX_BYTES / 1e6:,.0f} MB. Ask for a smaller one."


def _open(fetcher: Fetcher, url: str) -> _Opened:
    block = fetcher.open_stream(url)
    stream = block.__enter__()
    try:
        if (stream.content_length or 0) > MAX_BYTES:
            raise TooLarge(_TOO_LARGE)
        head = _head(stream.chunks)
        file_type = sniff(head)
        if file_type is None or file_type.kind != "image":
            raise NotAnImage("There is no image at this address (JPEG, PNG, WebP, GIF, AVIF).")
    except BaseException as error:
        block.__exit__(type(error), error, error.__traceback__)
        raise
    return _Opened(block, stream, head, file_type.content_type)


def _head(chunks: Iterator[bytes]) -> bytes:
    """The first bytes, enough to tell an image by."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    return head


async def _threaded(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work, limiter=_THREADS)


@lru_cache(maxsize=1)
def _fetcher() -> Fetcher:
    return fetcher_for(settings.current())
