"""Who did something stands beside it by their address too: two people of one name stay two, for ever."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core import database
from core.access import Actor, Role
from core.alerts import service as alerts
from core.budget import controls, prices
from core.configuration import service as configuration
from core.configuration.checks import BY_KEY
from core.failures import service as failures
from core.failures.models import GroupState
from core.loras import service as loras
from core.machinery import service as machinery
from core.staff import service as staff
from pages.components import who
from tests.database.ledger import sql

ADDRESS = "ada@studio.example"
ADA = Actor("person", ADDRESS, "Ada", frozenset(Role), "page", email=ADDRESS)
NAMESAKE = Actor("person", "ada.b@studio.example", "Ada", frozenset(Role), "page")
ONE = UUID(int=1)
EMPTIED = (
    "alerts", "failure_groups", "job_pauses", "job_runs", "staff_sessions", "staff", "lora_standing",
    "budget_overrides", "check_results",
)  # fmt: skip
Act = Callable[[Actor], object]


@pytest.fixture(autouse=True)
def _one_of_each(_connected: None) -> None:
    for table in EMPTIED:
        sql(f"DELETE FROM {table}")
    sql(
        "INSERT INTO lora_models (id, name, training_status, storage_path, storage_url, file_size)"
        " VALUES (%s, 'Mia', 'completed', 'a/b.safetensors', 'u', 1000)"
        " ON CONFLICT (id) DO UPDATE SET hidden_at = NULL, archived_at = NULL",
        ONE,
    )
    sql(
        "INSERT INTO alerts (id, kind, subject, severity, count, evidence, opened_at, last_seen_at)"
        " VALUES (%s, 'stuck', '', 'warning', 1, '{}', now(), now())",
        ONE,
    )
    sql(
        "INSERT INTO failure_groups (signature, model, stands, category, code, message, first_seen_at,"
        " newest_at) VALUES ('abc', 'm', 'failed', '', '', '', now(), now())"
    )


def pause(actor: Actor) -> None:
    machinery.pause(actor, "heal", ONE, 1, "a change", database.now())
    machinery.resume(NAMESAKE, ONE, database.now())


def override(actor: Actor) -> None:
    now = database.now()
    until = now + timedelta(minutes=5)
    controls.override(actor, ONE, "trainings", Decimal(5), "a launch", until, now)
    controls.end_override(NAMESAKE, ONE, now + timedelta(seconds=1))


def limit(actor: Actor) -> None:
    amount = Decimal(uuid.uuid4().int % 900 + 300)
    controls.set_limit(actor, "trainings", amount, Decimal(100), "a busy month", database.now())


def price(actor: Actor) -> None:
    each = Decimal(uuid.uuid4().int % 900 + 1)
    prices.set_price(actor, "kie", "one-of-the-tests", "image", each, "their page", database.now())


def check(actor: Actor) -> None:
    configuration._run(BY_KEY["disk"], actor, None)


def take(actor: Actor) -> None:
    now, seen = database.now(), GroupState.OPEN
    failures.change(actor, "abc", GroupState.ACKNOWLEDGED, now, seen=seen, note="I see to it")


@pytest.mark.parametrize(
    ("act", "kept", "expected"),
    [
        pytest.param(
            pause, "paused_by, paused_by_id, ended_by, ended_by_id FROM job_pauses", "both", id="pause"
        ),
        pytest.param(
            override,
            "approved_by, approved_by_id, ended_by, ended_by_id FROM budget_overrides",
            "both",
            id="override",
        ),
        pytest.param(
            limit, "set_by, set_by_id FROM budget_limits ORDER BY id DESC LIMIT 1", "one", id="limit"
        ),
        pytest.param(
            price,
            "set_by, set_by_id FROM prices WHERE service = 'one-of-the-tests'"
            " ORDER BY valid_from DESC LIMIT 1",
            "one",
            id="price",
        ),
        pytest.param(check, "asked_by, asked_by_id FROM check_results", "one", id="check"),
        pytest.param(
            take, "owner, owner_id, changed_by, changed_by_id FROM failure_groups", "twice", id="failure"
        ),
        pytest.param(
            lambda actor: machinery.run_now(actor, "heal", ONE, database.now()),
            "asked_by, asked_by_id FROM job_runs",
            "one",
            id="run",
        ),
        pytest.param(
            lambda actor: alerts.acknowledge(actor, ONE, 1, "", database.now()),
            "acknowledged_by, acknowledged_by_id FROM alerts",
            "one",
            id="alert",
        ),
        pytest.param(
            lambda actor: loras.hide(actor, ONE, "a real person", database.now()),
            "hidden_by, hidden_by_id FROM lora_standing",
            "one",
            id="hidden",
        ),
        pytest.param(
            lambda actor: loras.archive(actor, ONE, "a better one", database.now()),
            "archived_by, archived_by_id FROM lora_standing",
            "one",
            id="archived",
        ),
        pytest.param(
            lambda actor: staff.add(actor, "bo@studio.example", "Bo", ["viewer"], database.now()),
            "added_by, added_by_id FROM staff",
            "one",
            id="added",
        ),
    ],
)
def test_the_address_stands_beside_the_name(act: Act, kept: str, expected: str) -> None:
    act(ADA)
    ada, namesake = ("Ada", ADDRESS), ("Ada", NAMESAKE.id)
    assert [tuple(row) for row in sql(f"SELECT {kept}")] == [
        {"one": ada, "twice": ada + ada, "both": ada + namesake}[expected]
    ]


def test_an_owner_who_is_only_named_has_no_address() -> None:
    take(ADA)
    seen = GroupState.ACKNOWLEDGED
    changed = failures.change(NAMESAKE, "abc", seen, database.now(), seen=seen, owner="The night shift")
    assert (changed.owner, changed.owner_id) == ("The night shift", None)
    assert (changed.changed_by, changed.changed_by_id) == ("Ada", NAMESAKE.id)


@pytest.mark.parametrize(
    ("name", "known_as", "shown"),
    [
        ("Ada", ADDRESS, f'<span class="so-who" title="{ADDRESS}">Ada</span>'),
        ("<b>", '"@x', '<span class="so-who" title="&quot;@x">&lt;b&gt;</span>'),
        (ADDRESS, ADDRESS, ADDRESS),
        ("Local operator", "local", "Local operator"),
        ("Ada", None, "Ada"),
        (None, None, "somebody"),
    ],
)
def test_a_name_shows_its_address(name: Any, known_as: Any, shown: str) -> None:
    assert who.html(name, known_as, "somebody") == shown
