"""A sign-in provider on this machine whose metadata are as a test wants them: whole, broken, late, none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.providers.oidc import WELL_KNOWN


@dataclass
class Moody:
    """What it answers to every GET; while `silent` it takes the request and says nothing."""

    url: str = ""
    status: int = 200
    body: str = ""
    silent: bool = False
    asked: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def metadata_url(self) -> str:
        return self.url + WELL_KNOWN

    def says(self, **changes: Any) -> None:
        """Answer with its metadata, these of them changed or, for None, left out."""
        named = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
        }
        self.status, self.silent = 200, False
        self.body = json.dumps({key: value for key, value in (named | changes).items() if value is not None})

    def fails(self, status: int, body: str = "") -> None:
        """Answer with this status."""
        self.status, self.body, self.silent = status, body, False


@contextmanager
def moody() -> Iterator[Moody]:
    """The provider, well at first."""
    found = Moody()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked += 1
            if found.silent:
                found.ended.wait(60)
                return
            self.send_response(found.status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(found.body.encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    found.says()
    try:
        yield found
    finally:
        found.ended.set()
        server.shutdown()
        server.server_close()
