"""Faults that need a sandbox of their own: one that signs its callbacks and knows the database."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import SQLAlchemyError

from core import database
from core.sandbox.server import Site, running
from tests.conftest import SANDBOX_KEY, Sandbox
from tests.journeys.world import World, success, until

HMAC_KEY = "webhook-hmac-key-of-the-tests"


@pytest.fixture
def signing(world: World, configure: Callable[..., None], tmp_path: Path) -> Iterator[World]:
    """A product whose KIE signs, and whose sandbox may cut the database's connections."""
    site = Site(tmp_path, SANDBOX_KEY, HMAC_KEY, world.environment["DATABASE_URL"])
    with (
        running(site) as server,
        httpx.Client(base_url=server.url, headers={"X-Sandbox": "1"}, timeout=10) as client,
    ):
        configure(KIE_BASE_URL=server.url, STUDIO_OPS_LOCAL_STACK=server.url, KIE_WEBHOOK_HMAC_KEY=HMAC_KEY)
        sandbox = Sandbox(server.url, client)
        sandbox.reset()
        sandbox.put("settings", image_seconds=0.05, file_bytes=60_000)
        yield World(world.web, sandbox, world.environment)


def callbacks(world: World, count: int) -> list[dict[str, Any]]:
    """The sandbox's log of callbacks, once there are so many."""
    return list(until(lambda: found if len(found := world.calls("callback")) >= count else None))


def test_a_signed_callback_is_taken_and_delivers(signing: World) -> None:
    made = signing.create("signed")["generationId"]
    assert [call["status"] for call in callbacks(signing, 1)] == [200]
    signing.work()
    assert signing.row(made).delivery_state == "delivered"
    assert signing.sql("SELECT signed FROM callback_inbox") == [(True,)]


def test_an_unsigned_callback_is_refused_and_the_poll_delivers(signing: World) -> None:
    made = signing.create("unsigned [[fault:callback_unsigned]]")["generationId"]
    assert [call["status"] for call in callbacks(signing, 1)] == [401]
    assert signing.settle(made, {"delivered"}).asset_url
    assert "callback" not in signing.events(made)
    assert signing.inbox() == []


def test_a_callback_replayed_after_an_hour_is_refused(signing: World) -> None:
    made = signing.create("replayed [[fault:callback_replayed]]")["generationId"]
    assert [call["status"] for call in callbacks(signing, 2)] == [200, 401]
    assert signing.settle(made, {"delivered"}).asset_url
    assert signing.events(made).count("callback") == 1
    assert [row.duplicates for row in signing.inbox()] == [0]


def test_a_forged_callback_with_a_right_signature_of_another_task_binds_nothing(signing: World) -> None:
    """Whoever has one signature of KIE's has it for that task alone, and its body is never believed."""
    other = signing.create("the other [[fault:stuck]]")["generationId"]
    made = signing.create("forged [[fault:callback_forged]]")["generationId"]
    assert [call["status"] for call in callbacks(signing, 2)] == [200, 200]
    assert signing.settle(made, {"delivered"}).asset_url
    assert signing.row(other).delivery_state == "awaiting_provider"
    assert "forged.jpg" not in str(signing.row(made).result_urls)


def test_a_body_over_the_limit_is_refused_before_its_signature_is_looked_at(signing: World) -> None:
    one, task = signing.held()
    answer = signing.callback(one, success(task, padding="x" * 2_000_000))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert signing.callback(one, success(task)).status_code == 401
    assert signing.inbox() == []


def test_the_database_restarts_during_a_delivery_and_it_is_delivered_once(signing: World) -> None:
    made = signing.create("cut [[fault:database_cut*1]] [[fault:callback_lost]]")["generationId"]

    def cut() -> bool:
        with suppress(SQLAlchemyError, psycopg.Error, ConnectorException):
            signing.due(made)
            signing.step(made)
        return any("connections" in call["note"] for call in signing.calls("file"))

    until(cut)
    database.close()
    database.connect(signing.environment["DATABASE_URL"])
    signing.due(made)
    assert signing.settle(made, {"delivered"}).asset_url
    kinds = signing.events(made)
    assert (kinds.count("delivered"), kinds.count("stored"), signing.paid(made)) == (1, 1, 1)
    assert len(signing.files()) == 1
