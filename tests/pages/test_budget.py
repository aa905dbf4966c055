"""Budget: the first day, a month with everything, its filters, its refusals, and what may be done by whom."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access, database
from core.access import Actor, Role
from core.budget import controls, views
from core.budget.forecast import BackTest
from pages.components import actor as actors
from pages.components import budget_bar, budget_worth
from tests.pages import money, seeding
from tests.pages.conftest import OpenPage, failures_of, follow, html_of, links_of, table_of

PAGE = "budget.py"
Connection = psycopg.Connection[Any]


@pytest.fixture
def alive(connection: Connection) -> None:
    seeding.alive(connection)


def press(app: AppTest, key: str) -> AppTest:
    return app.button(key=key).click().run()


def test_the_first_day_says_that_it_is_too_early(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "Too early to say where the month is going: a forecast needs 3 days, and there are 0." in said
    assert "$200.00 left of $200.00" in said
    assert "Nobody has begun a LoRA in this month." in said
    assert "No line in this month" in said
    assert "none is completed yet" in said
    assert "no run has failed or was cancelled" in said
    assert "Nothing was settled in" in said


def test_settled_and_reserved_stand_apart_with_the_marks(open_page: OpenPage, alive: None) -> None:
    money.spend("120.50")
    money.spend("2", reserved="12")
    said = html_of(open_page(PAGE))
    assert '<span class="so-big">$122.50</span>' in said
    assert "<b>$10.00</b> reserved" in said
    assert "$67.50 left of $200.00" in said
    assert 'aria-label="$122.50 settled and $10.00 reserved of $200.00"' in said
    assert "<b>$150.00</b>" in said
    assert "<b>$200.00</b>" in said


def test_a_month_tells_where_it_goes_and_how_good_the_method_was(open_page: OpenPage, alive: None) -> None:
    money.month_of_days("1", 5)
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "will come to about" in said
    assert "Neither $150.00 nor $200.00 is crossed this month." in said
    assert "has not been tried on a whole month yet" in said
    tested = views.board(money.OPERATOR, datetime.now(UTC))
    object.__setattr__(tested, "back_test", BackTest(2, 40, 0.1234, 0.5))
    assert budget_bar.tested(tested) == (
        "Tried on 2\u00a0past months from the 8th on, 40\u00a0times, it was off by 12.3\u00a0% of"
        " the month on average, at worst 50.0\u00a0%."
    )


def test_a_driver_opens_its_lines_and_the_filter_stands_in_the_address(
    open_page: OpenPage, alive: None
) -> None:
    user = uuid.uuid4()
    money.spend("3", user_id=user)
    money.spend("2")
    app = open_page(PAGE)
    app = follow(open_page, app, f"…{str(user)[-8:]} ", PAGE)
    assert not failures_of(app)
    assert str(app.query_params["user"]) == str(user)
    assert len(table_of(app)["Amount"]) == 3
    app = open_page(PAGE, kind="settle")
    assert table_of(app)["Amount"] == ["$2.00", "$3.00"]
    assert table_of(open_page(PAGE, scope="everything", provider="nobody")) == {}


def test_people_stand_by_the_number_that_is_shown(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    """Whoever paid most first, with a run of theirs or only lines; what is promised decides among equals."""
    promised, lines_alone, with_run = (uuid.uuid4() for _ in range(3))
    failed_run(connection, "3", user_id=with_run)
    money.spend("2", user_id=lines_alone)
    money.spend("1", reserved="90", user_id=promised)
    paid_less = uuid.uuid4()
    money.spend("1", user_id=paid_less)
    for scope in ("trainings", "everything"):
        shown = links_of(open_page(PAGE, scope=scope)).values()
        order = [said[1:9] for said in shown if said.startswith("…")]
        assert order == [str(user)[-8:] for user in (with_run, lines_alone, promised, paid_less)], scope


def failed_run(
    connection: Connection, usd: str, state: str = "failed", user_id: uuid.UUID | None = None
) -> uuid.UUID:
    """A run that has cost so much this month."""
    run_id, creator = uuid.uuid4(), f"user:{user_id}" if user_id else "staff:ada"
    money.spend(usd, run_id=run_id, user_id=user_id)
    connection.execute(
        "WITH lora AS (INSERT INTO lora_models (name, training_status, creator_key)"
        " VALUES (%s, 'training', %s) RETURNING id, creator_key)"
        " INSERT INTO lora_training_jobs (id, lora_model_id, creator_key, state, stage, trainer, steps,"
        " trigger_word) SELECT %s, id, creator_key, %s, 'training', 'fal', 1000, 'ada' FROM lora",
        (f"Ada {run_id}", creator, run_id, state),
    )
    return run_id


def test_the_cost_of_failures_opens_its_lines(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    failed_run(connection, "3.50")
    failed_run(connection, "1.25", "cancelled")
    failed_run(connection, "9", "completed")
    money.spend("2")
    app = follow(open_page, open_page(PAGE), "Cost of failures ", PAGE)
    assert not failures_of(app)
    assert app.query_params["runs"] == "failures"
    assert sorted(table_of(app)["Amount"])[-1] == "−$3.50"
    assert "$3.50" in table_of(app)["Amount"]
    assert "$9.00" not in table_of(app)["Amount"]
    said = html_of(app)
    assert "Ledger: 6\u00a0lines of" in said
    assert "$4.75 settled" in said
    press(app, "ledger-chip-runs")
    assert "runs" not in app.query_params
    assert "Ledger: 12\u00a0lines of" in html_of(app)


def test_what_a_completed_lora_costs_opens_the_runs_that_are_over(
    open_page: OpenPage, alive: None, connection: Connection, trainings: None
) -> None:
    failed_run(connection, "3.50")
    failed_run(connection, "9", "completed")
    failed_run(connection, "4", "running")
    app = follow(open_page, open_page(PAGE), "A completed LoRA ", PAGE)
    assert not failures_of(app)
    assert table_of(app)["State"] == ["✓ Completed", "✕ Failed"]


def test_a_bad_address_breaks_nothing(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE, scope="groceries", month="2026-99", user="<b>", kind="'; --")
    assert not failures_of(app)
    assert html_of(app).count("The address asks for something that is not there") == 4


def test_the_csv_covers_the_filter(open_page: OpenPage, alive: None) -> None:
    money.spend("3")
    app = open_page(PAGE, kind="settle")
    [link] = [href for href in links_of(app) if href.startswith("/api/ledger.csv?")]
    assert "kind=settle" in link
    assert "Ledger: 1\u00a0line of" in html_of(app)


def test_operations_override_with_a_reason_and_twice_is_once(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    press(app, "so-override-do")
    assert "This is no number." in html_of(app)
    app.text_input(key="so-override-amount_usd").set_value("20")
    press(app, "so-override-do")
    assert "Say why; it stands in the audit log." in html_of(app)
    app.text_input(key="so-override-amount_usd").set_value("20")
    app.text_input(key="so-override-reason").set_value("the campaign of Friday")
    press(app, "so-override-do")
    assert not failures_of(app)
    said = html_of(app)
    assert "$220.00 left of $220.00, $20.00 of it by override" in said
    assert "the campaign of Friday" in said
    assert views.position(money.OPERATOR, datetime.now(UTC)).override_usd == 20
    [end] = [
        button for button in app.button if button.label == r"End it *\$20\.00 more\: the campaign of Friday*"
    ]
    end.click().run()
    assert "left of $200.00" in html_of(app)


def test_a_limit_is_changed_and_its_history_is_shown(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    app.text_input(key="so-limit-limit_usd").set_value("100")
    app.text_input(key="so-limit-reason").set_value("a lean month")
    press(app, "so-limit-do")
    assert "The alert of $150.00 would come after the limit of $100.00." in html_of(app)
    app.text_input(key="so-limit-alert_usd").set_value("80")
    press(app, "so-limit-do")
    said = html_of(app)
    assert "left of $100.00" in said
    assert "a lean month" in said


def test_a_price_is_added_with_its_source(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    for name, value in (
        ("provider", "fal"),
        ("service", "flux-lora"),
        ("unit", "megapixel"),
        ("unit_usd", "0.04"),
    ):
        app.text_input(key=f"so-price-{name}").set_value(value)
    press(app, "so-price-do")
    assert "Say where the price comes from" in html_of(app)
    app.text_input(key="so-price-source").set_value("fal's page")
    press(app, "so-price-do")
    assert not failures_of(app)
    assert "$0.04 a megapixel" in html_of(app)


def test_product_staff_may_look_and_change_nothing(
    open_page: OpenPage, alive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mia = Actor("person", "mia", "Mia", frozenset({Role.PRODUCT}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: mia)
    assert actors.current_actor() is mia
    money.spend("3")
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "$3.00" in html_of(app)
    app.button(key="so-override-do").click().run()
    assert views.position(money.OPERATOR, datetime.now(UTC)).override_usd == 0
    assert not [button for button in app.button if button.key == "so-price-do"]


def test_a_month_that_is_over_is_shown_without_a_forecast(open_page: OpenPage, alive: None) -> None:
    money.spend("7", at=datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC))
    app = open_page(PAGE, month="2026-05")
    assert not failures_of(app)
    said = html_of(app)
    assert "May is over." in said
    assert '<span class="so-big">$7.00</span>' in said
    assert not [button for button in app.button if button.key == "so-override-do"]


def test_another_scope_has_a_limit_of_its_own(open_page: OpenPage, alive: None) -> None:
    controls.set_limit(money.OPERATOR, "deliveries", Decimal(50), Decimal(40), "a cap", datetime.now(UTC))
    said = html_of(open_page(PAGE, scope="deliveries"))
    assert "$50.00 left of $50.00" in said
    assert "KIE has not told its balance yet." in said


def test_a_database_that_is_away_is_said_so(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    app.run()
    assert "The database does not answer" in html_of(app)
    assert not app.exception


def test_shares_are_signed() -> None:
    assert [budget_worth.signed(share) for share in (None, 0.024, -0.01, 0.0)] == [
        "–", "+2.4\u00a0%", "−1.0\u00a0%", "+0\u00a0%",
    ]  # fmt: skip
