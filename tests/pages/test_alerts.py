"""Alerts: none, open, seen and past, who was told, and the channels."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from core import access, database, settings
from core.access import Actor, Role
from core.alerts import service
from core.alerts import views as alerts
from core.alerts.models import Severity
from core.notifications import service as notifications
from pages.components import alert_cards
from tests.pages import money, seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "alerts.py"
ADA = access.command_line("ada")
Connection = psycopg.Connection[Any]


@pytest.fixture
def alive(connection: Connection) -> None:
    seeding.alive(connection)


@pytest.fixture
def channels(local_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mail server and a webhook that nobody answers for, and an address that is none."""
    urls = (
        "mailto://127.0.0.1:1?from=ops@a.example&to=b@a.example json://127.0.0.1:1/geheim nonsense://geheim"
    )
    monkeypatch.setenv("ALERT_URLS", urls.replace("nonsense://geheim", "slack://127.0.0.1"))
    settings.current.cache_clear()
    yield
    settings.current.cache_clear()


def crossed() -> None:
    """$160 of the month's trainings are spent, and it was noticed."""
    money.spend("160")
    service.watch_money(datetime.now(UTC))
    service.tell(datetime.now(UTC))


def test_nothing_is_open_on_a_quiet_day(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "Nothing is open" in said
    assert "Nobody: alerts stand on this page alone." in said
    assert "None has ended yet" in html_of(open_page(PAGE, show="Past"))
    assert "Nobody has one in hand" in html_of(open_page(PAGE, show="Seen to"))


def test_an_open_alert_says_what_since_when_and_leads_to_its_evidence(
    open_page: OpenPage, alive: None
) -> None:
    crossed()
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert said.index("trainings have cost $150.00") < said.index("half of the budget")
    assert "Warning" in said
    assert "Notice" in said
    assert said.count("Nobody has it yet.") == 2
    assert "Told on this page alone." in said
    assert [link.proto.page for link in app.page_link] == ["budget", "budget"]


def test_numbers_stand_beside_the_pages_where_something_waits(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    assert 'content:"' not in html_of(open_page(PAGE))
    crossed()
    connection.execute("INSERT INTO alerts (kind, severity, count) VALUES ('stuck', 'warning', 120)")
    said = html_of(open_page("budget.py"))
    assert '[href$="/alerts"]::after{content:"3"' in said
    assert '[href$="/delivery_health"]::after{content:"99+"' in said
    assert "3\u00a0open alerts, 120\u00a0stuck deliveries" in said


def test_it_is_seen_with_a_note_and_stands_with_those_that_are(open_page: OpenPage, alive: None) -> None:
    crossed()
    [first, _] = alerts.waiting(ADA)
    app = open_page(PAGE)
    app.text_input(key=f"alert-note-{first.id}").set_value("<b>I call fal</b>")
    app.button(key=f"alert-seen-{first.id}").click().run()
    assert not failures_of(app)
    assert "trainings have cost $150.00" not in html_of(app)
    seen = html_of(open_page(PAGE, show="Seen to"))
    assert "Nobody has it yet." not in seen
    assert "Local operator has seen it" in seen
    assert "&lt;b&gt;I call fal&lt;/b&gt;" in seen


def test_one_that_is_over_says_how_long_it_was(
    open_page: OpenPage, alive: None, connection: Connection
) -> None:
    crossed()
    connection.execute("UPDATE alerts SET resolved_at = opened_at + interval '90 s'")
    said = html_of(open_page(PAGE, show="Past"))
    assert said.count("after 1\u00a0min 30\u00a0s") == 2


def test_past_ones_come_a_page_at_a_time(open_page: OpenPage, alive: None, connection: Connection) -> None:
    connection.execute(
        "INSERT INTO alerts (kind, subject, severity, resolved_at)"
        " SELECT 'stuck', n::text, 'warning', now() - n * interval '1 min' FROM generate_series(1, 30) n"
    )
    app = open_page(PAGE, show="Past")
    assert html_of(app).count("1\u00a0delivery stuck") == 25
    app.button(key="so-alerts-older").click().run()
    assert html_of(app).count("1\u00a0delivery stuck") == 5


def test_channels_say_whether_they_work_and_never_their_address(
    open_page: OpenPage, alive: None, channels: None
) -> None:
    crossed()
    notifications.deliver(lambda: datetime.now(UTC) + service.GATHERED_FOR)
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "E-Mail, 127.0.0.1" in said
    assert (
        "JSON, 127.0.0.1</span> has not taken it yet" in said
        or "JSON, 127.0.0.1 has not taken it yet" in said
    )
    assert "Address 3 of ALERT_URLS is none that can be written to." in said
    assert "geheim" not in said
    assert "Broken" in said
    assert "Tried again" in said


def test_a_test_message_tells_what_became_of_it(open_page: OpenPage, alive: None, channels: None) -> None:
    app = open_page(PAGE)
    [first, second, third] = [button for button in app.button if button.label == "Send a test"]
    assert third.disabled
    second.click().run()
    assert "The test message is on its way" in html_of(app)
    notifications.deliver()
    app.run()
    assert "The test message was not taken" in html_of(app)
    assert first.label == "Send a test"


def test_mail_about_own_trainings_is_asked_for_and_refused_at_its_field(
    open_page: OpenPage, alive: None, channels: None
) -> None:
    app = open_page(PAGE)
    app.text_input(key="so-mail-email").set_value("nonsense")
    app.button(key="so-mail-do").click().run()
    assert "This is no mail address." in html_of(app)
    app.text_input(key="so-mail-email").set_value("ada@studio.example")
    app.button(key="so-mail-do").click().run()
    assert "This is no mail address." not in html_of(app)
    operator = access.local_operator(settings.current(), "127.0.0.1")
    assert notifications.chosen_mail(operator) == "ada@studio.example"


def test_who_may_not_acknowledge_or_test_has_no_button_for_it(
    open_page: OpenPage, alive: None, channels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vi = Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: vi)
    crossed()
    app = open_page(PAGE)
    assert not failures_of(app)
    assert not [button for button in app.button if button.label == "I have seen it"]
    assert all(button.disabled for button in app.button if button.label == "Send a test")


def test_a_bad_address_breaks_nothing(open_page: OpenPage, alive: None) -> None:
    assert not failures_of(open_page(PAGE, show="<script>"))


def test_a_database_that_is_away_is_said_so(open_page: OpenPage, alive: None) -> None:
    app = open_page(PAGE)
    database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    app.run()
    assert "The database does not answer" in html_of(app)
    assert not app.exception


def test_every_severity_has_its_look() -> None:
    assert set(alert_cards.SEVERITIES) == set(Severity)
