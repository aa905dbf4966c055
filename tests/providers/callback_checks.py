"""The checks of faults that come out of order, forged, unsigned, or that strike our own parts."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tests.providers.sandbox_rig import Check, Receiver, Rig, receiver, registrar, rig, until

CHECKS: dict[str, Check] = {}
checks = registrar(CHECKS)
KEY = "hmac-key-of-the-checks"


def said(web: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body)["data"] for body in web.bodies]


def signed_by(headers: dict[str, str], task_id: str) -> bool:
    stamp = headers["X-Webhook-Timestamp"]
    digest = hmac.new(KEY.encode(), f"{task_id}.{stamp}".encode(), hashlib.sha256).digest()
    return headers["X-Webhook-Signature"] == base64.b64encode(digest).decode()


@checks("callback_reordered")
def _callback_reordered(kie: Rig) -> None:
    kie.set(image_seconds=0.2, jitter=0)
    with receiver() as web:
        kie.create("a lake [[fault:callback_reordered]]", callback=web.url)
        until(lambda: len(web.bodies) == 2)
        assert [body["state"] for body in said(web)] == ["fail", "success"]
        kie.create("a lake [[fault:callback_reordered=generating_last]]", callback=web.url)
        until(lambda: len(web.bodies) == 4)
    assert [body["state"] for body in said(web)][2:] == ["success", "generating"]


@checks("callback_forged")
def _callback_forged(kie: Rig) -> None:
    kie.set(image_seconds=0.3, jitter=0)
    other = kie.create("another")
    with receiver() as web:
        url = f"{web.url}?secret=true&generation=g1"
        task_id = kie.create("a lake [[fault:callback_forged]]", callback=url)
        until(lambda: len(web.bodies) == 2)
        assert [body["taskId"] for body in said(web)] == [other, task_id]
        assert kie.finished(task_id)["state"] == "success"
        kie.create("a lake [[fault:callback_forged=secret]]", callback=url)
        until(lambda: len(web.bodies) == 4)
    assert [path.partition("?")[2] for path in web.paths[2:]] == [
        "secret=wrong&generation=g1",
        "secret=true&generation=g1",
    ]


@checks("callback_unsigned")
def _callback_unsigned(kie: Rig) -> None:
    with TemporaryDirectory() as folder, rig(Path(folder), KEY) as own, receiver() as web:
        own.create("a lake [[fault:callback_unsigned]]", callback=web.url)
        until(lambda: web.bodies)
        assert "X-Webhook-Signature" not in web.headers[0]
        task_id = own.create("a lake", callback=web.url)
        until(lambda: len(web.bodies) == 2)
    assert signed_by(web.headers[1], task_id)


@checks("callback_replayed")
def _callback_replayed(kie: Rig) -> None:
    with TemporaryDirectory() as folder, rig(Path(folder), KEY) as own, receiver() as web:
        task_id = own.create("a lake [[fault:callback_replayed]]", callback=web.url)
        until(lambda: len(web.bodies) == 2)
    assert web.bodies[0] == web.bodies[1]
    assert all(signed_by(headers, task_id) for headers in web.headers)
    ages = [time.time() - int(headers["X-Webhook-Timestamp"]) for headers in web.headers]
    assert ages[0] < 60
    assert 3590 < ages[1] < 3700


@checks("wrong_content_type")
def _wrong_content_type(kie: Rig) -> None:
    data = kie.finished(kie.create("a lake [[fault:wrong_content_type=application/pdf]]"))
    answer = httpx.get(json.loads(data["resultJson"])["resultUrls"][0], trust_env=False)
    assert (answer.headers["content-type"], answer.content[:2]) == ("application/pdf", b"\xff\xd8")


def _keeping(kie: Rig, path: str) -> str | None:
    found: str | None = kie.control.post("/store", json={"path": path}).json()["fault"]
    return found


def _strikes_our_storage(kie: Rig, name: str) -> None:
    one, other = (f"5f0c1a2b-0000-4000-8000-00000000000{n}" for n in (1, 2))
    for generation, marker in ((one, f"[[fault:{name}*1]]"), (other, "")):
        kie.create(f"a lake {marker}", callback=f"http://127.0.0.1:9/cb?generation={generation}")
    assert _keeping(kie, f"u/image/{other}_1700000000000.jpg") is None
    assert _keeping(kie, f"u/image/{one}_1700000000000_2.jpg") == name
    assert _keeping(kie, f"u/image/{one}_1700000000000.jpg") is None
    kie.faults(**{name: True})
    assert _keeping(kie, "anything.jpg") == name
    assert {row["note"] for row in kie.log(kind="store")} == {name}


@checks("storage_full")
def _storage_full(kie: Rig) -> None:
    _strikes_our_storage(kie, "storage_full")


@checks("storage_error")
def _storage_error(kie: Rig) -> None:
    _strikes_our_storage(kie, "storage_error")


@checks("database_cut")
def _database_cut(kie: Rig) -> None:
    """Without a database of the product, the file comes all the same."""
    data = kie.finished(kie.create("a lake [[fault:database_cut]]"))
    assert httpx.get(json.loads(data["resultJson"])["resultUrls"][0], trust_env=False).status_code == 200
    assert "no database is known" in kie.log(kind="file")[-1]["note"]
