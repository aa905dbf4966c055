"""Files that trainings leave behind, over HTTP and without a key, as the services' own stores give them."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from core.sandbox.answers import FileAnswer
from core.sandbox.desk import PAGE, Call, Stop
from core.sandbox.fault import Place
from core.sandbox.files import span
from core.sandbox.pictures import Source
from core.sandbox.service import Sandbox
from core.sandbox.trainings import Training


def spoiled(training: Training, source: Source) -> Source | None:
    """What the faults make of the weights; None where nothing is left of them."""
    if "weights_gone" in training.fate:
        return None
    if "weights_not_safetensors" in training.fate:
        return Page()
    return Half(source) if "weights_truncated" in training.fate else source


class Page:
    """A web page in the place of a file."""

    _content = PAGE.format("Just a moment...").encode()

    @property
    def size(self) -> int:
        return len(self._content)

    def part(self, start: int, stop: int) -> bytes:
        return self._content[start:stop]


class Half:
    """The first half of a file."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def size(self) -> int:
        return self._source.size // 2

    def part(self, start: int, stop: int) -> bytes:
        return self._source.part(start, min(stop, self.size))


def weights_answer(sandbox: Sandbox, call: Call, training: Training, source: Source, name: str) -> Response:
    """The weights, as this training's faults leave them."""
    found = spoiled(training, source)
    if found is None:
        return JSONResponse({"detail": "Not found"}, 404)
    struck = sandbox.book.strike(Place.WEIGHTS, training.id, training.marks)
    call.entry.note = " ".join([name, *struck])
    if isinstance(found, Page):
        return HTMLResponse(found.part(0, found.size))
    return answer(call.request, found, "application/octet-stream", breaks="weights_break_off" in struck)


def answer(
    request: Request,
    source: Source,
    content_type: str,
    *,
    breaks: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The file or the asked part of it; `breaks` closes the connection half way."""
    found = span(request.headers.get("range"), source.size)
    if found is None:
        raise Stop(Response(status_code=416, headers={"content-range": f"bytes */{source.size}"}))
    start, stop, status = found
    told = {"content-type": content_type, "accept-ranges": "bytes", **(headers or {})}
    if status == 206:
        told["content-range"] = f"bytes {start}-{stop - 1}/{source.size}"
    return FileAnswer(
        source,
        status=status,
        headers=told,
        start=start,
        stop=stop,
        finished=lambda sent: None,
        cut_at=(stop - start) // 2 if breaks else None,
    )
