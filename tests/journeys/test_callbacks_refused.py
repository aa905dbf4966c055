"""Callbacks that are refused: secret, signature, size and shape; and odd ones that are not."""

import base64
import hashlib
import hmac
import json
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from core.web.answers import MAX_BODY
from tests.conftest import CALLBACK_SECRET
from tests.journeys.world import World, all_rows, success

HMAC_KEY = "webhook-hmac-key-of-the-tests"


# Refused.


def test_a_wrong_or_missing_secret_is_401_and_changes_nothing(world: World) -> None:
    one, task = world.held()
    for secret in (None, "", "wrong", CALLBACK_SECRET + "x", CALLBACK_SECRET[:-1], "ü"):
        answer = world.callback(one, success(task), secret=secret)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in"), secret
        assert CALLBACK_SECRET not in answer.text
    assert world.inbox() == []
    assert "callback" not in world.events(one)


def test_a_callback_of_an_unknown_task_is_404_and_leaves_no_row(world: World) -> None:
    for generation in (None, str(uuid.uuid4())):
        answer = world.callback(generation, success("task_unknown"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert world.inbox() == []


def test_without_our_generation_the_task_id_finds_the_row(world: World) -> None:
    one, task = world.held()
    body = {"data": {"task_id": task, "state": "success"}}
    assert world.callback(None, body).status_code == 200
    assert [(row.generation_id, row.task_id) for row in world.inbox()] == [(one, task)]


MALFORMED: list[tuple[str, Any]] = [
    ("no JSON", b"state=success&taskId=1"),
    ("cut off", b'{"data": {"taskId": "tas'),
    ("nothing", b""),
    ("an array", b'[{"taskId": "task_1"}]'),
    ("a string", b'"task_1"'),
    ("null", b"null"),
    ("no UTF-8", b'\xff\xfe{"a"'),
    ("no number of JSON", b'{"data": {"taskId": "task_1", "costTime": NaN}}'),
    ("too deep", b'{"data": {"taskId": "t", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"),
    ("no task id", {"data": {"state": "success"}}),
    ("an empty task id", {"data": {"taskId": ""}}),
    ("a task id that is a number", {"data": {"taskId": 7}}),
    ("a task id with a space", {"data": {"taskId": "task 1"}}),
    ("a task id with a quote", {"data": {"taskId": "task'--"}}),
    ("a task id over 200 characters", {"data": {"taskId": "t" * 201}}),
    ("data that is a list", {"data": ["task_1"]}),
]


def test_a_malformed_callback_is_400_in_the_one_shape(world: World) -> None:
    one, _ = world.held()
    for reason, body in MALFORMED:
        answer = world.callback(one, body)
        assert answer.status_code == 400, (reason, answer.text)
        assert answer.json()["error"]["code"] == "invalid_input", reason
    answer = world.callback("not-an-id", success("task_1"))
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "generation")
    assert world.inbox() == []


ODD: list[tuple[str, Callable[[str], bytes]]] = [
    (
        "NUL",
        lambda task: json.dumps({"data": {"taskId": task, "state": "a\x00b", "failMsg": "\x00"}}).encode(),
    ),
    ("half a surrogate", lambda task: b'{"data": {"taskId": "%b", "state": "\\ud800"}}' % task.encode()),
    (
        "nested",
        lambda task: b'{"data": {"taskId": "%b", "x": %b}}' % (task.encode(), b"[" * 300 + b"]" * 300),
    ),
    (
        "a state that is no text",
        lambda task: json.dumps({"data": {"taskId": task, "state": {"a": 1}}}).encode(),
    ),
    ("fields at the top", lambda task: json.dumps({"taskId": task, "state": "success"}).encode()),
]


def test_odd_callbacks_that_name_a_task_are_recorded_all_the_same(world: World) -> None:
    one, task = world.held()
    for reason, body in ODD:
        answer = world.callback(one, body(task))
        assert (answer.status_code, answer.json().get("duplicate")) == (200, False), (reason, answer.text)
    assert len(world.inbox()) == len(ODD)


def test_a_secret_is_masked_in_the_inbox_however_it_is_written(world: World) -> None:
    """KIE repeats our callback URL in `param`; some JSON writers escape its = and &."""
    one, task = world.held()
    url = f"{world.environment['PUBLIC_BASE_URL']}/api/kie/callback?secret={CALLBACK_SECRET}&generation={one}"
    escaped = json.dumps({"callBackUrl": url}).replace("=", "\\u003d").replace("&", "\\u0026")
    for param in (json.dumps({"callBackUrl": url}), escaped, json.dumps(escaped)):
        assert world.callback(one, success(task, param=param)).status_code == 200
    assert len(world.inbox()) == 3
    assert CALLBACK_SECRET not in all_rows(world, ["callback_inbox", "delivery_events"])


# Size.


def drip(size: int) -> Iterator[bytes]:
    for _ in range(size // 65_536):
        yield b" " * 65_536


@pytest.mark.parametrize("path", ["/api/kie/callback", "/api/kie/createTask"])
def test_50_mb_is_413_with_and_without_a_length_and_never_held(world: World, path: str) -> None:
    size = 50 * 1024 * 1024
    tracemalloc.start()
    try:
        for headers in ({"Content-Length": str(size)}, {}):
            query = {"secret": CALLBACK_SECRET}
            headers = {**headers, "Content-Type": "application/json"}
            with httpx.Client(
                base_url=world.environment["PUBLIC_BASE_URL"], headers=dict(world.web.headers)
            ) as client:
                answer = client.post(path, params=query, content=drip(size), headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large"), headers
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_BODY
    finally:
        tracemalloc.stop()
    assert world.inbox() == []


def test_a_callback_just_under_the_limit_is_taken(world: World) -> None:
    one, task = world.held()
    padding = "x" * (MAX_BODY - 500)
    assert world.callback(one, success(task, padding=padding)).status_code == 200
    assert world.callback(one, success(task, padding=padding + "x" * 1000)).status_code == 413


# Signed.


def signed(task_id: str, at: float, key: str = HMAC_KEY) -> dict[str, str]:
    stamp = str(int(at))
    digest = hmac.new(key.encode(), f"{task_id}.{stamp}".encode(), hashlib.sha256).digest()
    return {"X-Webhook-Timestamp": stamp, "X-Webhook-Signature": base64.b64encode(digest).decode()}


def test_with_an_hmac_key_only_a_fresh_signature_of_this_task_counts(
    world: World, configure: Callable[..., None]
) -> None:
    one, task = world.held()
    configure(KIE_WEBHOOK_HMAC_KEY=HMAC_KEY)
    now = time.time()
    good = signed(task, now)
    refused: dict[str, dict[str, str]] = {
        "unsigned": {},
        "another key": signed(task, now, "another-key"),
        "another task": signed("task_other", now),
        "an hour old": signed(task, now - 3600),
        "an hour ahead": signed(task, now + 3600),
        "another time": {**good, "X-Webhook-Timestamp": str(int(now) - 1)},
        "no time": {"X-Webhook-Signature": good["X-Webhook-Signature"]},
        "a time that is none": {**good, "X-Webhook-Timestamp": "yesterday"},
        "a time without end": {**good, "X-Webhook-Timestamp": "9" * 400},
        "no signature": {"X-Webhook-Timestamp": good["X-Webhook-Timestamp"]},
        "a signature that is none": {**good, "X-Webhook-Signature": "x"},
    }
    for reason, headers in refused.items():
        answer = world.callback(one, success(task), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in"), reason
    assert world.inbox() == []
    assert world.callback(one, success(task), headers=good).json() == {
        "code": 200,
        "msg": "success",
        "duplicate": False,
    }
    assert world.sql("SELECT signed FROM callback_inbox")[0].signed is True
    again = world.callback(one, success(task), headers=signed(task, now))
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    wrong = world.callback(one, success(task), headers=good, secret="wrong")
    assert wrong.status_code == 401


def test_a_right_signature_does_not_make_a_body_true(world: World, configure: Callable[..., None]) -> None:
    """KIE's signature covers the task and the time, not what is said."""
    one, task = world.held()
    configure(KIE_WEBHOOK_HMAC_KEY=HMAC_KEY)
    assert world.callback(one, success(task), headers=signed(task, time.time())).status_code == 200
    world.work()
    assert (world.row(one).delivery_state, world.files()) == ("awaiting_provider", [])
