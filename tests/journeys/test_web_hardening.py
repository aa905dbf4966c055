"""The web process under a slow KIE, foreign hosts, odd addresses and broken text; its document is true."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette

from core.web.routes import MIDDLEWARE, ROUTES, api
from tests.conftest import CALLBACK_SECRET
from tests.journeys.users import is_error
from tests.journeys.world import World, success, until

CREATE = {"model": "flux-2/pro-text-to-image", "input": {"prompt": "a lighthouse"}}
SLOW = {**CREATE, "input": {"prompt": "a lighthouse [[fault:latency@create=4]]"}}
NO_ROUTES = (
    "/api",
    "/api/",
    "/api/x",
    "/api/kie",
    "/api/health/",
    "/files",
    "/files/",
    "/files/x",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


def test_a_slow_kie_holds_up_nobody_else(world: World) -> None:
    one, task = world.held()
    with ThreadPoolExecutor(20) as crowd:
        creates = [crowd.submit(world.web.post, "/api/kie/createTask", json=SLOW) for _ in range(20)]
        until(lambda: sum(create.done() for create in creates) >= 4)
        started = time.monotonic()
        refused = world.web.get("/api/kie/sync", params={"taskId": task})
        health = world.web.get("/api/health")
        callback = world.callback(one, success(task))
        took = time.monotonic() - started
        assert not all(create.done() for create in creates)
        answers = [create.result() for create in creates]
    assert is_error(refused, 503, "busy")
    assert int(refused.headers["retry-after"]) > 0
    assert (health.status_code, callback.status_code) == (200, 200)
    assert took < 2
    assert sorted({answer.status_code for answer in answers}) == [201, 503]
    made = [answer for answer in answers if answer.status_code == 201]
    assert len(made) == 16
    assert world.sql("SELECT count(*) FROM generations")[0][0] == 17
    assert world.web.get("/api/kie/sync", params={"taskId": task}).status_code == 200


def whole_site(world: World, method: str, path: str, **headers: str) -> httpx.Response:
    """The answer of the routes with the middleware that every server of ours puts before them."""
    app = Starlette(routes=ROUTES, middleware=MIDDLEWARE)

    async def go() -> httpx.Response:
        base = world.environment["PUBLIC_BASE_URL"]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(go())


def test_a_foreign_host_gets_421_everywhere(world: World) -> None:
    for path in ("/api/health", "/api/debug/kie", "/files/generations/x", "/metrics", "/"):
        answer = whole_site(world, "GET", path, host="evil.example")
        assert is_error(answer, 421, "misdirected"), path
        assert answer.headers["content-security-policy"]
    assert whole_site(world, "GET", "/api/health").status_code == 200


@pytest.mark.parametrize("path", NO_ROUTES)
def test_an_address_that_is_none_is_404_to_every_method(world: World, path: str) -> None:
    for method in METHODS:
        answer = world.web.request(method, path)
        assert is_error(answer, 404, "not_found"), (method, path)


def test_a_method_that_is_not_offered_is_405_and_says_which_are(world: World) -> None:
    for path, offered in (
        ("/api/health", "GET"),
        ("/api/kie/sync", "GET"),
        ("/api/kie/createTask", "POST"),
        ("/files/generations/a.jpg", "GET, HEAD"),
    ):
        for method in ("DELETE", "PROPFIND"):
            answer = world.web.request(method, path)
            assert is_error(answer, 405, "method_not_allowed"), (method, path)
            assert answer.headers["allow"] == offered


def test_each_request_of_a_kept_connection_has_an_id_of_its_own(world: World) -> None:
    """Sent in one go, so that each is begun in what the one before has left behind."""
    at = urlsplit(world.environment["PUBLIC_BASE_URL"])
    paths = ("/api/nothing", "/files/generations/a.jpg", "/files/generations/a.jpg", "/files", "/files")
    requests = "".join(f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n" for path in paths)
    received = b""
    with socket.create_connection((at.hostname or "", at.port or 0), timeout=10) as connection:
        connection.sendall(requests.encode())
        while received.count(b'"request_id"') < len(paths) or not received.endswith(b"}}"):
            received += connection.recv(65_536)
    seen = re.findall(rb'"request_id":"(\w+)"', received)
    assert seen == re.findall(rb"x-request-id: (\w+)", received)
    assert len(set(seen)) == len(paths)


def test_lone_surrogates_anywhere_are_400_and_nothing_is_written(world: World) -> None:
    bodies: list[tuple[str, Any]] = [
        ("prompt", {**CREATE, "input": {"prompt": "a \ud800 lighthouse"}}),
        ("model", {**CREATE, "model": "flux\udfff"}),
        ("input", {**CREATE, "input": {"prompt": "a lighthouse", "\ud800": 1}}),
        ("more", {**CREATE, "\ud800": 1}),
        ("value", {**CREATE, "input": {"prompt": "a lighthouse", "aspect_ratio": "\ud800"}}),
        ("userId", {**CREATE, "userId": "\ud800"}),
    ]
    for name, body in bodies:
        answer = world.web.post("/api/kie/createTask", content=json.dumps(body))
        assert is_error(answer, 400, "invalid_input"), name
        assert answer.content.isascii()
    assert world.sql("SELECT 1 FROM generations") == []


def test_a_callback_with_text_that_postgres_refuses_is_recorded(world: World) -> None:
    one, task = world.held()
    for broken in ("\ud800", "a\x00b"):
        body = {"data": {"taskId": task, "state": broken, "failMsg": broken}}
        answer = world.callback(one, json.dumps(body).encode())
        assert answer.status_code == 200, answer.text
    assert len(world.inbox()) == 2


# The document.

DOCUMENTED: dict[str, tuple[str, str, int, Callable[[World], httpx.Response]]] = {
    "bad input": (
        "/kie/createTask",
        "post",
        400,
        lambda world: world.web.post("/api/kie/createTask", json={**CREATE, "model": 7}),
    ),
    "no JSON": (
        "/kie/createTask",
        "post",
        400,
        lambda world: world.web.post("/api/kie/createTask", content=b"{"),
    ),
    "too large": (
        "/kie/createTask",
        "post",
        413,
        lambda world: world.web.post("/api/kie/createTask", content=b" " * 1_100_000),
    ),
    "unknown task": (
        "/kie/sync",
        "get",
        404,
        lambda world: world.web.get("/api/kie/sync", params={"taskId": "unknown"}),
    ),
    "no task": ("/kie/sync", "get", 400, lambda world: world.web.get("/api/kie/sync")),
    "no key": (
        "/debug/kie",
        "get",
        401,
        lambda world: httpx.get(f"{world.environment['PUBLIC_BASE_URL']}/api/debug/kie"),
    ),
    "wrong secret": ("/kie/callback", "post", 401, lambda world: world.callback(None, {}, secret="wrong")),
    "unknown callback": (
        "/kie/callback",
        "post",
        404,
        lambda world: world.callback(None, success("task_unknown")),
    ),
    "refused host": (
        "/image-proxy",
        "get",
        400,
        lambda world: world.web.get("/api/image-proxy", params={"url": "https://example.com/a.jpg"}),
    ),
    "unsigned webhook": (
        "/fal/webhook",
        "post",
        401,
        lambda world: world.web.post("/api/fal/webhook", json={"request_id": "1"}),
    ),
    "odd webhook": (
        "/replicate/webhook",
        "post",
        400,
        lambda world: world.web.post("/api/replicate/webhook", params={"run": "x"}, json={}),
    ),
    "unsigned progress": (
        "/trainings/{call_id}/progress",
        "put",
        401,
        lambda world: world.web.put(f"/api/trainings/{UUID(int=1)}/progress", params={"sig": "x"}, json={}),
    ),
    "unsigned weights": (
        "/trainings/{call_id}/weights",
        "put",
        401,
        lambda world: world.web.put(
            f"/api/trainings/{UUID(int=1)}/weights", params={"sig": "x"}, content=b"x"
        ),
    ),
    "unknown image": (
        "/kie/images/callback",
        "post",
        404,
        lambda world: world.web.post(
            "/api/kie/images/callback",
            params={"secret": CALLBACK_SECRET, "image": str(UUID(int=1))},
            json=success("task_unknown"),
        ),
    ),
    "odd flag": ("/health", "get", 400, lambda world: world.web.get("/api/health", params={"deep": "maybe"})),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_document_tells_the_answers_that_are_given(world: World, name: str) -> None:
    path, method, status, call = DOCUMENTED[name]
    document = world.web.get("/api/openapi.json").json()
    answer = call(world)
    assert answer.status_code == status
    described = document["paths"][path][method]["responses"][str(status)]
    shape = described["content"]["application/json"]["schema"]["$ref"]
    assert shape == "#/components/schemas/ErrorAnswer"
    fault = document["components"]["schemas"]["Fault"]
    error = answer.json()["error"]
    assert set(fault["required"]) <= set(error) <= set(fault["properties"])


def test_the_document_promises_nothing_that_is_not_so(world: World) -> None:
    document = world.web.get("/api/openapi.json").json()
    # FastAPI adds one to every route; ours is for images that cannot be trained on.
    with_422 = {
        (path, method)
        for path, ways in document["paths"].items()
        for method, one in ways.items()
        if "422" in one["responses"]
    }
    assert with_422 == {("/v1/lora-models", "post")}
    assert "ValidationError" not in json.dumps(document)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key", "user"}
    either: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
    secured = {
        path: [one.get("security") for one in ways.values()] for path, ways in document["paths"].items()
    }
    assert secured == {
        "/kie/createTask": [either],
        "/kie/sync": [either],
        "/debug/kie": [either],
        "/kie/callback": [None],
        "/kie/images/callback": [None],
        "/health": [[{}, *either]],
        "/audit.csv": [[{}, *either]],
        "/deliveries.csv": [[{}, *either]],
        "/ledger.csv": [[{}, *either]],
        "/storage.csv": [[{}, *either]],
        "/plan-items.csv": [[{}, *either]],
        "/plans": [either, either],
        "/plans/{plan_id}": [either],
        "/plans/{plan_id}/start": [either],
        "/plans/{plan_id}/pause": [either],
        "/plans/{plan_id}/resume": [either],
        "/plans/{plan_id}/abort": [either],
        "/image-proxy": [either],
        "/fal/webhook": [None],
        "/replicate/webhook": [None],
        "/trainings/{call_id}/progress": [None],
        "/trainings/{call_id}/weights": [None],
        "/v1/lora-models": [[{"user": []}], [{"user": []}]],
        "/v1/lora-models/{lora_id}": [[{"user": []}]],
        "/v1/lora-models/{lora_id}/status": [[{"user": []}]],
        "/v1/lora-models/{lora_id}/events": [[{"user": []}]],
    }
    callback = document["paths"]["/kie/callback"]["post"]
    assert [one["name"] for one in callback["parameters"]] == ["secret", "generation"]
    assert "taskId" in json.dumps(callback["requestBody"]["content"]["application/json"])
    assert set(document["paths"]["/kie/sync"]["get"]["responses"]["503"]["headers"]) == {"Retry-After"}
    assert api.openapi() is api.openapi()
