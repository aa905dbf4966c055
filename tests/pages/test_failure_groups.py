"""Failure groups' page: none, some, one with its actions, its plans and its generations."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from core import access
from core.deliveries import rollups, tools
from core.deliveries.models import DeliveryState, Status
from core.deliveries.windows import Filter
from core.failures import service, views
from core.failures.models import FailureGroup, GroupState
from core.plans import service as plans
from core.plans.models import Source
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of, table_of
from tests.pages.seeding import HOSTILE, Row

PAGE = "failure_groups.py"
ADA = access.command_line("ada")
Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def outside(local_settings: dict[str, str]) -> Iterator[None]:
    tools.current.cache_clear()
    yield
    tools.current.cache_clear()


@pytest.fixture
def alive(connection: Connection) -> None:
    seeding.alive(connection)


def count() -> list[FailureGroup]:
    now = datetime.now(UTC)
    while rollups.run(now, run_for_s=60):
        pass
    service.count(now)
    return list(views.groups(ADA, now, tuple(GroupState)).groups)


def fail(connection: Connection, n: int, words: str = "Internal error, please try again later") -> None:
    for one in range(n):
        failure = ("service_error", "500", words)
        seeding.insert(connection, Row(DeliveryState.FAILED, Status.FAILED, age_s=300 + one, failure=failure))


def test_a_first_day_says_what_comes_here(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "Nothing has failed" in html_of(app)


def test_what_has_failed_and_is_not_counted_yet_is_not_called_nothing(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    fail(connection, 2)
    said = html_of(open_page(PAGE))
    assert "Nothing has failed" not in said
    assert "Failures are being counted" in said
    assert "not counted yet" in said
    count()
    seeding.run(connection, "failure_groups", 0)
    said = html_of(open_page(PAGE))
    assert "<b>2</b> in 24 h" in said
    assert "failures counted until" in said
    assert "newer ones are being counted" not in said
    connection.execute(
        "INSERT INTO generations (kind, model, status, delivery_state, failure_category, failure_message)"
        " VALUES ('image', 'x/y', 'failed', 'failed', 'service_error', 'Another one')"
    )
    said = html_of(open_page(PAGE))
    assert "newer ones are being counted" in said
    assert "No group under “Resolved” yet" in html_of(open_page(PAGE, show="Resolved"))


def test_groups_say_what_fails_for_how_many_and_who_has_it(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    fail(connection, 3)
    fail(connection, 1, HOSTILE)
    count()
    app = open_page(PAGE)
    said = html_of(app)
    assert not failures_of(app)
    assert said.index("500: Internal error, please try again later") < said.index("onerror")
    assert "<img src=x" not in said
    for words in ("<b>3</b> in 24 h", "New", "Open", "while it is generated", "no customer&#x27;s"):
        assert words in said
    assert "No group under “Resolved”" in html_of(open_page(PAGE, show="Resolved"))


def test_one_is_taken_in_hand_resolved_and_opened_again(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    fail(connection, 2)
    [group] = count()
    app = open_page(PAGE)
    app.button(key=f"so-open-failure-{group.signature}").click().run()
    assert app.query_params["group"] == group.signature
    app.text_input(key="so-failure-acknowledged-note").set_value("<b>I call KIE</b>")
    app.button(key="so-failure-acknowledged-do").click().run()
    assert not failures_of(app)
    said = html_of(app)
    assert "In hand" in said
    assert "Local operator" in said
    assert "&lt;b&gt;I call KIE&lt;/b&gt;" in said
    app.button(key="so-failure-resolved-do").click().run()
    assert "Resolved" in html_of(app)
    app.button(key="so-failure-open-do").click().run()
    assert views.group(ADA, group.signature).state is GroupState.OPEN
    app.button(key="so-failure-ignored-do").click().run()
    assert "Ignored until" in html_of(app)
    assert not failures_of(app)


def test_what_somebody_else_did_meanwhile_is_said(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    fail(connection, 1)
    [group] = count()
    app = open_page(PAGE, group=group.signature)
    service.change(ADA, group.signature, GroupState.RESOLVED, datetime.now(UTC), seen=GroupState.OPEN)
    app.button(key="so-failure-acknowledged-do").click().run()
    assert "It has become resolved by ada since you saw it." in html_of(app)


def test_its_generations_lead_to_a_plan_that_stands_with_it(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    fail(connection, 2)
    [group] = count()
    app = open_page(PAGE, group=group.signature)
    assert len(table_of(app)["Task"]) == 2
    [link] = app.get("link_button")
    assert link.proto.url.startswith("/api/deliveries.csv?")
    assert f"signature={group.signature}" in link.proto.url
    [button] = [one for one in app.button if one.label.startswith("Resync all")]
    button.click().run()
    assert not failures_of(app)
    source = Source(Filter("30d", signature=group.signature))
    plan = plans.prepare(ADA, source, tools.current(), request_key=uuid.uuid4().hex)
    plans.start(ADA, plan.id, tools.current())
    said = html_of(open_page(PAGE, group=group.signature))
    assert "Plans that repaired it" in said
    assert f"bulk_resync?plan={plan.id}" in said


def test_who_may_only_look_has_no_way_to_change(
    open_page: OpenPage, alive: None, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(connection, 1)
    [group] = count()
    viewer = access.Actor("person", "v", "V", frozenset({access.Role.VIEWER}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: viewer)
    app = open_page(PAGE, group=group.signature)
    assert not failures_of(app)
    assert not [one for one in app.button if one.label.startswith("Resync all")]
    assert views.group(ADA, group.signature).state is GroupState.OPEN


def test_an_unknown_group_is_a_sentence(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE, group="<script>")
    assert not app.exception
    assert "There is no failure group &lt;script&gt;" in html_of(app)
