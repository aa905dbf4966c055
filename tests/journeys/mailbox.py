"""A mail server and a webhook's receiver on this machine, which keep what they are sent."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """What came: mails, and bodies of posts. `status` is what a post is answered."""

    port: int = 0
    mails: list[Message] = field(default_factory=list)
    posts: list[bytes] = field(default_factory=list)
    status: int = 200

    @property
    def subjects(self) -> list[str]:
        return [str(make_header(decode_header(mail["Subject"]))) for mail in self.mails]

    def body(self, n: int) -> str:
        """The text of the n-th mail."""
        part = next(part for part in self.mails[n].walk() if part.get_content_maintype() == "text")
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload.decode().replace("\r\n", "\n")


@contextmanager
def mail_server() -> Iterator[Received]:
    """As much of SMTP (RFC 5321) as a client that sends one mail needs."""
    received = Received()

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                word = line.split()[0].upper() if line.split() else b""
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b""
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        text += part.removeprefix(b".")
                    received.mails.append(message_from_bytes(text))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    with _served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session), received):
        yield received


@contextmanager
def webhook() -> Iterator[Received]:
    """Answers every post with the status that it is told to."""
    received = Received()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(received.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Receiver), received):
        yield received


@contextmanager
def _served(server: socketserver.BaseServer, received: Received) -> Iterator[None]:
    server.daemon_threads = True  # type: ignore[attr-defined]
    received.port = server.server_address[1]  # type: ignore[index,assignment]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join(10)
