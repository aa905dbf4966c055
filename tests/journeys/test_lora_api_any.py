"""Whatever is sent to the routes of LoRAs, the answer is one that their document names, and never a 500."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.web import lora_models
from core.web.routes import api
from tests.journeys.lora_users import ADA, LORAS, Configure
from tests.journeys.training_world import Trainings
from tests.journeys.users import JWT_SECRET, customer, token

DOCUMENT = api.openapi()
ROUTES = {path: ways for path, ways in DOCUMENT["paths"].items() if path.startswith("/v1/lora-models")}
LISTED = ROUTES["/v1/lora-models"]["get"]["parameters"]
ANYTHING = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "null", "true", "-0", "1e9", "NaN", "Infinity", "0x1", "'", "%", "\x00", "popular", "name"]
    ),
    st.datetimes().map(str),
    st.uuids().map(str),
)
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
OURS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def user(
    trainings: Trainings, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """A user whom nothing slows down, and a LoRA of theirs."""
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    for pace in (lora_models.READS, lora_models.CREATES):
        monkeypatch.setattr(pace, "take", AsyncMock())
    with customer(trainings.world, token(ADA)) as client:
        yield client


def check(path: str, method: str, answer: httpx.Response) -> None:
    """The answer is one that the document names, in the shape that it names."""
    documented = ROUTES[path][method]["responses"]
    assert str(answer.status_code) in documented, (answer.status_code, answer.text[:300])
    assert answer.status_code != 500, answer.text[:300]
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert {"code", "message", "request_id"} <= set(error)
        assert error["message"]


@OURS
@given(st.dictionaries(st.sampled_from([one["name"] for one in LISTED]), ANYTHING, max_size=5))
def test_any_list(user: httpx.Client, query: dict[str, str]) -> None:
    check("/v1/lora-models", "get", user.get(LORAS, params=query))


@OURS
@given(
    st.one_of(st.uuids().map(str), st.text("abcdef0123456789-%é", min_size=1, max_size=40)),
    st.sampled_from(["", "/status", "/events"]),
    st.dictionaries(
        st.sampled_from(["If-None-Match", "Last-Event-ID", "Accept", "Range"]),
        st.text('abc"*,W/0;= ', max_size=20).map(str.strip),
        max_size=3,
    ),
)
def test_any_id(user: httpx.Client, lora_id: str, tail: str, headers: dict[str, str]) -> None:
    answer = user.get(f"{LORAS}/{lora_id}{tail}", headers=headers)
    check(f"/v1/lora-models/{{lora_id}}{tail}", "get", answer)


@OURS
@given(
    st.one_of(
        BODIES,
        st.fixed_dictionaries(
            {"name": st.text(max_size=300)},
            optional={
                "description": st.text(max_size=50) | st.integers(),
                "trigger_word": st.text(max_size=40),
                "character_images": st.lists(st.text(max_size=30), max_size=3),
            },
        ),
    ),
    st.none()
    | st.text("abc!~ é", min_size=1, max_size=12).filter(lambda key: key.isascii() and key.strip() == key),
)
def test_any_json(user: httpx.Client, body: Any, key: str | None) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    check("/v1/lora-models", "post", user.post(LORAS, json=body, headers=headers))


@OURS
@given(
    st.binary(max_size=200),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x", "text/plain", ""]),
)
def test_any_bytes(user: httpx.Client, content: bytes, kind: str) -> None:
    check("/v1/lora-models", "post", user.post(LORAS, content=content, headers={"content-type": kind}))


@OURS
@given(
    st.dictionaries(st.text("abcname_", max_size=12), st.text(max_size=30), max_size=4),
    st.binary(max_size=64),
)
def test_any_form(user: httpx.Client, fields: dict[str, str], content: bytes) -> None:
    files = [("character_images", ("a.jpg", content, "image/jpeg"))]
    check("/v1/lora-models", "post", user.post(LORAS, data=fields, files=files))


def test_the_document_is_complete() -> None:
    """Every route says who may, what is taken and what is answered, each with an example."""
    assert set(ROUTES) == {
        "/v1/lora-models",
        "/v1/lora-models/{lora_id}",
        "/v1/lora-models/{lora_id}/status",
        "/v1/lora-models/{lora_id}/events",
    }
    for path, ways in ROUTES.items():
        for method, one in ways.items():
            assert one["security"] == [{"user": []}], path
            assert one["summary"], path
            assert {"400", "401", "403", "429", "500"} <= set(one["responses"]), path
            good = next(answer for status, answer in one["responses"].items() if status in {"200", "201"})
            [content] = good["content"].values()
            shape = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            assert "example" in content or "example" in DOCUMENT["components"]["schemas"][shape], (
                path,
                method,
            )
    body = ROUTES["/v1/lora-models"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert {"402", "409", "413", "422"} <= set(ROUTES["/v1/lora-models"]["post"]["responses"])
