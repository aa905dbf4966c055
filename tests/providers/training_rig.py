"""What a trainer needs around it: a web server on loopback with a ZIP, and a place to PUT to."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

RUN = "0b8f4c1e-2f57-4d1c-9a53-6a1d6d2f9c11"


def picture(side: int = 64) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


def archive(images: int = 4, **others: bytes) -> bytes:
    """A ZIP of so many pictures, each with its caption, and other entries by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as found:
        for n in range(images):
            found.writestr(f"image_{n:02}.jpg", picture())
            found.writestr(f"image_{n:02}.txt", "a face")
        for name, content in others.items():
            found.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def header_of(weights: bytes) -> dict[str, Any]:
    """The header of a safetensors file, checked against its length."""
    size = int.from_bytes(weights[:8], "little")
    header: dict[str, Any] = json.loads(weights[8 : 8 + size])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert len(weights) == 8 + size + max(ends)
    return header


@dataclass
class Shelf:
    """A web server's files by path, and what was PUT to it; paths in `refuse` answer that status."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    put: dict[str, list[bytes]] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def zip(self, images: int = 4, **others: bytes) -> str:
        """The URL of a ZIP; its query stands for a signature."""
        self.files["/data.zip"] = archive(images, **others)
        return f"{self.url}/data.zip?signature=abc"


@contextmanager
def shelf() -> Iterator[Shelf]:
    """Such a server, for a block."""

    class Handler(BaseHTTPRequestHandler):
        def _end(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found.asked.append(self.path)
            if path in found.moved:
                self._end(302, Location=found.moved[path])
            elif path in found.files:
                self._end(200, found.files[path])
            else:
                self._end(404)

        def do_PUT(self) -> None:
            path = self.path.partition("?")[0]
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if path in found.refuse:
                self._end(found.refuse[path])
                return
            found.put.setdefault(path, []).append(content)
            self._end(200)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Shelf(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join(5)
