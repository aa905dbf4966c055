"""The Hugging Face hub, as `huggingface_hub` calls it: repositories, commits, files, model cards.

Everything is uploaded in the commit itself ("regular"), so there is no LFS here.
"""

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.sandbox.desk import Call, Desk, Stop, content_of, json_of
from core.sandbox.fault import Place
from core.sandbox.outputs import answer
from core.sandbox.pictures import Whole
from core.sandbox.safety import ACCOUNT
from core.sandbox.service import Sandbox
from core.sandbox.store import now_ms
from core.sandbox.trainings import iso

REPOS, FILES = "hub repo", "hub file"
MOST_COMMIT_BYTES = 64 * 1024 * 1024


class Manner:
    """The hub's errors."""

    scheme = "Bearer"

    def error(self, status: int, message: str) -> Response:
        return _error(status, message)


def _error(status: int, message: str, code: str | None = None, **more: Any) -> Response:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return JSONResponse({"error": message, **more}, status, headers=headers)


class HuggingFace:
    """The routes of the hub."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._store = sandbox.store.trainings
        self._desk = Desk(sandbox, Manner())
        self._reading = asyncio.Lock()

    def routes(self) -> list[Route]:
        route, model = self._desk.route, "/hf/api/models/{owner}/{name}"
        return [
            route("/hf/api/whoami-v2", "hub_read", self._whoami),
            route("/hf/api/validate-yaml", "hub_read", self._validate, ["POST"]),
            route("/hf/api/repos/create", "hub_create", self._create, ["POST"]),
            route("/hf/api/repos/delete", "hub_delete", self._delete, ["DELETE"]),
            route(model, "hub_read", self._info),
            route(f"{model}/revision/{{revision}}", "hub_read", self._info),
            route(f"{model}/preupload/{{revision}}", "hub_read", self._preupload, ["POST"]),
            route(f"{model}/commit/{{revision}}", "hub_commit", self._commit, ["POST"]),
            route("/hf/{owner}/{name}/resolve/{revision}/{path:path}", "hub_file", self._resolve),
        ]

    async def _whoami(self, call: Call) -> Response:
        await self._desk.gate(call, Place.HUB_OTHER, "")
        token = {"displayName": "sandbox", "role": "write"}
        auth = {"type": "access_token", "accessToken": token}
        return JSONResponse({"type": "user", "name": ACCOUNT, "orgs": [], "auth": auth})

    async def _validate(self, call: Call) -> Response:
        """A model card's front matter; open to all, as the hub's is."""
        body = await json_of(call.request)
        said = _front_matter_fault(str(body.get("content", "")))
        errors = [{"message": said}] if said else []
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    # Repositories

    async def _create(self, call: Call) -> Response:
        body = await json_of(call.request)
        await self._desk.gate(call, Place.HUB_OTHER, "create")
        name, owner = body.get("name"), body.get("organization") or ACCOUNT
        if not isinstance(name, str) or not name or "/" in name or not isinstance(owner, str):
            raise self._desk.stop(400, "Invalid repository name")
        repo_id, private = f"{owner}/{name}", body.get("visibility") == "private" or bool(body.get("private"))
        url = f"{self._sandbox.public_url}/hf/{repo_id}"
        first = {"private": private, "commit": _oid(repo_id, "created"), "changed": now_ms()}
        if not self._store.put_thing(REPOS, repo_id, first):
            return _error(409, "You already created this model repo", url=url)
        return JSONResponse({"url": url, "name": repo_id, "id": repo_id})

    async def _delete(self, call: Call) -> Response:
        body = await json_of(call.request)
        await self._desk.gate(call, Place.HUB_OTHER, "delete")
        repo_id = f"{body.get('organization') or ACCOUNT}/{body.get('name')}"
        if self._store.thing(REPOS, repo_id) is None:
            return _error(404, "Repository not found", "RepoNotFound")
        files = [(FILES, name) for name in self._store.things(FILES, f"{repo_id}\n")]
        self._store.drop_things([(REPOS, repo_id), *files])
        return JSONResponse({})

    def _repo(self, call: Call) -> tuple[str, dict[str, Any]]:
        """The repository that the address names; a private one shows itself to its owner alone."""
        repo_id = "{owner}/{name}".format(**call.request.path_params)
        call.entry.task = repo_id[:100]
        found = self._store.thing(REPOS, repo_id)
        ours = call.request.headers.get("authorization") == f"Bearer {self._sandbox.key}"
        if found is None or (found["private"] and not ours):
            raise Stop(_error(404 if ours else 401, "Repository not found", "RepoNotFound"))
        return repo_id, found

    async def _info(self, call: Call) -> Response:
        if "authorization" in call.request.headers:
            await self._desk.gate(call, Place.HUB_OTHER, "")
        repo_id, found = self._repo(call)
        if (refused := self._revision(call, found)) is not None:
            return refused
        names = [name.partition("\n")[2] for name in self._store.things(FILES, f"{repo_id}\n")]
        return JSONResponse(
            {
                "_id": _oid(repo_id, "id")[:24],
                "id": repo_id,
                "modelId": repo_id,
                "sha": found["commit"],
                "private": found["private"],
                "lastModified": iso(found["changed"]),
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "gated": False,
                "disabled": False,
                "siblings": [{"rfilename": name} for name in names],
            }
        )

    def _revision(self, call: Call, found: Mapping[str, Any]) -> Response | None:
        if call.request.path_params.get("revision", "main") in {"main", found["commit"]}:
            return None
        return _error(404, "Invalid rev id", "RevisionNotFound")

    # Uploads

    async def _preupload(self, call: Call) -> Response:
        body = await json_of(call.request)
        await self._desk.gate(call, Place.HUB_OTHER, "preupload")
        repo_id, _ = self._repo(call)
        files = body.get("files")
        asked = [one for one in files if isinstance(one, dict)] if isinstance(files, list) else []
        told = []
        for path in (str(one.get("path", "")) for one in asked):
            known = self._store.thing(FILES, f"{repo_id}\n{path}")
            oid = {"oid": known["oid"]} if known else {}
            told.append({"path": path, "uploadMode": "regular", "shouldIgnore": False, **oid})
        return JSONResponse({"files": told})

    async def _commit(self, call: Call) -> Response:
        async with self._reading:
            return await self._commit_alone(call)

    async def _commit_alone(self, call: Call) -> Response:
        """One at a time, since a commit is held whole."""
        content = await content_of(call.request, MOST_COMMIT_BYTES)
        await self._desk.gate(call, Place.HUB_COMMIT, "commit")
        repo_id, found = self._repo(call)
        if "publish_fails" in call.struck:
            status = int(call.struck["publish_fails"] or 500)
            raise self._desk.stop(status, HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error")
        if content is None:
            raise self._desk.stop(413, "The commit is too large for regular files")
        try:
            written, dropped = _operations(content)
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise self._desk.stop(400, "The commit could not be read") from None
        commit = hashlib.sha1(
            f"{found['commit']}:{now_ms()}".encode() + content, usedforsecurity=False
        ).hexdigest()
        rows: list[tuple[str, str, Mapping[str, Any], bytes | None]] = [
            (FILES, f"{repo_id}\n{path}", {"oid": _blob_oid(data), "size": len(data)}, data)
            for path, data in written.items()
        ]
        changed = {**found, "commit": commit, "changed": now_ms()}
        self._store.set_things([*rows, (REPOS, repo_id, changed, None)])
        self._store.drop_things([(FILES, f"{repo_id}\n{path}") for path in dropped])
        call.entry.note = " ".join([call.entry.note, *written]).strip()[:200]
        url = f"{self._sandbox.public_url}/hf/{repo_id}/commit/{commit}"
        return JSONResponse({"success": True, "commitOid": commit, "commitUrl": url, "pullRequestUrl": None})

    async def _resolve(self, call: Call) -> Response:
        repo_id, found = self._repo(call)
        if (refused := self._revision(call, found)) is not None:
            return refused
        path = call.request.path_params["path"]
        file = self._store.thing(FILES, f"{repo_id}\n{path}")
        if file is None:
            return _error(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": found["commit"], "ETag": f'"{file["oid"]}"'}
        source = Whole(self._store.content(FILES, f"{repo_id}\n{path}"))
        kind = "text/plain" if path.endswith((".md", ".json", ".txt")) else "application/octet-stream"
        return answer(call.request, source, kind, headers=headers)


def _operations(content: bytes) -> tuple[dict[str, bytes], list[str]]:
    """The files that a commit writes and those that it drops; raises for what is no commit."""
    written, dropped, headed = {}, [], False
    for line in content.splitlines():
        if not line.strip():
            continue
        found = json.loads(line)
        key, value = found["key"], found["value"]
        if key == "header":
            headed = bool(value["summary"])
        elif key == "file" and value.get("encoding", "base64") == "base64":
            written[_path(value["path"])] = base64.b64decode(value["content"], validate=True)
        elif key == "deletedFile":
            dropped.append(_path(value["path"]))
        else:
            raise ValueError(key)
    if not headed:
        raise ValueError("no header")
    return written, dropped


def _front_matter_fault(card: str) -> str | None:
    """What a card's metadata lacks at first sight; no more of YAML is read here."""
    if not card.startswith("---\n"):
        return None
    lines = card.splitlines()[1:]
    if "---" not in lines:
        return "The metadata block has no end"
    for line in lines[: lines.index("---")]:
        if "\t" in line or not (line[:1] in {" ", "-", "#", ""} or ":" in line):
            return f"Invalid YAML metadata: {line[:80]}"
    return None


def _path(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/") or "\n" in path:
        raise ValueError(path)
    return path


def _oid(*texts: str) -> str:
    return hashlib.sha1("\n".join(texts).encode(), usedforsecurity=False).hexdigest()


def _blob_oid(data: bytes) -> str:
    """Git's name of a file's content, by which the client knows that nothing changed."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
