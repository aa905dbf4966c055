"""A host of images on this machine that answers as it is told, and a fetcher that may reach it alone."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.providers.fetch import Fetcher
from core.providers.fetch_rules import rules_for


@dataclass
class ImageHost:
    """`answers` are by path without the query: (status, content type, body), one a request, the last for
    ever; a status of 0 breaks the answer off in its middle. `asked` are the paths with their queries."""

    port: int = 0
    answers: dict[str, list[tuple[int, str, bytes]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def gives(self, path: str, body: bytes, content_type: str = "image/jpeg", status: int = 200) -> str:
        """Add an answer; the path's address."""
        self.answers.setdefault(path, []).append((status, content_type, body))
        return self.url + path

    def fetcher(self) -> Fetcher:
        return Fetcher(rules_for((), ("127.0.0.1", self.port)))


@contextmanager
def image_host() -> Iterator[ImageHost]:
    host = ImageHost()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            host.asked.append(self.path)
            waiting = host.answers.get(path, [(404, "text/plain", b"none")])
            status, content_type, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status or 200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in host.headers[path].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if status else body[: len(body) // 2])
            self.close_connection = not status

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join(5)
