"""A Hugging Face Hub on loopback with the calls that its package makes, for the publisher's tests."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_token0123456789"


@dataclass
class Hub:
    """Repositories by id, each with its files; `fails` answers the calls with these words so."""

    url: str
    lfs: bool = False
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    commits: int = 0
    fails: dict[str, tuple[int, dict[str, str], Any]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)

    def commit_id(self, repo: str) -> str:
        return hashlib.sha1(f"{repo}{self.commits}".encode(), usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    # Head and body in one piece: in two, every answer would wait 40 ms for an acknowledgement.
    wbufsize = 65_536

    def _said(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline().strip(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def _take(self) -> None:
        hub, path = self.hub, self.path.split("?")[0]
        said, call = self._said(), f"{self.command} {path}"
        hub.calls.append(call)
        hub.agents.add(self.headers.get("User-Agent", ""))
        for words, (status, headers, body) in hub.fails.items():
            if words in call:
                return self._answer(status, body, headers)
        if path.startswith("/lfs/"):
            hub.stored[path.rpartition("/")[2]] = said
            return self._answer(200, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid username or password."})
        parts = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(said))
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(said))
        return self._repository("/".join(parts[2:4]), parts[4:], said)

    def _create(self, wanted: dict[str, Any]) -> None:
        repo = f"{wanted.get('organization') or 'studio-ops'}/{wanted['name']}"
        known = repo in self.hub.repos
        self.hub.repos.setdefault(repo, {})
        self.hub.private[repo] = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self._answer(409 if known else 200, {"url": f"{self.hub.url}/{repo}"})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}", "header": {}}}}
            for item in wanted["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _repository(self, repo: str, rest: list[str], said: bytes) -> None:
        hub = self.hub
        if repo not in hub.repos:
            return self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if rest[:1] == ["preupload"]:
            return self._preupload(hub.repos[repo], json.loads(said))
        if rest[:1] == ["commit"]:
            for line in map(json.loads, said.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.repos[repo][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.repos[repo][value["path"]] = hub.stored[value["oid"]]
            hub.commits += 1
            url = f"{hub.url}/{repo}/commit/{hub.commit_id(repo)}"
            return self._answer(
                200, {"commitOid": hub.commit_id(repo), "commitUrl": url, "pullRequestUrl": None}
            )
        return self._answer(
            200, {"id": repo, "sha": hub.commit_id(repo), "private": hub.private[repo], "siblings": []}
        )

    def _preupload(self, files: dict[str, bytes], wanted: dict[str, Any]) -> None:
        answered = []
        for item in wanted["files"]:
            big = self.hub.lfs and item["path"].endswith(".safetensors")
            entry = {"path": item["path"], "uploadMode": "lfs" if big else "regular", "shouldIgnore": False}
            if (held := files.get(item["path"])) is not None:
                git = hashlib.sha1(b"blob %d\0" % len(held) + held, usedforsecurity=False).hexdigest()
                entry["oid"] = hashlib.sha256(held).hexdigest() if big else git
            answered.append(entry)
        self._answer(200, {"files": answered})

    def do_GET(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def do_PUT(self) -> None:
        self._take()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        return


@contextmanager
def running() -> Iterator[Hub]:
    """A hub for a block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        _Handler.hub = hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join(5)
