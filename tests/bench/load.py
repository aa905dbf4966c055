"""Open-loop load in a process of its own: `python -m tests.bench.load PLAN RESULT`.

Requests leave on a fixed schedule whether or not earlier ones were answered, and an answer's time
counts from the moment at which its request was due: a server that falls behind shows it.
"""

import asyncio
import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from core import settings
from tests.bench.rig import until

WARM_UP_S = 0.5
ANSWERS_WITHIN_S = 60.0
# A connection that has rested for longer is not used again: the server closes them after 5 s, and a
# request that meets the close would be lost by the client, not by the product.
KEPT_S = 2.0
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True)
class Post:
    """One request: path with query, body as text, and a user's token."""

    path: str
    body: str = ""
    method: str = "POST"
    bearer: str = ""


@dataclass(frozen=True)
class Plan:
    """`rate` requests a second to 127.0.0.1:`port`, in the order of `posts`."""

    port: int
    rate: float
    posts: Sequence[Post]


@dataclass(frozen=True)
class Result:
    """`began_at` is the Unix time at which the first was due; for each request its status (0: no answer)
    and the milliseconds from the moment it was due. `late_ms` is how late the generator itself ever was."""

    began_at: float
    statuses: tuple[int, ...]
    latencies_ms: tuple[float, ...]
    late_ms: float

    def count(self, status: int) -> int:
        """How many were answered with `status`."""
        return self.statuses.count(status)

    def percentile(self, part: float) -> float:
        """The latency that this part of the requests stayed within."""
        return percentile(self.latencies_ms, part)


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * part // 1) - 1))]


@contextmanager
def begun(plan: Plan) -> Iterator[Callable[[], Result]]:
    """The load under way in its own process; call what is given for its result."""
    with tempfile.TemporaryDirectory() as folder:
        planned, done = Path(folder) / "plan.json", Path(folder) / "result.json"
        planned.write_text(json.dumps(asdict(plan)))
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.load", str(planned), str(done)], cwd=settings.ROOT
        )

        def result() -> Result:
            longest = len(plan.posts) / plan.rate + ANSWERS_WITHIN_S + 30
            until(lambda: child.poll() is not None, longest, "the end of the load")
            if child.returncode:
                raise RuntimeError(f"the load generator ended with {child.returncode}")
            found = json.loads(done.read_text())
            return Result(
                found["began_at"], tuple(found["statuses"]), tuple(found["latencies_ms"]), found["late_ms"]
            )

        try:
            yield result
        finally:
            child.kill()
            child.wait()


def run(plan: Plan) -> Result:
    """Send the load and wait for its result."""
    with begun(plan) as result:
        return result()


class _Connection(asyncio.Protocol):
    """One kept connection with at most one request on it."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self._number: int | None = None
        self._transport: asyncio.Transport | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, number: int, request: bytes) -> None:
        assert self._transport is not None
        self._number, self._received = number, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if end else None
        if length is None or len(body) < int(length[1]) or self._number is None:
            return
        number, self._number = self._number, None
        self._load.answered(number, int(head[9:12]))
        self.idle_since = asyncio.get_running_loop().time()
        self._load.idle.append(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self in self._load.idle:
            self._load.idle.remove(self)
        if self._number is not None:
            self._load.answered(self._number, 0)


class _Load:
    def __init__(self, port: int, requests: list[bytes], rate: float) -> None:
        self._port, self._requests, self._rate = port, requests, rate
        self.idle: list[_Connection] = []
        self._statuses = [0] * len(requests)
        self._latencies = [0.0] * len(requests)
        self._late = 0.0
        self._open = len(requests)
        self._done = asyncio.Event()
        self._begin = 0.0

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        self._begin = loop.time() + WARM_UP_S
        began_at = time.time() + WARM_UP_S
        for number in range(len(self._requests)):
            due = self._begin + number / self._rate
            if (pause := due - loop.time()) > 0:
                await asyncio.sleep(pause)
            self._late = max(self._late, loop.time() - due)
            await self._send(number)
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            await self._done.wait()
        return Result(began_at, tuple(self._statuses), tuple(self._latencies), self._late * 1000)

    async def _send(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        while self.idle:
            connection = self.idle.pop()
            if loop.time() - connection.idle_since < KEPT_S:
                connection.send(number, self._requests[number])
                return
            connection.close()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        connection.send(number, self._requests[number])

    def answered(self, number: int, status: int) -> None:
        self._statuses[number] = status
        due = self._begin + number / self._rate
        self._latencies[number] = (asyncio.get_running_loop().time() - due) * 1000
        self._open -= 1
        if not self._open:
            self._done.set()


def _bytes(post: Post, port: int) -> bytes:
    body = post.body.encode()
    head = (
        f"{post.method} {post.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"{f'Authorization: Bearer {post.bearer}' + chr(13) + chr(10) if post.bearer else ''}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main(planned: str, done: str) -> None:
    """Carry out the plan of one file and write the result to another."""
    plan = json.loads(Path(planned).read_text())
    requests = [_bytes(Post(**post), plan["port"]) for post in plan["posts"]]
    load = _Load(plan["port"], requests, plan["rate"])
    gc.disable()
    result = asyncio.run(load.run())
    Path(done).write_text(json.dumps(asdict(result)))


if __name__ == "__main__":
    main(*sys.argv[1:])
