"""Answers that an ordinary server avoids: none at all, and files that break off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.sandbox.pictures import Source

CHUNK_BYTES = 256 * 1024


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection after what was already written, and wait until it is closed."""
    transport: asyncio.Transport = scope["state"]["transport"]
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


class Dropped(Response):
    """No answer: the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await drop(scope, receive)


class FileAnswer(Response):
    """Streams `start` to `stop` of a source in chunks, with flat memory.

    `cut_at` closes the connection after so many bytes although more were promised. `sized` False leaves
    Content-Length out. `finished` is told how many bytes went out.
    """

    def __init__(
        self,
        source: Source,
        *,
        status: int,
        headers: Mapping[str, str],
        start: int,
        stop: int,
        finished: Callable[[int], None],
        cut_at: int | None = None,
        sized: bool = True,
    ) -> None:
        self._source, self._start, self._stop = source, start, stop
        self._cut_at, self._finished = cut_at, finished
        self.status_code = status
        self.background = None
        length = {"content-length": str(stop - start)} if sized else {}
        self.raw_headers = [(k.lower().encode(), v.encode()) for k, v in {**headers, **length}.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sent = 0
        try:
            if scope["method"] != "HEAD":
                async for chunk in self._chunks(scope):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    sent += len(chunk)
            if self._cut_at is not None or scope["state"]["transport"].is_closing():
                await drop(scope, receive)
            else:
                await send({"type": "http.response.body", "body": b""})
        finally:
            self._finished(sent)

    async def _chunks(self, scope: Scope) -> AsyncIterator[bytes]:
        end = self._stop if self._cut_at is None else min(self._stop, self._start + self._cut_at)
        for at in range(self._start, end, CHUNK_BYTES):
            if scope["state"]["transport"].is_closing():
                return
            yield self._source.part(at, min(at + CHUNK_BYTES, end))
