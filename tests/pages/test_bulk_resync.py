"""Bulk resync: choosing, the dry run, a plan in every state, and the buttons that lead there."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access, settings
from core.deliveries import tools
from core.deliveries.models import DeliveryState, Status
from core.deliveries.windows import Filter
from core.plans import service, views
from core.plans.models import Plan, PlanState, Source
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of, table_of
from tests.pages.seeding import Row

PAGE = "bulk_resync.py"
ADA = access.command_line("ada")
Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def outside(local_settings: dict[str, str]) -> Iterator[None]:
    """The tools of deliveries, made from this test's settings."""
    tools.current.cache_clear()
    settings.current.cache_clear()
    yield
    tools.current.cache_clear()


@pytest.fixture
def alive(connection: Connection) -> None:
    seeding.alive(connection)


def failed(connection: Connection, n: int) -> list[uuid.UUID]:
    """So many generations that failed some minutes ago."""
    words = ("service_error", "500", "Internal error")
    return [
        seeding.insert(connection, Row(DeliveryState.FAILED, Status.FAILED, age_s=300 + one, failure=words))
        for one in range(n)
    ]


def prepared(n: int | None = None) -> Plan:
    plan = service.prepare(ADA, Source(Filter(state="failed")), tools.current(), request_key=uuid.uuid4().hex)
    assert n is None or plan.eligible == n
    return plan


def started() -> Plan:
    plan = prepared()
    return service.start(ADA, plan.id, tools.current(), typed=plan.eligible, reason="<b>KIE's outage</b>")


def settle(connection: Connection, plan: Plan, **states: int) -> None:
    """As a worker would leave the items, in their order."""
    n = 0
    for state, many in states.items():
        connection.execute(
            "UPDATE resync_items SET state = %s, sentence = %s, ended_at = now()"
            " WHERE plan_id = %s AND n > %s AND n <= %s",
            (state, f"KIE <i>says</i> {state}.", plan.id, n, n + many),
        )
        n += many


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_on_a_first_day_it_says_how_to_begin(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "No plan yet" in html_of(app)
    assert "See what would happen" in buttons(app)


def test_a_list_is_tried_dry_and_its_plan_stands_in_the_address(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    seeding.every_state(connection)
    app = open_page(PAGE)
    app.selectbox(key="so-plan-state").set_value("failed")
    app.button(key="so-plan-dry").click().run()
    assert not failures_of(app)
    [plan] = [seen.plan for seen in views.history(ADA, datetime.now(UTC)).plans]
    assert app.query_params["plan"] == str(plan.id)
    said = html_of(app)
    assert "Can be resynced" in said
    assert "1\u00a0generation is asked for" in said
    assert "$0.00: reading and fetching are free" in said
    assert "Resync 1\u00a0generation" in buttons(app)
    assert not [one for one in app.text_input if one.label.startswith("Type ")]


def test_what_the_address_names_is_chosen_already(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE, state="stuck", window="7d", user="11111111-2222-4333-8444-555555555555")
    assert app.selectbox(key="so-plan-state").value == "stuck"
    assert app.selectbox(key="so-plan-window").value == "7d"
    assert app.text_input(key="so-plan-user").value == "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("key", "given", "said"),
    [
        ("so-plan-user", "Müller", "That is no customer&#x27;s id"),
        ("so-plan-ids", "<script>alert(1)</script>", "is no id of a task"),
        ("so-plan-ids", " ".join(f"task_{n}" for n in range(2_001)), "These are 2,001 ids"),
        ("so-plan-ids", "a/b", "“a/b” is no id"),
    ],
)
def test_bad_input_is_a_sentence_at_its_field(
    open_page: OpenPage, alive: None, key: str, given: str, said: str
) -> None:
    app = open_page(PAGE)
    field = app.text_area(key=key) if key.endswith("ids") else app.text_input(key=key)
    field.set_value(given)
    app.button(key="so-plan-dry").click().run()
    assert not app.exception
    assert said in html_of(app)
    assert "plan" not in app.query_params


def test_everything_at_once_is_refused(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    app.selectbox(key="so-plan-state").set_value("begun")
    app.button(key="so-plan-dry").click().run()
    assert "That is every generation there is." in html_of(app)


def test_above_twenty_the_number_is_typed_and_a_reason_is_kept(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    failed(connection, 22)
    plan = prepared(22)
    app = open_page(PAGE, plan=str(plan.id))
    app.text_input(key="so-plan-act-reason").set_value("=outage 🦊")
    app.text_input(key="so-plan-act-typed").set_value("21")
    app.button(key="so-plan-act-start").click().run()
    assert "Type 22 to confirm that many resyncs." in html_of(app)
    assert views.plan(ADA, plan.id, datetime.now(UTC)).plan.state is PlanState.DRAFT
    app.text_input(key="so-plan-act-typed").set_value("22")
    app.button(key="so-plan-act-start").click().run()
    assert not failures_of(app)
    seen = views.plan(ADA, plan.id, datetime.now(UTC)).plan
    assert (seen.state, seen.reason, seen.started_by) == (PlanState.RUNNING, "=outage 🦊", "Local operator")
    assert "0 of 22 done" in html_of(app)


def test_a_name_shows_the_address_behind_it(open_page: OpenPage, alive: None, connection: Connection) -> None:
    failed(connection, 2)
    plan = started()
    connection.execute("UPDATE resync_plans SET started_by = 'Bo', started_by_id = 'bo@studio.example'")
    shown = '<span class="so-who" title="bo@studio.example">Bo</span>'
    assert f"Started by {shown}" in html_of(open_page(PAGE, plan=str(plan.id)))
    assert shown in html_of(open_page(PAGE))


def test_a_running_plan_is_paused_resumed_and_aborted(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    failed(connection, 5)
    plan = started()
    settle(connection, plan, delivered=2, working=1)
    app = open_page(PAGE, plan=str(plan.id))
    said = html_of(app)
    assert "2 of 5 done" in said
    assert "at least" in said
    assert "&lt;b&gt;KIE&#x27;s outage&lt;/b&gt;" in said
    app.button(key="so-plan-act-pause").click().run()
    assert "Paused" in html_of(app)
    assert "1\u00a0item is still being finished" in html_of(app)
    app.button(key="so-plan-act-play_arrow").click().run()
    assert "Running" in html_of(app)
    app.text_input(key="so-plan-act-why").set_value("enough")
    app.button(key="so-plan-act-abort").click().run()
    assert not failures_of(app)
    said = html_of(app)
    assert "Aborted" in said
    assert "Not begun 2" in said
    assert "Abort it" not in buttons(app)


def test_a_finished_plan_says_what_became_of_each_and_offers_what_failed(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    failed(connection, 6)
    plan = started()
    settle(connection, plan, delivered=3, answered=1, failed=2)
    results = json.dumps({"delivered": 3, "answered": 1, "failed": 2})
    connection.execute(
        "UPDATE resync_plans SET state = 'finished', ended_at = now(), results = %s WHERE id = %s",
        (results, plan.id),
    )
    app = open_page(PAGE, plan=str(plan.id))
    said = html_of(app)
    assert not failures_of(app)
    for words in ("Finished", "6 of 6 done", "Delivered 3", "No file 1", "Failed 2"):
        assert words in said
    assert len(table_of(app)["Task"]) == 6
    [again] = [button for button in app.button if "what failed" in button.label]
    assert again.label == "Resync all 2 of what failed…"
    again.click().run()
    [draft] = [
        seen.plan
        for seen in views.history(ADA, datetime.now(UTC)).plans
        if seen.plan.state is PlanState.DRAFT
    ]
    assert (draft.total, draft.source) == (2, {"failed_of": str(plan.id)})


def test_an_empty_dry_run_and_an_old_one_offer_no_start(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    empty = prepared(0)
    app = open_page(PAGE, plan=str(empty.id))
    assert "Nothing is on that list" in html_of(app)
    assert not [label for label in buttons(app) if label.startswith("Resync ")]
    failed(connection, 1)
    old = prepared(1)
    connection.execute(
        "UPDATE resync_plans SET created_at = created_at - interval '2 h' WHERE id = %s", (old.id,)
    )
    assert "This dry run is older than an hour" in html_of(open_page(PAGE, plan=str(old.id)))


@pytest.mark.parametrize("plan", ["nonsense", "11111111-2222-4333-8444-555555555555"])
def test_an_address_without_a_plan_says_so(open_page: OpenPage, alive: None, plan: str) -> None:
    app = open_page(PAGE, plan=plan)
    assert not app.exception
    assert "There is no" in html_of(app)
    assert "All plans" in buttons(app)


def test_the_history_has_every_plan_and_opens_it(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    failed(connection, 2)
    plan = started()
    for _ in range(views.HISTORY_PAGE):
        prepared()
    app = open_page(PAGE)
    assert not failures_of(app)
    assert html_of(app).count("Dry run") == views.HISTORY_PAGE
    app.button(key="so-plans-older").click().run()
    assert "0 of 2 done" in html_of(app)
    app.button(key=f"so-open-plan-{plan.id}").click().run()
    assert app.query_params["plan"] == str(plan.id)


def test_a_list_of_delivery_health_leads_to_its_dry_run(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    seeding.every_state(connection)
    app = open_page("delivery_health.py", state="needs_attention")
    [button] = [one for one in app.button if one.label.startswith("Resync all")]
    assert button.label == "Resync all 2 of this list…"
    button.click().run()
    [plan] = [seen.plan for seen in views.history(ADA, datetime.now(UTC)).plans]
    assert plan.source == {"window": "30d", "state": "needs_attention"}
    assert plan.counts == {"eligible": 1, "in_flight": 1}
    delivered = open_page("delivery_health.py", state="delivered")
    assert not [one for one in delivered.button if one.label.startswith("Resync all")]


def test_several_that_a_search_names_can_be_resynced(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    ids = failed(connection, 2)
    app = open_page("debug_sync.py", q=f"{ids[0]} {ids[1]}")
    [button] = [one for one in app.button if one.label.startswith("Resync all")]
    assert button.label == "Resync all 2 of these…"
    button.click().run()
    assert not failures_of(app)
    [plan] = [seen.plan for seen in views.history(ADA, datetime.now(UTC)).plans]
    assert plan.eligible == 2


def test_who_may_not_run_plans_sees_them_and_no_button(
    open_page: OpenPage, alive: None, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(connection, 2)
    draft, running = prepared(2), started()
    product = access.Actor("person", "p", "P", frozenset({access.Role.PRODUCT}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: product)
    for plan, key in ((draft, "so-plan-act-start"), (running, "so-plan-act-pause")):
        app = open_page(PAGE, plan=str(plan.id))
        assert not failures_of(app)
        assert app.button(key=key).disabled
    assert open_page(PAGE).button(key="so-plan-dry").disabled
    health = open_page("delivery_health.py", state="failed")
    assert not [one for one in health.button if one.label.startswith("Resync all")]


def test_a_plan_that_somebody_else_has_started_meanwhile_is_not_started_twice(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    failed(connection, 2)
    plan = prepared(2)
    app = open_page(PAGE, plan=str(plan.id))
    service.start(ADA, plan.id, tools.current())
    app.button(key="so-plan-act-start").click().run()
    assert not app.exception
    assert "ada has started it already; it is running now." in html_of(app)
