"""Tells Streamlit's front end where its server is, so that a deep link does not have to guess.

Opened at `/some_page`, the front end first asks for `/some_page/_stcore/health` and
`/some_page/_stcore/host-config` and logs two 404s. Answering those would be worse: it would then take
`/some_page` for the application's root and show the first page. It does not guess when
`window.__streamlit` names the server, so a script that does is put in front of its own. The same script has
the browser fetch ahead what pages need later, opens links of ours in place, and leads the keyboard into
popovers.
"""

import functools
import hashlib
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.web import front_end

SCRIPT_PATH = "/_studio_ops/base.js"
OURS = tuple(Path(__file__).with_name(name) for name in ("keyboard.js", "links.js"))
_BASE = b'window.__streamlit={BACKEND_BASE_URL:location.origin+"/"};\n'
_HEAD = b"<head>"


@functools.cache
def script() -> bytes:
    """What runs before Streamlit's own."""
    # In blocks: none of their names is the page's.
    ours = (b"{\n%s}\n" % path.read_bytes() for path in OURS)
    return _BASE + front_end.fetching_ahead() + b"".join(ours)


@functools.cache
def _tag() -> bytes:
    """Names the script by what is in it: one that the browser keeps is never that of another version."""
    version = hashlib.sha256(script()).hexdigest()[:12]
    return f'<script src="{SCRIPT_PATH}?{version}"></script>'.encode()


class KnownBase:
    """ASGI middleware that adds the script to Streamlit's page and serves it.

    The script is a file of its own, as a content security policy without inline scripts wants it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
        elif scope["path"] == SCRIPT_PATH:
            await _serve_script(scope, send)
        elif "text/html" in Headers(scope=scope).get("accept", ""):
            await self._app(_plain_request(scope), receive, _Page(send))
        else:
            await self._app(scope, receive, send)


class _Page:
    """A `send` that puts the tag into an HTML answer and leaves every other answer as it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: Message) -> None:
        body = self._body.replace(_HEAD, _HEAD + _tag(), 1)
        headers = MutableHeaders(raw=start["headers"])
        if self._body:
            headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_page(start: Message) -> bool:
    return start["status"] == 200 and Headers(raw=start["headers"]).get("content-type", "").startswith(
        "text/html"
    )


def _plain_request(scope: Scope) -> Scope:
    """The request without compression and revalidation: the page has to arrive, and as text."""
    unwanted = {b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"}
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in unwanted]}


async def _serve_script(scope: Scope, send: Send) -> None:
    body = script()
    headers = [
        (b"content-type", b"text/javascript; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"public, max-age=86400"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
