"""Supabase Storage on loopback, after its wire protocol: what it takes, refuses, and how it misbehaves.

Plain sockets under `http.server`, because half of what matters lies below HTTP: connections that hang
after a refused upload, answers that are cut off, bodies that arrive while nothing is answered.
"""

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit

SERVICE_KEY = "sb_secret_of_the_tests_0123456789"
LARGEST_PAGE = 100
MADE_AT = "2026-11-25T00:00:00.000Z"


@dataclass
class Stored:
    """A file: its bytes lie in an open temporary file, so that large ones take no memory."""

    file: IO[bytes]
    size: int
    content_type: str
    etag: str
    at: str

    def facts(self) -> dict[str, Any]:
        return {"eTag": f'"{self.etag}"', "size": self.size, "mimetype": self.content_type}


@dataclass
class Faults:
    """What goes wrong next. Each is taken once for every entry."""

    statuses: list[int] = field(default_factory=list)  # HTTP status of the next answers
    cut_downloads: int = 0  # downloads that break off half-way
    cut_uploads: int = 0  # uploads whose connection is closed unanswered
    slow_s: float = 0.0  # before each answer


class FakeSupabase(ThreadingHTTPServer):
    """The project: buckets, files, one service key."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, Any]] = {}
        self.files: dict[tuple[str, str], Stored] = {}
        self.key = SERVICE_KEY
        self.faults = Faults()
        self.guard = threading.Lock()
        self.requests: list[str] = []
        self.opened: list[IO[bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def reset(self) -> None:
        """No files, no buckets, no faults."""
        for file in self.opened:
            file.close()
        self.opened = []
        self.buckets, self.files, self.faults, self.requests = {}, {}, Faults(), []
        self.key = SERVICE_KEY

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the game."""


@contextmanager
def serving() -> Iterator[FakeSupabase]:
    """A server on a free port."""
    server = FakeSupabase()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        server.reset()
        thread.join(10)


class _Refused(Exception):
    def __init__(self, status: str, error: str, message: str, http: int = 400) -> None:
        super().__init__(message)
        self.http = http
        self.body = {"statusCode": status, "error": error, "message": message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1
    disable_nagle_algorithm = True
    server: FakeSupabase
    hangs = False

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        if self.hangs:
            # After a refused upload of several MB the next request on the same connection is not answered.
            time.sleep(20)
            self.close_connection = True
            return
        faults = self.server.faults
        self.server.requests.append(f"{self.command} {self.path}")
        try:
            if faults.slow_s:
                time.sleep(faults.slow_s)
            with self.server.guard:
                status = faults.statuses.pop(0) if faults.statuses else 0
            if status:
                self._drain()
                raise _Refused(str(status), "Busy", "told to fail", http=status)
            self._route()
        except _Refused as refused:
            self._answer(refused.http, refused.body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 http.server's names

    def _route(self) -> None:
        parts = urlsplit(self.path)
        prefix = "/storage/v1/"
        if not parts.path.startswith(prefix):
            raise _Refused("404", "not_found", "no route", http=404)
        names = unquote(parts.path.removeprefix(prefix)).split("/")
        match self.command, names:
            case "GET", ["object", "public", bucket, *path]:
                if not self._bucket(bucket)["public"]:
                    raise _Refused("404", "Bucket not found", "Bucket not found")
                self._send_file(bucket, "/".join(path))
            case "GET", ["object", "sign", bucket, *path]:
                token = parse_qs(parts.query).get("token", [""])[0]
                expires = token.partition(".")[2]
                if token != self._token(bucket, "/".join(path), expires):
                    raise _Refused("400", "InvalidJWT", "invalid signature")
                if float(expires) < time.time():
                    raise _Refused("400", "InvalidJWT", '"exp" claim timestamp check failed')
                self._send_file(bucket, "/".join(path))
            case _:
                self._authorised()
                self._private(names)

    def _authorised(self) -> None:
        if self.headers.get("apikey") != self.server.key or self.headers.get("Authorization") != (
            f"Bearer {self.server.key}"
        ):
            self._drain()
            raise _Refused("403", "Unauthorized", "Invalid Compact JWS")

    def _private(self, names: list[str]) -> None:
        match self.command, names:
            case "GET", ["bucket", name]:
                made = {"id": name, "name": name, "owner": "", "created_at": MADE_AT, "updated_at": MADE_AT}
                self._answer(200, made | self._bucket(name))
            case "POST", ["bucket"]:
                self._put_bucket(self._json(), new=True)
            case "PUT", ["bucket", name]:
                self._put_bucket({"id": name, **self._json()}, new=False)
            case "GET", ["object", "info", bucket, *path]:
                stored = self._file(bucket, "/".join(path))
                facts = {"name": "/".join(path), "bucket_id": bucket, "size": stored.size}
                facts |= {"etag": f'"{stored.etag}"', "content_type": stored.content_type}
                self._answer(200, {**facts, "last_modified": stored.at, "created_at": stored.at})
            case "POST", ["object", "list", bucket]:
                self._bucket(bucket)
                self._answer(200, self._listed(bucket, self._json()))
            case "POST", ["object", "sign", bucket, *path]:
                key = "/".join(path)
                self._file(bucket, key)
                expires = str(time.time() + float(self._json()["expiresIn"]))
                token = self._token(bucket, key, expires)
                self._answer(200, {"signedURL": f"/object/sign/{bucket}/{key}?token={token}"})
            case "DELETE", ["object", bucket]:
                removed = [
                    {"name": one}
                    for one in self._json()["prefixes"]
                    if self.server.files.pop((bucket, one), None) is not None
                ]
                self._answer(200, removed)
            case "POST", ["object", bucket, *path]:
                self._take(bucket, "/".join(path))
            case "GET", ["object", bucket, *path]:
                self._send_file(bucket, "/".join(path))
            case _:
                raise _Refused("404", "not_found", "no route", http=404)

    def _put_bucket(self, told: dict[str, Any], *, new: bool) -> None:
        name = told["id"]
        if new and name in self.server.buckets:
            raise _Refused("409", "Duplicate", "The resource already exists")
        there = self.server.buckets.get(name, {"file_size_limit": None, "allowed_mime_types": None})
        self.server.buckets[name] = {**there, **told, "name": name}
        self._answer(200, {"name": name})

    def _bucket(self, name: str) -> dict[str, Any]:
        if name not in self.server.buckets:
            self._drain()
            raise _Refused("404", "Bucket not found", "Bucket not found")
        return self.server.buckets[name]

    def _file(self, bucket: str, path: str) -> Stored:
        self._bucket(bucket)
        stored = self.server.files.get((bucket, path))
        if stored is None:
            raise _Refused("404", "not_found", "Object not found")
        return stored

    def _take(self, bucket: str, path: str) -> None:
        of = self._bucket(bucket)
        size = int(self.headers["Content-Length"])
        content_type = self.headers.get("Content-Type", "text/plain")
        limit, types = of["file_size_limit"], of["allowed_mime_types"]
        if self.server.faults.cut_uploads:
            self.server.faults.cut_uploads -= 1
            self.rfile.read(min(size, 100_000))
            self.close_connection = True
            self.connection.close()
            return
        file = tempfile.TemporaryFile()  # noqa: SIM115 kept until the server ends
        self.server.opened.append(file)
        digest, left = hashlib.md5(usedforsecurity=False), size
        while left and (chunk := self.rfile.read(min(left, 1024 * 1024))):
            left -= len(chunk)
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        if left:
            return
        refusal = None
        if limit and size > limit:
            refusal = _Refused("413", "Payload too large", "The object exceeded the maximum allowed size")
        elif types and content_type not in types:
            refusal = _Refused("415", "invalid_mime_type", f"mime type {content_type} is not supported")
        elif (bucket, path) in self.server.files and self.headers.get("x-upsert") != "true":
            refusal = _Refused("409", "Duplicate", "The resource already exists")
        if refusal:
            self.hangs = size > 1024 * 1024
            raise refusal
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        stored = Stored(file, size, content_type, digest.hexdigest(), at)
        self.server.files[bucket, path] = stored
        self._answer(200, {"Id": "1", "Key": f"{bucket}/{path}"})

    def _listed(self, bucket: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        folder = asked["prefix"]
        entries: dict[str, dict[str, Any]] = {}
        for (of, path), stored in list(self.server.files.items()):
            if of != bucket or not path.startswith(folder):
                continue
            name, _, below = path.removeprefix(folder).partition("/")
            if not name.lower().startswith(asked.get("search", "").lower()):
                continue
            nothing = {"name": name, "id": None, "metadata": None, "updated_at": None, "created_at": None}
            entry = {"name": name, "id": stored.etag, "metadata": stored.facts(), "created_at": stored.at}
            entries.setdefault(name + ("/" if below else ""), nothing if below else entry)
        limit = min(asked.get("limit", LARGEST_PAGE), LARGEST_PAGE)
        offset = asked.get("offset", 0)
        return [entries[name] for name in sorted(entries)][offset : offset + limit]

    def _send_file(self, bucket: str, path: str) -> None:
        stored = self._file(bucket, path)
        first, last = 0, stored.size - 1
        asked = self.headers.get("Range")
        if asked:
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or last), last)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", stored.content_type)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", f'"{stored.etag}"')
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{stored.size}")
        self.end_headers()
        cut = self.server.faults.cut_downloads > 0
        if cut:
            self.server.faults.cut_downloads -= 1
            last = (first + last) // 2
        descriptor = stored.file.fileno()
        while first <= last and (chunk := os.pread(descriptor, min(1024 * 1024, last - first + 1), first)):
            self.wfile.write(chunk)
            first += len(chunk)
        if cut:
            self.close_connection = True

    def _token(self, bucket: str, path: str, expires: str) -> str:
        return hashlib.sha256(f"{bucket}/{path}/{expires}".encode()).hexdigest() + f".{expires}"

    def _json(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _drain(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        while left and (chunk := self.rfile.read(min(left, 1024 * 1024))):
            left -= len(chunk)

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
