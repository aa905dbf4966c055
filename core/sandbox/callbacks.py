"""Sends the callbacks that are owed, to loopback addresses only.

A callback is closed once it was answered or tried often enough. One that was cut short by a crash is sent
again after the restart, so it may arrive twice, as it may from KIE.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import ipaddress
import json
import time
from urllib.parse import urlsplit

from core.sandbox.service import Sandbox
from core.sandbox.store import Entry, Owed, now_ms

AT_ONCE = 32
TIMEOUT_SECONDS = 15.0
IDLE_SECONDS = 0.25


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine itself; a name other than localhost is not looked up."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


async def post(url: str, content: bytes, headers: dict[str, str]) -> int:
    """POST to a plain http URL and return the answer's status; OSError or TimeoutError when there is none.

    One connection a call and nothing else of HTTP: a pooling client took ten times the CPU, which the
    measurements that run against the sandbox would pay for.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(content)}"]
    lines += ["Connection: close", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            writer.write("\r\n".join(lines).encode("latin-1") + content)
            status_line = (await reader.readline()).split(b" ", 2)
            await reader.read(65536)
        finally:
            writer.close()
    if len(status_line) < 2 or not status_line[0].startswith(b"HTTP/1.") or not status_line[1][:3].isdigit():
        raise ConnectionResetError("closed without an answer")
    return int(status_line[1][:3])


def callable_url(url: str) -> bool:
    """Whether the URL is plain http on this machine and holds nothing that would break a request line."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return (
        parts.scheme == "http"
        and port_ok
        and url.isascii()
        and url.isprintable()
        and " " not in url
        and is_loopback(url)
    )


def signature_headers(task_id: str, key: str, timestamp: int) -> dict[str, str]:
    """KIE's webhook headers. The signature covers the task's id and the time, not the body."""
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return {"X-Webhook-Timestamp": str(timestamp), "X-Webhook-Signature": base64.b64encode(digest).decode()}


class Postman:
    """Follows the owed callbacks and, between them, writes the log and settles the finished tasks."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._under_way: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        store = self._sandbox.store
        try:
            while True:
                now = now_ms()
                store.settle(now)
                store.flush()
                self._start_due(now)
                due = store.next_due(now)
                pause = IDLE_SECONDS if due is None else min(IDLE_SECONDS, max(due - now_ms(), 1) / 1000)
                self._sandbox.wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._sandbox.wake.wait(), pause)
        finally:
            for sending in self._under_way.values():
                sending.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start_due(self, now: int) -> None:
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return
        for owed in self._sandbox.store.due(now, AT_ONCE + len(self._under_way)):
            if owed.id in self._under_way:
                continue
            if room == 0:
                return
            room -= 1
            sending = asyncio.create_task(self.send(owed))
            self._under_way[owed.id] = sending
            sending.add_done_callback(lambda _, done=owed.id: self._done(done))  # type: ignore[misc]

    def _done(self, callback_id: int) -> None:
        self._under_way.pop(callback_id, None)
        self._sandbox.wake.set()

    async def send_first(self, task_id: str) -> None:
        """Send the task's first callback now and wait for its answer."""
        owed = self._sandbox.store.first_callback(task_id)
        if owed is not None and owed.id not in self._under_way:
            sending = asyncio.create_task(self.send(owed))
            self._under_way[owed.id] = sending
            sending.add_done_callback(lambda _: self._done(owed.id))
            await sending

    async def send(self, owed: Owed) -> None:
        """One try; its answer goes into the log."""
        store, dials = self._sandbox.store, self._sandbox.dials
        task = store.task(owed.task)
        if task is None or task.callback_url is None:
            return
        entry = Entry("callback", task=task.id, generation=task.generation)
        again = await self._post(task.callback_url, task.id, self._sandbox.callback(task), entry)
        entry.ms = now_ms() - entry.at
        store.note(entry)
        last = not again or owed.tries + 1 >= dials.callback_attempts
        store.tried(owed, None if last else now_ms() + round(dials.callback_retry_seconds * 1000))

    async def _post(self, url: str, task_id: str, body: dict[str, object], entry: Entry) -> bool:
        """Whether another try is due."""
        if not callable_url(url):
            entry.kind, entry.note = "callback_refused", "the sandbox calls http URLs of this machine only"
            return False
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "KIE-Sandbox"}
        if self._sandbox.hmac_key:
            headers |= signature_headers(task_id, self._sandbox.hmac_key, int(time.time()))
        entry.code, entry.bytes = int(str(body["code"])), len(content)
        try:
            entry.status = await post(url, content, headers)
        except (OSError, TimeoutError, ValueError) as error:
            entry.note = f"no answer: {type(error).__name__}"
            return True
        return not 200 <= entry.status < 300
