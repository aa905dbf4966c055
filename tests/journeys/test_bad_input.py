"""Input that cannot be used: a clear error each time, and nothing changed that should not be."""

import http.client
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from core import database
from core.deliveries import following, tools
from core.providers.fetch import Fetcher
from core.providers.fetch_rules import rules_for
from tests.journeys.world import World

FLUX = "flux-2/pro-text-to-image"
READERS = ("/api/kie/sync", "/api/debug/kie")
BAD_IDS = (
    "",
    " ",
    "task 1",
    "task'1",
    "tásk",
    "../../etc/passwd",
    "a/b",
    "a\x00b",
    "%",
    "t" * 201,
    "t" * 20_000,
)


def untouched(world: World) -> bool:
    """Whether no row was written and KIE was not called."""
    return not (
        world.sql("SELECT 1 FROM generations")
        or world.calls("create")
        or world.calls("read")
        or world.calls("file")
    )


@pytest.mark.parametrize("path", READERS)
def test_an_id_that_is_none_is_400_and_asks_nobody(world: World, path: str) -> None:
    for given in BAD_IDS:
        answer = world.web.get(path, params={"taskId": given})
        assert answer.status_code == 400, (given[:20], answer.text)
        error = answer.json()["error"]
        assert (error["code"], error["field"]) == ("invalid_input", "taskId")
    assert untouched(world)


@pytest.mark.parametrize("path", READERS)
def test_an_unknown_id_is_404_that_repeats_it(world: World, path: str) -> None:
    for given in ("task_unknown", "t" * 200, str(uuid.uuid4())):
        answer = world.web.get(path, params={"taskId": given})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert given[:80] in answer.json()["error"]["message"]
    assert untouched(world)


def test_sync_without_an_id_is_400_and_debug_without_one_tells_the_newest_ten(world: World) -> None:
    missing = world.web.get("/api/kie/sync")
    assert (missing.status_code, missing.json()["error"]["field"]) == (400, "taskId")
    assert world.web.get("/api/debug/kie").json() == {"recent": []}
    made = [world.create(f"number {n}")["generationId"] for n in range(12)]
    recent = world.web.get("/api/debug/kie").json()["recent"]
    assert [item["generationId"] for item in recent] == list(reversed(made))[:10]


@dataclass(frozen=True)
class Refused:
    """A create that is refused: the body, the field named, and words that the sentence must hold."""

    reason: str
    body: dict[str, Any]
    field: str
    says: str


def _create(**more: Any) -> dict[str, Any]:
    return {"model": FLUX, "input": {"prompt": "a lighthouse"}, **more}


def _input(**values: Any) -> dict[str, Any]:
    return {"model": FLUX, "input": {"prompt": "a lighthouse", **values}}


REFUSED = (
    Refused("two characters", _input(prompt="ab"), "prompt", "3 to 5000 characters; it has 2"),
    Refused("5,001 characters", _input(prompt="x" * 5001), "prompt", "it has 5001"),
    Refused("spaces alone", _input(prompt="       "), "prompt", "it has 0"),
    Refused("no prompt", {"model": FLUX, "input": {}}, "prompt", "must be a text"),
    Refused("a prompt that is a number", _input(prompt=12345), "prompt", "must be a text"),
    Refused("a NUL", _input(prompt="light\x00house"), "prompt", "no text"),
    Refused("an unknown model", _create(model="sora-9"), "model", "kling-2.6/text-to-video"),
    Refused("an endless model", _create(model="m" * 201), "model", "at most 200"),
    Refused("an unknown input", _input(seed=7), "seed", "It takes: prompt, aspect_ratio"),
    Refused("a ratio of nobody", _input(aspect_ratio="5:4"), "aspect_ratio", "one of: 1:1, 4:3"),
    Refused("a ratio that is a list", _input(aspect_ratio=["1:1"]), "aspect_ratio", "one of"),
    Refused("a flag that is a word", _input(nsfw_checker="yes"), "nsfw_checker", "true or false"),
    Refused("a field of another model", _input(duration="5"), "duration", "has no input"),
    Refused(
        "an unknown field beside", _create(callBackUrl="http://evil.example"), "callBackUrl", "not permitted"
    ),
    Refused("input that is a text", {"model": FLUX, "input": "a lighthouse"}, "input", "dictionary"),
    Refused("no input", {"model": FLUX}, "input", "required"),
    Refused("no model", {"input": {"prompt": "a lighthouse"}}, "model", "required"),
    Refused("a user that is none", _create(userId="me"), "userId", "UUID"),
    Refused("a user nobody knows", _create(userId=str(uuid.uuid4())), "userId", "There is no user"),
    Refused("a request key of 7", _create(requestKey="1234567"), "requestKey", "at least 8"),
    Refused("a request key of 201", _create(requestKey="k" * 201), "requestKey", "at most 200"),
)


def test_a_create_that_cannot_be_is_400_naming_the_field(world: World) -> None:
    for case in REFUSED:
        answer = world.web.post("/api/kie/createTask", json=case.body)
        assert answer.status_code == 400, (case.reason, answer.text)
        error = answer.json()["error"]
        assert (error["code"], error["field"]) == ("invalid_input", case.field), case.reason
        assert case.says in error["message"], case.reason
        assert set(error) == {"code", "message", "request_id", "field"}
    assert untouched(world)


def test_the_error_for_an_unknown_model_names_every_one_that_exists(world: World) -> None:
    said = world.web.post("/api/kie/createTask", json=_create(model="midjourney")).json()["error"]["message"]
    for model in (FLUX, "flux-2/pro-image-to-image", "kling-2.6/text-to-video", "kling-2.6/image-to-video"):
        assert model in said


@pytest.mark.parametrize(
    "body", [b"", b"model=flux", b'{"model": "flux', b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_400(world: World, body: bytes) -> None:
    answer = world.web.post("/api/kie/createTask", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) >= {"code", "message", "request_id"}
    assert untouched(world)


@pytest.mark.parametrize("prompt", ["abc", "x" * 5000, "  trimmed  "])
def test_prompts_at_the_bounds_are_taken_trimmed(world: World, prompt: str) -> None:
    made = world.create(prompt)
    assert made["taskId"]
    assert world.row(made["generationId"]).prompt == prompt.strip()


# The row cannot be written: nothing is paid.


@contextmanager
def database_away(world: World) -> Iterator[None]:
    database.connect("postgresql://postgres@127.0.0.1:1/nowhere")
    try:
        yield
    finally:
        database.connect(world.environment["DATABASE_URL"])


def test_with_the_database_away_create_is_500_and_kie_is_not_called(world: World) -> None:
    made = world.create("before [[fault:stuck]]")
    before = len(world.calls("create")), len(world.calls("read"))
    with database_away(world):
        answers = {
            "create": world.web.post("/api/kie/createTask", json=_create()),
            "callback": world.callback(made["generationId"], {"data": {"taskId": made["taskId"]}}),
            "sync": world.web.get("/api/kie/sync", params={"taskId": made["taskId"]}),
            "debug": world.web.get("/api/debug/kie", params={"taskId": made["taskId"]}),
        }
        deep = world.web.get("/api/health", params={"deep": 1})
        shallow = world.web.get("/api/health")
    for name, answer in answers.items():
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "database_failed"), name
        assert "127.0.0.1" not in answer.text
    assert (len(world.calls("create")), len(world.calls("read"))) == before
    assert (deep.status_code, deep.json()["status"]) == (503, "degraded")
    assert deep.json()["parts"]["database"]["ok"] is False
    assert (shallow.status_code, shallow.json()) == (200, {"status": "ok"})


def test_a_row_that_the_database_refuses_is_500_and_kie_is_not_called(world: World) -> None:
    world.sql("ALTER TABLE generations ADD CONSTRAINT refused CHECK (prompt IS NULL) NOT VALID")
    try:
        answer = world.web.post("/api/kie/createTask", json=_create())
    finally:
        world.sql("ALTER TABLE generations DROP CONSTRAINT refused")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "database_failed")
    assert "lighthouse" not in answer.text
    assert untouched(world)


# Where results may be fetched from.


def of_the_company(world: World, url: str) -> str:
    """A row of the company's application whose result lies at `url`; its id."""
    [(found,)] = world.sql(
        "INSERT INTO generations (status, model, prompt, task_id, result_urls)"
        " VALUES ('success', %s, 'x', %s, ARRAY[%s]) RETURNING id::text",
        FLUX,
        f"task_{uuid.uuid4().hex}",
        url,
    )
    return str(found)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.7/a.jpg",
        "https://[::1]/a.jpg",
        "https://localhost/a.jpg",
        "http://127.0.0.1:{port}/a.jpg",
        "http://127.1:{port}/a.jpg",
        "https://2130706433/a.jpg",
        "file:///etc/passwd",
        "https://evil.example/a.jpg",
        "https://tempfile.aiquickdraw.com@127.0.0.1:{port}/a.jpg",
        "https://tempfile.aiquickdraw.com:8443/a.jpg",
        "not a url",
    ],
)
def test_a_result_in_a_forbidden_place_is_never_fetched(world: World, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        one = of_the_company(world, url.format(port=listener.getsockname()[1]))
        row = world.advance(one)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert row.delivery_state == "needs_attention"
    assert (row.failure_message or "").startswith("The result cannot be fetched.")
    assert (row.asset_url, world.files()) == (None, [])


def test_an_allowed_name_that_leads_to_a_private_address_is_never_fetched(world: World) -> None:
    asked: list[str] = []

    def private(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34", "10.0.0.7"]

    one = of_the_company(world, "https://files.example.com/a.jpg")
    fetch = Fetcher(rules_for(["files.example.com"]), resolve=private)
    row = following.advance(UUID(one), replace(tools.current(), fetch=fetch))
    fetch.close()
    assert asked == ["files.example.com"]
    assert row is not None
    assert row.delivery_state == "needs_attention"
    assert "10.0.0.7, which is not a public address" in (row.failure_message or "")


# Files.


def raw_get(world: World, target: str) -> tuple[int, bytes]:
    """A GET whose path goes out exactly as given."""
    at = urlsplit(world.environment["PUBLIC_BASE_URL"])
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=10)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_path_with_dots_leads_nowhere(world: World) -> None:
    made = world.create("a file to steer from")["generationId"]
    link = world.settle(made, {"delivered"}).asset_url or ""
    path, _, query = link.partition("?")
    secret = Path(world.environment["STUDIO_OPS_DATA_DIR"]) / "secret.txt"
    secret.write_text("out of bounds")
    folder, _, name = path.rpartition("/")
    for steps in (
        "../../../../secret.txt",
        "..%2f..%2f..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.txt",
    ):
        status, body = raw_get(world, f"{folder}/{steps}?{query}")
        assert status in {403, 404}, steps
        assert b"out of bounds" not in body
        assert json.loads(body)["error"]["code"] in {"bad_signature", "not_found"}
    for other in (f"/files/../secret.txt?{query}", f"{folder}/./{name}?{query}", f"{path}?{query}x", path):
        status, body = raw_get(world, other)
        assert status in {403, 404}, other
        assert b"out of bounds" not in body
    assert raw_get(world, link)[0] == 200
