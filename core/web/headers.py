"""The security headers of every answer, and which names the local profile answers to."""

import base64
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import log, settings
from core.web import answers

# Nothing here uses any of these.
PERMISSIONS = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=()"
# A year, for this name alone: what else lives below it is not ours to decide about.
TRANSPORT = "max-age=31536000"
_LOCAL_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def content_security_policy(files_from: tuple[str, ...] = ()) -> str:
    """What a page may load: itself alone, and the inline script of the installed Streamlit by its hash.

    Streamlit styles its elements inline and compiles WebAssembly for tables; pictures and films may come
    from the storage's origins too, and nothing else is let in.
    """
    files = "".join(f" {origin}" for origin in files_from)
    found = importlib.util.find_spec("streamlit")
    assert found is not None
    assert found.origin is not None
    page = (Path(found.origin).parent / "static" / "index.html").read_text()
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in _INLINE_SCRIPT.findall(page))
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval' {hashes}",
            "style-src 'self' 'unsafe-inline'",
            f"img-src 'self' data: blob:{files}",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            f"media-src 'self' blob:{files}",
            "frame-src 'self'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


class SecurityHeaders:
    """ASGI middleware that sets what an answer does not set itself; behind TLS that it stays there, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                policy = content_security_policy(settings.current().storage_origins)
                headers.setdefault("content-security-policy", policy)
                headers.setdefault("x-content-type-options", "nosniff")
                headers.setdefault("referrer-policy", "same-origin")
                headers.setdefault("x-frame-options", "DENY")
                headers.setdefault("permissions-policy", PERMISSIONS)
                headers.setdefault("cross-origin-opener-policy", "same-origin")
                if settings.current().public_base_url.startswith("https://"):
                    headers.setdefault("strict-transport-security", TRANSPORT)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class LocalHosts:
    """ASGI middleware: in the local profile only requests to this machine's own names are answered.

    A name that somebody else has pointed at 127.0.0.1 (DNS rebinding) would otherwise let their page
    read everything, for the browser takes it for one site with theirs. WebSockets, which browsers open
    to any site, must come from a page of this machine at the same port too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in {"http", "websocket"} or settings.current().profile != "local":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        port = _port_of(headers.getlist("host"), scope["scheme"])
        if kind == "http" and port is None:
            log.new_request_id()
            own = (scope.get("server") or ("", None))[1] or 8501
            message = f"Studio Ops on this machine answers at http://127.0.0.1:{own} alone. Open that."
            await answers.error(421, "misdirected", message)(scope, receive, send)
        elif kind == "websocket" and (port is None or not _is_from(headers.getlist("origin"), port)):
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)


def _port_of(hosts: list[str], scheme: str) -> int | None:
    """The port that a single Host header of this machine's names; None for anything else."""
    found = _LOCAL_HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        return None
    return int(found[1]) if found[1] else _PORTS.get(scheme, 80)


def _is_from(origins: list[str], port: int) -> bool:
    """Whether there is no Origin, as with programs, or one of this machine's at `port`."""
    if not origins:
        return True
    scheme, _, rest = origins[0].partition("://")
    return len(origins) == 1 and scheme in {"http", "https"} and _port_of([rest], scheme) == port
