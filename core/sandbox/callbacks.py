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
import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from core.sandbox.service import Sandbox
from core.sandbox.store import Entry, Owed, now_ms
from core.sandbox.tasks import (
    FAILED,
    OTHER_TASK,
    REPLAYED,
    STILL_GENERATING,
    UNSIGNED,
    WRONG_SECRET,
    Task,
)
from core.sandbox.trainings import Training

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


def forged(body: Mapping[str, object], task_id: str, state: str = "success") -> dict[str, object]:
    """A callback that says of the task what is not so."""
    data = body["data"]
    assert isinstance(data, dict)
    won = state == "success"
    said = {"resultUrls": ["https://tempfile.aiquickdraw.com/forged.jpg"]}
    failure = {"failCode": "500", "failMsg": "Internal Error, Please try again later."}
    false = {"taskId": task_id, "state": state, "resultJson": json.dumps(said) if won else None}
    return {
        "code": 501 if state == "fail" else 200,
        "msg": f"Playground task {'failed' if state == 'fail' else 'completed successfully'}.",
        "data": {**data, **false, **(failure if state == "fail" else {})},
    }


# The body and the headers of a training's webhook.
Writer = Callable[[Training, Owed], tuple[bytes, dict[str, str]]]


class Postman:
    """Follows the owed callbacks and, between them, writes the log and settles the finished tasks."""

    def __init__(self, sandbox: Sandbox, write: Writer) -> None:
        self._sandbox = sandbox
        self._write = write
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
        if (task := store.task(owed.task)) is not None and task.callback_url is not None:
            entry = Entry("callback", task=task.id, generation=task.generation, note=owed.says)
            url, body, signature = self._letter(task, task.callback_url, owed.says)
            entry.code = int(str(body["code"]))
            again = await self._post(url, json.dumps(body).encode(), signature, entry)
        elif (training := store.trainings.get(owed.task)) is not None and training.webhook is not None:
            entry = Entry("webhook", task=training.id, generation=training.run, note=owed.says)
            again = await self._post(training.webhook, *self._write(training, owed), entry)
        else:
            return
        entry.ms = now_ms() - entry.at
        store.note(entry)
        last = not again or owed.tries + 1 >= dials.callback_attempts
        store.tried(owed, None if last else now_ms() + round(dials.callback_retry_seconds * 1000))

    def _letter(self, task: Task, url: str, says: str) -> tuple[str, dict[str, object], dict[str, str]]:
        """Where a callback goes, its body, and its signature; `says` is what is wrong with it."""
        body, signed_at = self._sandbox.callback(task), int(time.time())
        if says == OTHER_TASK:
            other = self._sandbox.store.another(task.id) or "task_" + "f" * 32
            body = forged(body, other)
        elif says == FAILED:
            body = forged(body, task.id, state="fail")
        elif says == STILL_GENERATING:
            body = forged(body, task.id, state="generating")
        elif says == WRONG_SECRET:
            url = re.sub(r"(?<=[?&]secret=)[^&]*", "wrong", url)
        elif says.startswith(REPLAYED):
            signed_at -= round(float(says.removeprefix(REPLAYED)))
        signs = self._sandbox.hmac_key and says != UNSIGNED
        data = body["data"]
        named = str(data["taskId"]) if isinstance(data, dict) else task.id
        signature = signature_headers(named, self._sandbox.hmac_key or "", signed_at) if signs else {}
        return url, body, signature

    async def _post(self, url: str, content: bytes, more: dict[str, str], entry: Entry) -> bool:
        """Whether another try is due."""
        if not callable_url(url):
            entry.kind = f"{entry.kind}_refused"
            entry.note = "the sandbox calls http URLs of this machine only"
            return False
        headers = {"Content-Type": "application/json", "User-Agent": "KIE-Sandbox", **more}
        entry.bytes = len(content)
        try:
            entry.status = await post(url, content, headers)
        except (OSError, TimeoutError, ValueError) as error:
            entry.note = f"no answer: {type(error).__name__}"
            return True
        return not 200 <= entry.status < 300
