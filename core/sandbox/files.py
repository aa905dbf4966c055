"""The result files over HTTP: `/results/NAME`, and `/results/filler-BYTES-ANYTHING.EXT` without a task."""

import asyncio
import hmac
import re
import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.sandbox.answers import Dropped, FileAnswer
from core.sandbox.database import cut_connections
from core.sandbox.fault import Place, Value
from core.sandbox.pictures import CONTENT_TYPES, MOST_BYTES, Source
from core.sandbox.service import Sandbox
from core.sandbox.store import Entry, now_ms
from core.sandbox.tasks import Task, task_of_file

_FILLER = re.compile(r"filler-(?P<size>\d{1,10})-[\w-]+\.(?:jpg|png|mp4)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
_GONE = {403: ("AccessDenied", "Request has expired"), 410: ("Gone", "The object has been removed")}
_MISSING = ("NoSuchKey", "The specified key does not exist")
_HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking</body></html>"


class Files:
    """The result files of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [Route("/results/{name}", self._get, methods=["GET"])]

    async def _get(self, request: Request) -> Response:
        name = request.path_params["name"]
        entry = Entry("file", note=name)
        task = self._sandbox.store.task(task_of_file(name))
        if task is not None:
            entry.task, entry.generation = task.id, task.generation
        struck = self._sandbox.book.strike(Place.FILE, task.id if task else name, task.marks if task else ())
        entry.note = " ".join([name, *struck])
        await asyncio.sleep(self._sandbox.dials.file_latency_seconds + float(struck.get("latency") or 0))
        if "database_cut" in struck:
            await self._cut_database(entry)
        response = await self._answer(request, name, task, struck, entry)
        if not isinstance(response, FileAnswer):
            self._log(
                entry, 0 if isinstance(response, Dropped) else response.status_code, len(response.body or b"")
            )
        return response

    async def _cut_database(self, entry: Entry) -> None:
        if self._sandbox.database_url is None:
            entry.note += " (no database is known here)"
            return
        cut = await asyncio.to_thread(cut_connections, self._sandbox.database_url)
        entry.note += f" ({cut} connections)"

    def _log(self, entry: Entry, status: int, sent: int) -> None:
        entry.status, entry.bytes, entry.ms = status, sent, now_ms() - entry.at
        self._sandbox.store.note(entry)

    async def _answer(
        self, request: Request, name: str, task: Task | None, struck: dict[str, Value], entry: Entry
    ) -> Response:
        if refused := self._refusal(request, name, struck):
            return refused
        source = await self._source(name, task, struck)
        if source is None:
            return _error(404)
        headers = {
            "content-type": str(struck.get("wrong_content_type") or CONTENT_TYPES[name.rsplit(".", 1)[-1]]),
            "accept-ranges": "bytes",
            "etag": f'"{name}-{source.size}"',
            "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        }
        size = source.size // 2 if "short_file_ok" in struck else source.size
        found = span(request.headers.get("range"), size)
        if found is None:
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        start, stop, status = found
        if status == 206:
            headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        return FileAnswer(
            source,
            status=status,
            headers=headers,
            start=start,
            stop=stop,
            cut_at=(stop - start) // 2 if "truncated_file" in struck else None,
            sized="no_content_length" not in struck,
            finished=lambda sent: self._log(entry, status, sent),
        )

    def _refusal(self, request: Request, name: str, struck: dict[str, Value]) -> Response | None:
        """What is answered instead of the file, if anything."""
        if "dead" in struck:
            return Dropped()
        if "server_error" in struck:
            return _error(int(struck["server_error"] or 500))
        if "expired_url" in struck:
            return _error(int(struck["expired_url"] or 404))
        if "html_as_jpg" in struck:
            return Response(_HTML, media_type=CONTENT_TYPES.get(name.rsplit(".", 1)[-1], "image/jpeg"))
        if "redirect_private" in struck:
            return RedirectResponse(str(struck["redirect_private"]), status_code=302)
        return None if self._link_valid(request, name) else _error(403)

    def _link_valid(self, request: Request, name: str) -> bool:
        """False for a download link that ended or was altered; a plain result URL carries no signature."""
        until, given = request.query_params.get("until", ""), request.query_params.get("signature")
        if given is None:
            return True
        if not until.isdecimal() or int(until) < time.time():
            return False
        return hmac.compare_digest(given.encode(), self._sandbox.signature(name, int(until)).encode())

    async def _source(self, name: str, task: Task | None, struck: dict[str, Value]) -> Source | None:
        pictures = self._sandbox.pictures
        if match := _FILLER.fullmatch(name):
            size = int(match["size"])
            return pictures.filler(name, size) if size <= MOST_BYTES else None
        if task is None or name not in task.file_names or not task.done(now_ms()) or task.failure:
            return None
        size = int(struck.get("file_size") or self._sandbox.dials.file_bytes)
        return pictures.filler(name, size) if size else await pictures.of(task, name)


def _error(status: int) -> Response:
    code, message = _GONE.get(
        status, _MISSING if status == 404 else ("InternalError", "We encountered an error")
    )
    return Response(_XML.format(code=code, message=message), status_code=status, media_type="application/xml")


def span(header: str | None, size: int) -> tuple[int, int, int] | None:
    """(start, stop, status) of one Range, None if unsatisfiable; a header not understood is ignored."""
    match = _RANGE.fullmatch(header or "")
    if match is None or not (match[1] or match[2]):
        return 0, size, 200
    if not match[1]:
        start, stop = max(size - int(match[2]), 0), size
    else:
        start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    return (start, stop, 206) if start < stop else None
