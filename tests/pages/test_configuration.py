"""Configuration: nothing checked yet, faults first, a bucket that is mended, settings without values."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core import access, database
from core.access import Actor, Role
from core.configuration import service
from core.configuration.checks import CHECKS
from core.configuration.models import Check, Result, Verdict
from core.errors import NotAllowed, NotFound
from core.settings import Settings
from pages.components import configuration_checks as checks
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "configuration.py"
ADA = access.command_line("ada")
Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def _fresh(connection: Connection) -> Iterator[None]:
    service.forget()
    seeding.alive(connection)
    yield
    settled()
    service.forget()


def settled(seconds: float = 20.0) -> None:
    """Wait until no check runs any more."""
    until = time.monotonic() + seconds
    while any(thread.name.startswith("check-") for thread in threading.enumerate()):
        assert time.monotonic() < until, "a check does not end"
        time.sleep(0.02)


def only(monkeypatch: pytest.MonkeyPatch, *found: Check) -> None:
    """These checks in place of the product's."""
    monkeypatch.setattr(service, "CHECKS", found)
    monkeypatch.setattr(service, "BY_KEY", {check.key: check for check in found})


def says(*verdicts: Verdict) -> Callable[[Settings, datetime], Iterator[Verdict]]:
    return lambda *_: iter(verdicts)


def test_nothing_has_been_checked_yet(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "Nothing has been checked yet" in said
    for check in CHECKS:
        assert f"<b>{check.title}</b>" in said
        assert app.button(key=f"so-check-do-{check.key}").disabled is False
    assert "DATABASE_URL" in said
    assert "KIE_API_KEY" in said


def test_a_check_runs_beside_the_page_and_its_result_stays(
    open_page: OpenPage, connection: Connection
) -> None:
    app = open_page(PAGE)
    app.button(key="so-check-do-database").click().run()
    settled()
    app.run()
    assert not failures_of(app)
    said = html_of(app)
    assert "as of" in said
    assert "asked by Local operator" in said
    assert "<b>migrations</b> up to date" in said
    service.forget()
    assert "<b>migrations</b> up to date" in html_of(open_page(PAGE)), "the database keeps it"
    assert connection.execute("SELECT count(*) FROM check_results").fetchone() == (1,)


def test_faults_come_first_and_words_of_others_are_only_words(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(
        monkeypatch,
        Check("fine", "Fine", "…", says(Verdict("a", good=True, message="well"))),
        Check("odd", "Odd", "…", says(Verdict("b", good=True, message="look", warning=True))),
        Check("bad", "Bad", "…", says(Verdict("c", good=False, message="<script>alert(1)</script>"))),
    )
    service.begin_all(ADA, datetime.now(UTC))
    settled()
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert said.index("<b>Bad</b>") < said.index("<b>Odd</b>") < said.index("<b>Fine</b>")
    assert "1\u00a0fault, 1 to look at" in said
    assert "<script>" not in said


def test_a_bucket_that_lacks_something_has_a_button_and_an_audit_line(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    fault = Verdict(
        "bucket character-references", good=False, message="is private.", bucket="character-references"
    )
    well = Verdict("bucket character-references", good=True, message="writable")
    found = Check("storage", "Buckets", "…", lambda *_: iter([well if opened else fault]))
    only(monkeypatch, found)
    monkeypatch.setattr(service, "_mend", opened.append)
    service.begin(ADA, "storage", datetime.now(UTC))
    settled()
    app = open_page(PAGE)
    app.button(key="so-mend-character-references").click().run()
    settled()
    app.run()
    assert not failures_of(app)
    assert opened == ["character-references"]
    assert "Everything is well." in html_of(app)
    lines = connection.execute(
        "SELECT action, object_id, actor_name FROM audit_log WHERE action = 'bucket.mend'"
    )
    assert lines.fetchall() == [("bucket.mend", "character-references", "Local operator")]


def test_a_check_that_hangs_holds_up_nobody_and_is_begun_once(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun = threading.Event(), list[int]()

    def hangs(*_: object) -> Iterator[Verdict]:
        begun.append(1)
        assert go.wait(20)
        yield Verdict("late", good=True, message="after all")

    only(monkeypatch, Check("slow", "Slow", "…", hangs))
    long_ago = datetime.now(UTC) - service.PATIENCE - timedelta(seconds=1)
    try:
        assert service.begin(ADA, "slow", long_ago)
        assert not service.begin(ADA, "slow", datetime.now(UTC))
        app = open_page(PAGE)
        assert not failures_of(app)
        assert "No answer within 30\u00a0s" in html_of(app)
        assert app.button(key="so-check-do-slow").disabled
    finally:
        go.set()
    settled()
    assert begun == [1]
    assert "after all" in html_of(open_page(PAGE))


def test_a_check_that_breaks_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Iterator[Verdict]:
        raise RuntimeError("postgresql://ops:hunter2@db/x")
        yield

    only(monkeypatch, Check("broken", "Broken", "…", breaks))
    service.begin(ADA, "broken", datetime.now(UTC))
    settled()
    [one] = service.standings(ADA)
    assert one.result is not None
    [verdict] = one.result.verdicts
    assert (verdict.good, "RuntimeError" in verdict.message) == (False, True)
    assert "hunter2" not in verdict.message


def test_results_are_seen_without_the_database(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Check("fine", "Fine", "…", says(Verdict("a", good=True, message="well"))))
    url = database.engine().url.render_as_string(hide_password=False)
    database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    try:
        assert service.begin(ADA, "fine", datetime.now(UTC))
        settled(40)
        [one] = service.standings(ADA)
    finally:
        database.connect(url)
    assert one.result is not None
    assert one.result.verdicts[0].message == "well"


def test_no_value_of_a_setting_is_shown(open_page: OpenPage, local_settings: dict[str, str]) -> None:
    said = html_of(open_page(PAGE))
    for name in ("DATABASE_URL", "KIE_API_KEY", "OPS_API_KEY", "KIE_CALLBACK_SECRET"):
        assert f"<code>{name}</code>" in said
        value = local_settings.get(name, "")
        assert not value or value not in said


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT, Role.PRODUCT])
def test_others_neither_see_nor_check_nor_mend(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    eve = Actor("person", "eve", "Eve", frozenset({role}), "page")
    now = datetime.now(UTC)
    for attempt in (
        lambda: service.standings(eve),
        lambda: service.begin(eve, "database", now),
        lambda: service.begin_mending(eve, "generations", now),
    ):
        with pytest.raises(NotAllowed):
            attempt()


def test_what_is_not_there_is_not_found() -> None:
    for attempt in (
        lambda: service.begin(ADA, "<script>", datetime.now(UTC)),
        lambda: service.begin_mending(ADA, "secrets", datetime.now(UTC)),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_the_worst_verdict_is_the_checks_own() -> None:
    now = datetime.now(UTC)
    good, warn = Verdict("a", good=True, message=""), Verdict("b", good=True, message="", warning=True)
    bad = Verdict("c", good=False, message="")

    def look(*verdicts: Verdict) -> object:
        result = Result("settings", verdicts, now, 1, "Ada", "ada@studio.example")
        return checks.look_of(service.Standing(CHECKS[0], result, None), now)

    assert (look(good), look(good, warn), look(warn, bad, good)) == (checks.WELL, checks.WATCH, checks.FAULT)
    assert checks.look_of(service.Standing(CHECKS[0], None, None), now) is checks.NEVER
    assert checks.look_of(service.Standing(CHECKS[0], None, now), now) is checks.RUNNING
