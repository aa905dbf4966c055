"""The frame around every page: who may come in, the banner, start-up, and what happens when things break."""

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import access, database, log, settings
from core.access import Actor, Role
from core.deliveries import views
from core.errors import SettingsError
from core.local import stack
from core.local.stack import StackStatus
from core.local.supervise import PartStatus
from core.settings import ROOT
from pages.components import times
from pages.navigation import PAGES, pages_of
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

Connection = psycopg.Connection[Any]
EVERY_PAGE = [entry.file for entry in PAGES]


def test_the_table_is_sound() -> None:
    for names in ([entry.url_path for entry in PAGES], EVERY_PAGE, [entry.title for entry in PAGES]):
        assert len(set(names)) == len(names)
    for entry in PAGES:
        assert (ROOT / "pages" / entry.file).is_file()
        assert entry.roles
        assert entry.question.endswith("?")


def test_every_file_of_a_page_is_in_the_table() -> None:
    files = {path.name for path in (ROOT / "pages").glob("*.py")} - {"__init__.py", "navigation.py"}
    assert files == set(EVERY_PAGE)


def test_every_page_has_a_test_of_its_own() -> None:
    for file in EVERY_PAGE:
        test = Path(__file__).parent / f"test_{file}"
        assert test.is_file(), f"{file} has no {test.name}"
        assert "open_page(" in test.read_text()


@pytest.mark.parametrize("file", EVERY_PAGE)
def test_every_page_opens_on_an_empty_and_a_full_database(
    file: str, open_page: OpenPage, connection: Connection
) -> None:
    seeding.alive(connection)
    assert not failures_of(open_page(file))
    seeding.every_state(connection)
    assert not failures_of(open_page(file))


@pytest.mark.parametrize("file", EVERY_PAGE)
def test_a_dead_worker_is_named_on_every_page(file: str, open_page: OpenPage, connection: Connection) -> None:
    seeding.beat(connection, "clock")
    said = html_of(open_page(file))
    assert "No worker is alive" in said
    assert "Nothing is sent to KIE, fetched or stored" in said
    assert "python -m jobs worker" in said
    assert "No clock is alive" not in said


def test_nobody_is_missed_while_all_live(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    assert "is alive</b>" not in html_of(open_page())


def part(name: str, state: Any, **fields: Any) -> PartStatus:
    known: dict[str, Any] = {
        "pid": 1,
        "since": "2020-01-01T00:00:00+00:00",
        "restarts": 0,
        "last_error": None,
    }
    return PartStatus(name, state, **(known | fields))


def test_a_part_that_has_just_been_started_is_only_awaited(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (part("postgres", "running"), part("worker", "running", since=times.now().isoformat()))
    monkeypatch.setattr(stack, "status", lambda: StackStatus("ready", "Ready.", parts))
    said = html_of(open_page())
    assert "The clock and the worker are starting" in said
    assert "is alive" not in said


def test_a_part_that_keeps_ending_is_named_with_its_last_words(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeding.alive(connection)
    parts = (part("worker", "failing", last_error="ImportError: <no> module"), part("sandbox", "failing"))
    monkeypatch.setattr(stack, "status", lambda: StackStatus("ready", "Ready.", parts))
    said = html_of(open_page())
    assert "The worker keeps ending" in said
    assert "ImportError: &lt;no&gt; module" in said
    assert "nothing can be generated" in said


def test_the_local_stack_says_how_it_restarts_a_dead_part(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "status", lambda: StackStatus("ready", "", (part("worker", "running"),)))
    assert "streamlit run app.py" in html_of(open_page())


def test_while_the_stack_starts_the_page_says_so(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "status", lambda: StackStatus("starting", "Starting Postgres…"))
    monkeypatch.setattr(database, "reading", lambda: pytest.fail("the database was asked too early"))
    app = open_page()
    assert not failures_of(app)
    assert "Studio Ops is starting" in html_of(app)
    assert "Starting Postgres…" in html_of(app)
    monkeypatch.undo()


def test_a_stack_that_failed_says_why(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "status", lambda: StackStatus("failed", "initdb: disk <full>"))
    said = html_of(open_page())
    assert "Studio Ops could not start" in said
    assert "initdb: disk &lt;full&gt;" in said


@pytest.mark.parametrize("file", EVERY_PAGE)
def test_without_sign_in_the_pages_stay_closed(
    file: str, open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeding.every_state(connection)
    monkeypatch.delenv("STUDIO_OPS_LOCAL_STACK")
    settings.current.cache_clear()
    app = open_page(file)
    assert not failures_of(app)
    [said] = [text for text in html_of(app).split("\n") if text]
    assert "Sign-in is not set up, so the pages stay closed." in said
    assert not app.button
    assert not app.text_area


def test_a_server_that_others_can_reach_has_no_local_operator(local_settings: dict[str, str]) -> None:
    assert access.local_operator(settings.current(), "0.0.0.0") is None  # noqa: S104
    assert access.local_operator(settings.current(), "") is None


@pytest.mark.parametrize("file", EVERY_PAGE)
def test_an_unreachable_database_is_a_sentence_and_a_retry(
    file: str, open_page: OpenPage, local_settings: dict[str, str]
) -> None:
    database.connect("postgresql://nobody:nothing@127.0.0.1:1/none")
    app = open_page(file)
    assert not app.exception
    said = html_of(app)
    assert "The database does not answer" in said
    assert "Traceback" not in said
    assert "nothing@" not in said
    assert any(button.label == "Try again now" for button in app.button)
    database.connect(local_settings["DATABASE_URL"])
    app.button[-1].click().run()
    assert not failures_of(app)


def test_an_unexpected_error_tells_only_an_id_that_the_log_knows(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("web")

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(views, "any_generation", broken)
    app = open_page()
    [box] = failures_of(app)
    assert "Something went wrong on our side" in box
    assert "hunter2" not in box
    found = re.search(r"Error id <code>([0-9a-f]{12})</code>", box)
    assert found is not None
    logged = [line for line in capfd.readouterr().err.splitlines() if found[1] in line]
    assert any("RuntimeError" in line and "page.failed" in line for line in logged)


def test_an_error_of_ours_is_shown_as_it_stands(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise SettingsError("KIE_API_KEY is not set. Set it in .env.")

    monkeypatch.setattr(views, "any_generation", refused)
    [box] = failures_of(open_page())
    assert "KIE_API_KEY is not set. Set it in .env." in box


def test_pages_are_open_to_those_with_a_role() -> None:
    nobody = Actor("person", "x", "X", frozenset(), "page")
    viewer = Actor("person", "y", "Y", frozenset({Role.VIEWER}), "page")
    assert not pages_of(nobody)
    assert [entry.file for entry in pages_of(viewer)] == [
        file
        for file in EVERY_PAGE
        if file not in {"debug_sync.py", "bulk_resync.py", "configuration.py", "audit_log.py"}
    ]
