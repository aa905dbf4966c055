"""The Rehearsal page, and what the others show of a rehearsal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access, database, settings, usage
from core.access import Actor, Role
from core.budget import fold
from core.deliveries import health, rollups, tools
from core.deliveries.windows import WINDOWS, Filter
from core.rehearsal import faults, service
from pages.components import rehearsal_faults
from pages.navigation import PAGES, pages_of
from tests.conftest import SANDBOX_KEY, Sandbox
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

Connection = psycopg.Connection[Any]
OPERATOR = access.command_line("tester")


@pytest.fixture(scope="module")
def template(
    postgres_server: str, sandbox_process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database with a small rehearsal in it, to copy."""
    name = "rehearsed"
    with psycopg.connect(postgres_server, autocommit=True) as server, pytest.MonkeyPatch.context() as patch:
        server.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
        url = f"{postgres_server.rsplit('/', 1)[0]}/{name}"
        for setting, value in {
            "DATABASE_URL": url,
            "KIE_BASE_URL": sandbox_process,
            "KIE_API_KEY": SANDBOX_KEY,
            "FILES_SIGNING_KEY": "files-signing-key-of-the-tests",
            "STUDIO_OPS_DATA_DIR": str(tmp_path_factory.mktemp("data")),
            "STUDIO_OPS_LOCAL_STACK": sandbox_process,
        }.items():
            patch.setenv(setting, value)
        settings.current.cache_clear()
        database.connect(url)
        own = tools.from_settings(settings.current())
        list(service.begin(OPERATOR, own, generations=500, days=60))
        own.close()
        database.close()
        settings.current.cache_clear()
        yield name
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def rehearsed(
    database_url: str, template: str, postgres_server: str, local_settings: dict[str, str], sandbox: Sandbox
) -> Iterator[Connection]:
    """The test's database as a copy of that, with everything alive."""
    name = database_url.rsplit("/", 1)[1]
    database.close()
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    database.connect(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        seeding.alive(connection)
        yield connection


def worked() -> None:
    """What a worker would do now."""
    service.bring_on(tools.current())


def test_the_empty_product_offers_it_and_one_click_begins_it(
    open_page: OpenPage, connection: Connection, sandbox: Sandbox
) -> None:
    seeding.alive(connection)
    overview = open_page("overview.py")
    assert "Rehearse with a history" in [button.label for button in overview.button]
    app = open_page("rehearsal.py")
    assert "Practise before it matters" in html_of(app)
    app.segmented_control(key="so-rehearsal-size").set_value("Small").run()
    app.button(key="so-rehearsal-begin").click().run()
    assert not failures_of(app)
    assert "The history is being written" in html_of(app)
    queued = "SELECT task_name FROM procrastinate_jobs WHERE status = 'todo'"
    assert connection.execute(queued).fetchall() == [("rehearse",)]
    worked()
    app.run()
    assert "Live traffic" in html_of(app)
    assert "1,500\u00a0generations over 60\u00a0days" in html_of(app)
    assert not failures_of(app)


def test_after_a_history_no_panel_of_the_overview_is_empty(
    open_page: OpenPage, rehearsed: Connection
) -> None:
    said = html_of(open_page("overview.py"))
    assert "Nothing has been generated yet" not in said
    assert "No generation has come to its end yet" not in said
    assert "so-bars" in said
    assert "Nothing needs a person now" not in said
    for word in ("Delivered", "In flight", "Failed", "Needs attention"):
        assert word in said


def test_after_a_history_no_panel_of_trainings_loras_and_money_is_empty(
    open_page: OpenPage, rehearsed: Connection, trainings: None
) -> None:
    fold.run(datetime.now(UTC))
    overview = html_of(open_page("overview.py"))
    assert "None is under way, and none has ended this week" not in overview
    for word in ("Waits for your verdict", "an hour now", "Completed"):
        assert word in overview
    runs = open_page("training_runs.py")
    assert not failures_of(runs)
    said = html_of(runs)
    assert "Nothing has been trained yet" not in said
    for word in ("Needs a person", "Under way", "ahead of it", "Spent this month"):
        assert word in said
    library = open_page("lora_library.py")
    assert not failures_of(library)
    said = html_of(library)
    assert "Reported, waiting for a decision: 1" in said
    assert said.count("<img") >= 4
    assert "★" in said
    [(lora_id,), *_] = rehearsed.execute(
        "SELECT l.id FROM lora_models l JOIN lora_library e ON e.lora_model_id = l.id"
        " WHERE e.uses > 0 AND l.validation_image_urls IS NOT NULL ORDER BY e.uses DESC LIMIT 1"
    ).fetchall()
    detail = html_of(open_page("lora_library.py", lora=str(lora_id)))
    for nothing in ("No test image", "Nothing has been made with it", "Another system has trained it"):
        assert nothing not in detail
    for state in ("running", "ending", "failed", "awaiting_verdict", "needs_attention", "completed"):
        [(run_id,), *_] = rehearsed.execute(
            "SELECT id FROM lora_training_jobs WHERE state = %s ORDER BY created_at DESC", (state,)
        ).fetchall()
        assert not failures_of(open_page("training_runs.py", run=str(run_id))), state
    budget = open_page("budget.py")
    assert not failures_of(budget)
    said = html_of(budget)
    for nothing in ("Nothing in this month", "Nobody has begun a LoRA", "Too early to say"):
        assert nothing not in said


@pytest.mark.parametrize("window", list(WINDOWS))
def test_after_a_history_no_part_of_delivery_health_is_empty(rehearsed: Connection, window: str) -> None:
    now = datetime.now(UTC)
    rollups.run(now)
    found = health.look(OPERATOR, Filter(window=window), now)
    assert found.any_generation
    assert all(counts.total for counts in found.windows.values())
    counts = found.counts
    assert counts.delivered > counts.failed > 0
    assert (counts.in_flight, counts.needs_attention) > (0, 0)
    assert found.before[window].total > 0
    assert found.times_before is not None
    assert found.times_before.samples > 0
    assert found.moment_before is not None
    assert sum(bar.counts.total > 0 for bar in found.bars) >= len(found.bars) // 3
    assert {line.kind for line in found.models} == {"image", "video"}
    assert len(found.failures) >= 4
    assert found.times.p50_s is not None
    assert found.under_way.in_flight >= found.under_way.stuck >= 2
    assert found.under_way.rescue >= 1
    assert found.under_way.expires_at is not None
    assert usage.latest() is not None
    assert len(usage.daily(60, now)) >= 59
    assert not found.incomplete


def test_what_must_never_be_is_measured_and_defined(open_page: OpenPage, rehearsed: Connection) -> None:
    app = open_page("rehearsal.py")
    said = html_of(app)
    for sentence in ("success without a file", "paid twice", "delivered twice", "forgotten"):
        assert sentence in said
    assert "so-never so-bad" not in said
    assert "more than one task, by its own books" in said
    rehearsed.execute(
        "UPDATE generations SET next_attempt_at = now() - interval '1 hour'"
        " WHERE prompt = 'A kite over dunes, slow pan'"
    )
    rehearsed.execute(
        "INSERT INTO job_costs (kind, generation_id) SELECT 'settle', generation_id FROM job_costs"
        " WHERE generation_id::text LIKE '5ce9e000-0000-81%' LIMIT 1"
    )
    said = html_of(open_page("rehearsal.py"))
    assert said.count("so-never so-bad") == 2
    assert "For example:" in said


def rates(sandbox: Sandbox) -> dict[str, float]:
    rows = sandbox.get("faults")["faults"]
    return {row["name"]: row["rule"]["rate"] for row in rows if row["rule"]}


def test_faults_are_turned_one_by_one_as_outages_and_all_off(
    open_page: OpenPage, rehearsed: Connection, sandbox: Sandbox
) -> None:
    app = open_page("rehearsal.py")
    app.select_slider(key="so-fault-rate-callback_lost").set_value(0.25).run()
    assert rates(sandbox) == {"callback_lost": 0.25}
    sandbox.client.patch("/_sandbox/faults", json={"stuck": 0.5}).raise_for_status()
    app.text_input(key="so-fault-value-latency").set_value("3").run()
    app.select_slider(key="so-fault-rate-latency").set_value(1.0).run()
    assert rates(sandbox) == {"callback_lost": 0.25, "stuck": 0.5, "latency": 1.0}
    assert app.select_slider(key="so-fault-rate-stuck").value == 0.5
    assert "KIE never finishes · 50\u00a0%" in html_of(app)
    app.button(key="so-outage-KIE is down").click().run()
    assert rates(sandbox) == {"server_error": 1.0, "error_in_200": 1.0}
    app.toggle(key=rehearsal_faults.OWN_STATUS).set_value(True).run()
    assert sandbox.get("settings")["status_style"] == "http"
    app.button(key="so-faults-off").click().run()
    assert rates(sandbox) == {}
    assert not failures_of(app)


def test_a_value_that_cannot_be_is_refused_in_words(
    open_page: OpenPage, rehearsed: Connection, sandbox: Sandbox
) -> None:
    app = open_page("rehearsal.py")
    for value in ("soon", "<img src=x onerror=alert(1)>", "9" * 200):
        app.text_input(key="so-fault-value-latency").set_value(value).run()
        app.select_slider(key="so-fault-rate-latency").set_value(0.5).run()
        [box] = failures_of(app)
        assert "takes seconds between 0 and 86400" in box
        assert "<img" not in box
        assert rates(sandbox) == {}


def test_every_outage_and_every_fault_can_be_turned(rehearsed: Connection, sandbox: Sandbox) -> None:
    for preset in faults.PRESETS:
        faults.apply(OPERATOR, preset.name)
        assert set(rates(sandbox)) == set(preset.rules)
    rows = faults.all_faults(OPERATOR)
    for row in rows:
        faults.turn(OPERATOR, row.name, 0.5, row.value)
    assert set(rates(sandbox)) == {row.name for row in rows}
    assert {row.group for row in rows} == {row.group for row in rows if row.title and row.line}
    faults.all_off(OPERATOR)


def test_traffic_is_started_and_stopped(open_page: OpenPage, rehearsed: Connection) -> None:
    app = open_page("rehearsal.py")
    app.segmented_control(key="so-traffic-rate").set_value(60).run()
    app.button(key="so-traffic-start").click().run()
    assert "<b>60 a minute</b>, ends by itself" in html_of(app)
    rehearsed.execute("UPDATE rehearsals SET traffic_since = now() - interval '2 s'")
    worked()
    app.run()
    assert "2 made" in html_of(app)
    app.button(key="so-traffic-stop").click().run()
    assert "Nothing new is made." in html_of(app)
    assert not failures_of(app)


def test_clearing_counts_first_and_wants_the_number_typed(open_page: OpenPage, rehearsed: Connection) -> None:
    app = open_page("rehearsal.py")
    app.button(key="so-rehearsal-clear").click().run()
    [(count,)] = rehearsed.execute("SELECT count(*) FROM generations").fetchall()
    assert f"<b>{count}\u00a0generations</b>" in html_of(app)
    assert app.button(key="so-rehearsal-cleared").disabled
    service.clear_later(OPERATOR, tools.current())
    assert "The rehearsal is being cleared" in html_of(open_page("rehearsal.py"))
    worked()
    assert rehearsed.execute("SELECT 1 FROM generations").fetchall() == []
    assert "Practise before it matters" in html_of(open_page("rehearsal.py"))


def as_role(role: Role, monkeypatch: pytest.MonkeyPatch) -> Actor:
    actor = Actor("person", "p", "Pat", frozenset({role}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: actor)
    return actor


def test_a_role_that_may_not_sees_it_and_turns_nothing(
    open_page: OpenPage, rehearsed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_role(Role.SUPPORT, monkeypatch)
    app = open_page("rehearsal.py")
    assert not failures_of(app)
    acting = [button for button in app.button if button.key and button.key.startswith("so-")]
    assert acting
    assert all(button.disabled for button in acting)
    assert all(slider.disabled for slider in app.select_slider)
    assert "Ask an admin for the role operations" in str(app.button(key="so-traffic-start").help)


def test_the_configured_profile_has_no_such_page(
    local_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Actor("person", "p", "Pat", frozenset(Role), "page")
    assert "rehearsal" in [entry.url_path for entry in pages_of(operator)]
    monkeypatch.delenv("STUDIO_OPS_LOCAL_STACK")
    settings.current.cache_clear()
    assert "rehearsal" not in [entry.url_path for entry in pages_of(operator)]
    assert PAGES[-1].section == "Practise"


def test_without_its_sandbox_the_page_says_so(
    open_page: OpenPage, rehearsed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_OPS_LOCAL_STACK", "http://127.0.0.1:9")
    settings.current.cache_clear()
    app: AppTest = open_page("rehearsal.py")
    assert any("The sandbox does not answer" in box for box in failures_of(app))


def test_without_its_database_the_page_says_so(open_page: OpenPage, rehearsed: Connection) -> None:
    database.connect("postgresql://nobody@127.0.0.1:9/nothing")
    assert any("The database does not answer" in box for box in failures_of(open_page("rehearsal.py")))
