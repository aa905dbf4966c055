"""Scheduler: an empty database, a dead one, a bad day, one job, and what may be done with it."""

import uuid
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from core import access
from core.access import Actor, Role
from core.machinery import service
from core.machinery.schedule import SCHEDULE
from pages.components import job_detail
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "scheduler.py"
ADA = access.command_line("ada")
Connection = psycopg.Connection[Any]


def rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql.encode()).fetchall()


def test_on_the_first_day_every_job_has_its_schedule_and_nobody_is_alive(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    for job in SCHEDULE.values():
        assert escape(job.title) in said
    assert "every hour, on the hour" in said
    assert "No clock and no worker is alive" in said
    assert "None was heard of within a day" in said
    assert "Start one: python -m jobs clock" in said


def test_a_bad_day_shows_what_is_red_first_with_its_error(
    open_page: OpenPage, connection: Connection
) -> None:
    seeding.alive(connection)
    seeding.beat(connection, "worker", age_s=600)
    for age in (10, 20, 30):
        seeding.run(connection, "heal", age, error="OSError: <b>the disk</b> is full")
    service.took_over(
        "deliver", "deliveries", {"generation_id": str(uuid.uuid4())}, datetime.now(UTC), begun_anew=True
    )
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert said.index("Needs a look") < said.index("Heal statuses") < said.index("The others")
    assert "OSError: &lt;b&gt;the disk&lt;/b&gt; is full" in said
    assert "<b>the disk</b>" not in said
    assert f"1 of {len(SCHEDULE)} not well" in said
    assert "Silent" in said
    assert "A delivery" in said
    assert "this page has" in said, "the seeded version is another one"


def test_a_job_is_opened_by_its_card_and_by_its_address(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    app = open_page(PAGE)
    app.button(key="so-open-job-poll").click().run()
    assert not failures_of(app)
    assert app.query_params["job"] in ("poll", ["poll"])
    linked = open_page(PAGE, job="poll")
    assert "Its last runs" in html_of(linked)
    assert SCHEDULE["poll"].does in html_of(linked)
    wrong = open_page(PAGE, job="<script>alert(1)</script>")
    assert not failures_of(wrong)
    assert "&lt;script&gt;" in html_of(wrong)
    assert "<script>" not in html_of(wrong)


def test_run_now_is_one_run_however_often_it_is_clicked(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    app = open_page(PAGE, job="heal")
    for _ in range(3):
        app.button(key="so-job-run-heal").click().run()
    assert not failures_of(app)
    assert rows(connection, "SELECT task_name FROM procrastinate_jobs") == [("heal",)]
    assert rows(connection, "SELECT asked_by FROM job_runs WHERE asked_id IS NOT NULL") == [
        ("Local operator",)
    ]
    assert "asked for by Local operator" in html_of(app)


def test_a_pause_with_a_reason_and_its_end(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    app = open_page(PAGE, job="poll")
    assert "Much depends on it" in html_of(app)
    app.number_input(key="so-job-pause-poll-hours").set_value(2.0)
    app.text_area(key="so-job-pause-poll-reason").set_value("KIE <i>asked</i> us to")
    app.button(key="so-job-pause-poll-do").click().run()
    assert not failures_of(app)
    said = html_of(app)
    assert "Paused by Local operator until" in said
    assert "“KIE &lt;i&gt;asked&lt;/i&gt; us to”" in said
    assert SCHEDULE["poll"].stops in said
    [button] = [one for one in app.button if one.key == "so-job-resume-poll"]
    button.click().run()
    assert rows(connection, "SELECT ended_by FROM job_pauses") == [("Local operator",)]
    assert "Paused by" not in html_of(app)


@pytest.mark.parametrize(
    ("hours", "reason", "said"),
    [
        (-1.0, "KIE is down", "A pause lasts at least a minute."),
        (1000.0, "KIE is down", "A pause lasts at most 7 days"),
        (1.0, "x" * 10_000, "A reason has at most 500 characters; this has 10,000."),
        (1.0, "", "Say why; it stands on the page"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_field(
    open_page: OpenPage, connection: Connection, hours: float, reason: str, said: str
) -> None:
    seeding.alive(connection)
    app = open_page(PAGE, job="heal")
    app.number_input(key="so-job-pause-heal-hours").set_value(hours)
    app.text_area(key="so-job-pause-heal-reason").set_value(reason)
    app.button(key="so-job-pause-heal-do").click().run()
    assert not app.exception
    assert said.replace("it stands on the page", "it stands in the audit log") in html_of(app)
    assert rows(connection, "SELECT 1 FROM job_pauses") == []
    assert app.text_area(key="so-job-pause-heal-reason").value == reason


def test_who_may_not_steer_sees_everything_and_presses_nothing(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeding.alive(connection)
    mia = Actor("person", "mia", "Mia", frozenset({Role.SUPPORT}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: mia)
    app = open_page(PAGE, job="heal")
    assert not failures_of(app)
    assert app.button(key="so-job-run-heal").disabled
    assert "Running and pausing jobs is for operations and admins." in app.button(key="so-job-run-heal").help


def test_clicks_in_quick_succession_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr("streamlit.session_state", kept)
    now = datetime.now(UTC)
    first = job_detail._once("a", now)
    assert job_detail._once("a", now + timedelta(seconds=1)) == first
    assert job_detail._once("a", now + timedelta(seconds=7)) != first


def test_without_a_database_the_page_says_so(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr("core.machinery.views.board", gone)
    app = open_page(PAGE)
    assert not app.exception
    assert "The database does not answer" in html_of(app)
