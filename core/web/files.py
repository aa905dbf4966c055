"""GET and HEAD `/files/{bucket}/{path}`: the local storage's files, to whoever holds a signed link."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import format_datetime
from functools import lru_cache

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core import log
from core.access import Action
from core.errors import InvalidInput, NotFound, SettingsError, StorageError, StudioOpsError
from core.settings import current
from core.storage.backend import local_from_settings
from core.storage.links import PREFIX, LinkState
from core.storage.objects import LocalReader, LocalStorage
from core.web import answers, link_holders

# The content behind a key never changes in kind, and a permanent link's never ends.
_FOREVER = "public, max-age=31536000, immutable"
_ONCE = "private, no-store"
_NO_FILE = "There is no such file."
_NOT_NOW = StorageError("The file cannot be read now. Try again.", retryable=True)
_METHODS = ("GET", "HEAD")

_log = log.get(__name__)


@dataclass(frozen=True)
class ByteRange:
    """`length` bytes from `start`."""

    start: int
    length: int


class RangeNotSatisfiable(StudioOpsError):
    code = "range_not_satisfiable"
    http_status = 416


class MethodNotAllowed(StudioOpsError):
    code = "method_not_allowed"
    http_status = 405


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that a Range header asks for, or None to send the whole file.

    Several ranges and malformed ones are ignored, as RFC 9110 section 14.2 allows. Raises
    RangeNotSatisfiable for a range that begins after the end.
    """
    match = re.fullmatch(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", header or "", re.ASCII | re.I)
    if not match or not (match[1] or match[2]):
        return None
    if match[1]:
        start, last = int(match[1]), int(match[2]) if match[2] else size - 1
        if match[2] and last < start:
            return None
    else:
        start, last = max(size - int(match[2]), 0), size - 1
    last = min(last, size - 1)
    if start >= size or last < start:
        raise RangeNotSatisfiable(f"The file has {size:,} bytes; the range asked for lies beyond them.")
    return ByteRange(start, last - start + 1)


def make_routes(storage: Callable[[], LocalStorage]) -> list[Route]:
    """The file route over the storage that `storage` gives; it is asked at each request."""
    nothing = answers.NothingHere()
    return [
        Route(PREFIX + "/{bucket}/{path:path}", _Files(storage)),
        Route(PREFIX, nothing),
        Route(PREFIX + "/{rest:path}", nothing),
    ]


class _Files:
    """ASGI endpoint, and no function, so that it gets every method and refuses in our own words."""

    def __init__(self, storage: Callable[[], LocalStorage]) -> None:
        self._storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.new_request_id()
        response = await self._serve(Request(scope, receive))
        await response(scope, receive, send)

    async def _serve(self, request: Request) -> Response:
        try:
            _check_method(request)
            reader = await run_in_threadpool(_open_linked, self._storage(), request)
        except SettingsError:
            # Files lie elsewhere, and no link of the folder's was ever signed.
            return _refusal(NotFound(_NO_FILE))
        except StorageError as error:
            _log.error("file_unreadable", bucket=request.path_params["bucket"], error=error.message)
            return _refusal(_NOT_NOW)
        except SQLAlchemyError as error:
            _log.error("link_holder_unknown", exc_info=error)
            return _refusal(_NOT_NOW)
        except StudioOpsError as error:
            return _refusal(error)
        try:
            return _answer(request, reader)
        except BaseException:
            reader.close()
            raise


def _check_method(request: Request) -> None:
    if request.method not in _METHODS:
        raise MethodNotAllowed(f"Files are read with GET or HEAD, not {request.method}.")


def _open_linked(storage: LocalStorage, request: Request) -> LocalReader:
    """The file, once its link is proven good. Raises a StudioOpsError."""
    bucket, path = request.path_params["bucket"], request.path_params["path"]
    session = request.query_params.get("session")
    state = storage.check_link(
        bucket, path, request.query_params.get("sig", ""), request.query_params.get("exp"), session
    )
    if state is not LinkState.GOOD:
        raise _BadLink(state)
    if session is not None:
        link_holders.of(session, Action.VIEW)
    try:
        return storage.open(bucket, path)
    except (InvalidInput, NotFound):
        raise NotFound(_NO_FILE) from None


class _BadLink(StudioOpsError):
    http_status = 403

    def __init__(self, state: LinkState) -> None:
        expired = state is LinkState.EXPIRED
        self.code = "link_expired" if expired else "bad_signature"
        super().__init__(
            "This link has expired. Ask for a new one."
            if expired
            else "This link is not signed by us. Copy the whole address again."
        )


def _answer(request: Request, reader: LocalReader) -> Response:
    info, headers = reader.info, _headers(request, reader)
    if _matches(request.headers.get("if-none-match"), info.etag):
        reader.close()
        return Response(status_code=304, headers=headers)
    try:
        wanted = parse_range(_range_header(request, info.etag), info.bytes)
    except RangeNotSatisfiable as error:
        reader.close()
        refusal = _refusal(error)
        refusal.headers["Content-Range"] = f"bytes */{info.bytes}"
        return refusal
    start, length = (wanted.start, wanted.length) if wanted else (0, info.bytes)
    headers["Content-Length"] = str(length)
    headers["Content-Type"] = info.content_type
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{info.bytes}"
    status = 206 if wanted else 200
    if request.method == "HEAD":
        reader.close()
        return Response(status_code=status, headers=headers)
    return _FileResponse(reader, start, length, status, headers)


class _FileResponse(StreamingResponse):
    """Streams a reader, each read in the thread pool, and closes it however the sending ends."""

    def __init__(
        self, reader: LocalReader, start: int, length: int, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(reader.chunks(start, length), status_code=status, headers=headers)
        self._reader = reader

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reader.close()


def _headers(request: Request, reader: LocalReader) -> dict[str, str]:
    """The headers that every answer about this file carries, a 304 too."""
    info = reader.info
    shown = info.content_type.startswith(("image/", "video/"))
    download = request.query_params.get("download") == "1" or not shown
    name = info.path.rpartition("/")[2]
    return {
        "ETag": info.etag,
        "Cache-Control": _ONCE if "exp" in request.query_params else _FOREVER,
        "Accept-Ranges": "bytes",
        "Last-Modified": format_datetime(info.modified_at, usegmt=True),
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'{"attachment" if download else "inline"}; filename="{name}"',
    }


def _range_header(request: Request, etag: str) -> str | None:
    """The Range header, unless If-Range says that the client's part is of another version."""
    condition = request.headers.get("if-range")
    return request.headers.get("range") if condition in {None, etag} else None


def _matches(header: str | None, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in (header or "").split(",")}
    return etag in tags or "*" in tags


def _refusal(error: StudioOpsError) -> Response:
    """An error in the API's shape; never kept by a cache."""
    allow = {"Allow": ", ".join(_METHODS)} if error.http_status == 405 else None
    return answers.error(error.http_status, error.code, error.message, allow)


@lru_cache(maxsize=1)
def _configured() -> LocalStorage:
    return local_from_settings(current())


routes: list[Route] = make_routes(_configured)
