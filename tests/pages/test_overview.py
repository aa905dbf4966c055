"""Overview: empty, full, ill, and with nobody at the machinery."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from core import access, settings
from core.access import Actor, Role
from core.alerts import service as alerts
from core.deliveries import health_rows, windows
from core.deliveries.models import DeliveryState
from core.diagnosis import search
from core.trainings.models import RunState, Stage
from pages.components import panels, tasks
from tests.pages import seeding, training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of, links_of

STAFF = access.command_line("ada")
VIEWER = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")


def test_the_first_day_says_what_to_do_first(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    app = open_page("overview.py")
    assert not failures_of(app)
    assert "Nothing has been generated yet" in html_of(app)
    assert [button.label for button in app.button] == [
        "Make the first test",
        "Rehearse with a history",
        "Budget",
        "Scheduler",
    ]
    app.button[0].click().run()
    assert "Does this model work today?" in html_of(app)


def test_a_quiet_day_needs_nobody(open_page: OpenPage, connection: psycopg.Connection[Any]) -> None:
    seeding.alive(connection)
    delivered = DeliveryState.DELIVERED
    seeding.insert(connection, seeding.Row(delivered, "success", asset_url="/files/generations/a.jpg"))
    app = open_page("overview.py")
    assert not failures_of(app)
    said = html_of(app)
    assert "Nothing needs a person now." in said
    assert "100\u00a0%" in said
    assert "is alive" not in said
    assert "keeps ending" not in said


def test_everything_that_waits_is_on_the_list_with_its_door(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    ids = seeding.every_state(connection)
    seeding.run(connection, "sweep", 1, error="<b>deadlock</b> detected")
    app = open_page("overview.py")
    assert not failures_of(app)
    said = html_of(app)
    assert said.index("The job “Pick up what fell down” fails") < said.index("Needs attention: FLUX.2 Pro")
    assert "&lt;b&gt;deadlock&lt;/b&gt; detected" in said
    doors = [href for href, said in links_of(app).items() if "arrow_forward Open" in said]
    queries = (f"debug_sync?q={ids[name]}" for name in ("attention", "leased"))
    assert sorted(doors) == sorted(["scheduler?job=sweep", *queries])


def test_a_long_list_says_that_there_is_more(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    for age in range(9):
        seeding.insert(connection, seeding.Row(DeliveryState.NEEDS_ATTENTION, "queued", age_s=60 + age))
    app = open_page("overview.py")
    assert html_of(app).count("Needs attention: FLUX.2 Pro") == 5
    assert links_of(app)["delivery_health?state=needs_attention"].startswith("More generations")


def lost(connection: psycopg.Connection[Any], n: int) -> None:
    """Lost results, and the alert for them."""
    for age in range(n):
        seeding.insert(connection, seeding.Row(DeliveryState.LOST, "failed", age_s=60 + age))
    connection.execute("UPDATE generations SET provider_read_at = now() - interval '10 s'")
    alerts.watch_deliveries(datetime.now(UTC))


def test_lost_results_are_one_item_until_somebody_has_seen_them(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    lost(connection, 9)
    app = open_page("overview.py")
    assert not failures_of(app)
    assert html_of(app).count("9\u00a0results lost") == 1
    assert sum("arrow_forward Open" in said for said in links_of(app).values()) == 1
    [note] = app.text_input
    note.set_value("the customers know")
    [seen] = [button for button in app.button if button.label == "I have seen it"]
    seen.click().run()
    assert not failures_of(app)
    assert "Nothing needs a person now." in html_of(app)
    [(note_kept,)] = connection.execute("SELECT note FROM alerts").fetchall()
    assert note_kept == "the customers know"


@pytest.mark.parametrize(("n", "all_of_them"), [(1, True), (3, True), (25, False)])
def test_an_alert_opens_exactly_the_rows_that_it_counts(
    connection: psycopg.Connection[Any], n: int, *, all_of_them: bool
) -> None:
    """Also those of long ago, which no window of Delivery health reaches; many are its filter's."""
    for age in range(n):
        seeding.insert(connection, seeding.Row(DeliveryState.LOST, "failed", age_s=50 * 86_400 + age))
    lost(connection, 0)
    [task] = tasks.gather(STAFF, datetime.now(UTC), UTC)
    if not all_of_them:
        chosen, _ = windows.read(dict(task.query))
        assert task.page == "delivery_health.py"
        assert len(list(health_rows.every_row(STAFF, chosen, datetime.now(UTC)))) == n
        return
    assert task.page == "debug_sync.py"
    opened = search.find(STAFF, task.query["q"]).generations
    rows = connection.execute("SELECT id FROM generations").fetchall()
    assert {generation.id for generation in opened} == {row[0] for row in rows}


def test_a_viewer_is_led_to_no_page_that_is_closed_to_them(
    open_page: OpenPage, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeding.alive(connection)
    seeding.insert(connection, seeding.Row(DeliveryState.NEEDS_ATTENTION, "queued"))
    lost(connection, 1)
    monkeypatch.setattr(access, "local_operator", lambda *_: VIEWER)
    app = open_page("overview.py")
    assert not failures_of(app)
    assert "Needs attention: FLUX.2 Pro" in html_of(app)
    found = tasks.gather(VIEWER, datetime.now(UTC), UTC)
    assert [task.page for task in found if task.button] == ["delivery_health.py"]


def test_an_alert_that_grew_while_it_was_looked_at_is_looked_at_again(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    lost(connection, 1)
    app = open_page("overview.py")
    lost(connection, 3)
    [seen] = [button for button in app.button if button.label == "I have seen it"]
    seen.click().run()
    said = html_of(app)
    assert "4\u00a0results lost" in said
    assert "It has changed since you saw it" in said
    assert connection.execute("SELECT acknowledged_at FROM alerts").fetchall() == [(None,)]


def test_a_total_that_is_not_its_lines_says_both_figures_and_the_remedy(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    connection.execute(
        "INSERT INTO budget_totals (scope, month, settled_usd) VALUES ('trainings', '2026-11-01', 12.5)"
    )
    alerts.watch_totals(datetime.now(UTC))
    said = html_of(open_page("overview.py"))
    assert "$12.50 against $0.00 settled" in said
    assert "A total differs from its lines" in said
    assert "The total of November&#x27;s trainings is not the sum of its lines" in said


def test_the_delivery_panel_counts_the_last_day(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    state = DeliveryState
    for _ in range(3):
        seeding.insert(connection, seeding.Row(state.DELIVERED, "success"))
    seeding.insert(connection, seeding.Row(state.FAILED, "failed"))
    seeding.insert(connection, seeding.Row(state.INTENT, "queued"))
    seeding.insert(connection, seeding.Row(state.FAILED, "failed", age_s=90_000))
    said = html_of(open_page("overview.py"))
    assert "75.0\u00a0%" in said
    assert "the target is 98.0\u00a0%" in said
    assert "In flight" in said
    assert "at most 4" in said or "at most 3" in said  # the hour may turn between the rows


def test_a_dead_clock_and_worker_are_named(open_page: OpenPage, connection: psycopg.Connection[Any]) -> None:
    seeding.beat(connection, "clock", age_s=400)
    seeding.insert(connection, seeding.Row(DeliveryState.DELIVERED, "success"))
    said = html_of(open_page("overview.py"))
    assert "No clock and no worker is alive" in said
    assert "KIE is not asked for results" in said
    assert "6\u00a0min ago" in said
    assert "No worker was ever heard of here." in said
    assert "<code>python -m jobs</code>" in said
    assert "Nothing else needs a person." in said


def test_refreshing_can_be_paused(open_page: OpenPage, connection: psycopg.Connection[Any]) -> None:
    seeding.alive(connection)
    app = open_page("overview.py")
    assert "refreshed every 10 s" in html_of(app)
    app.toggle(key="overview-live").set_value(False).run()
    assert "paused" in html_of(app)


def test_what_runs_never_tells_a_secret(local_settings: dict[str, str]) -> None:
    told = str(panels.running_facts(settings.current()))
    for name in ("KIE_API_KEY", "KIE_CALLBACK_SECRET", "FILES_SIGNING_KEY", "OPS_API_KEY"):
        assert local_settings[name] not in told
    password = local_settings["DATABASE_URL"].split("://")[1].split("@")[0].split(":")[1]
    assert password not in told
    assert "sandbox in place of KIE" in told


def test_trainings_have_their_panel_and_their_tasks(
    open_page: OpenPage, trainings: None, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    seeding.insert(connection, seeding.Row(DeliveryState.DELIVERED, "success"))
    run = training_seeds.launched()
    training_seeds.stands(connection, run, RunState.AWAITING_VERDICT, Stage.VALIDATION)
    app = open_page()
    assert not failures_of(app)
    said = html_of(app)
    assert "Waits for your verdict: Ada of the lighthouse (by Local operator)" in said
    assert "last 7 days" in said
    app.button(key="so-to-trainings").click().run()
    assert "Needs a person" in html_of(app)
