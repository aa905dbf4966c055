"""Audit log: what was done, narrowed by the address, its file, and its part on other pages."""

import csv
import dataclasses
import io
from datetime import date
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette

from core import access, audit, database, trail
from core.access import Actor, Role
from core.errors import NotAllowed
from core.trail import Filter, Line
from core.web import export
from core.web.routes import MIDDLEWARE, ROUTES
from pages.components import audit_words
from pages.navigation import PAGES, pages_of
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "audit_log.py"
ADA = Actor("person", "ada@x.example", "Ada", frozenset({Role.ADMIN}), "page", address="10.0.0.7")
APP = access.api_key("app")
Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def alive(connection: Connection, local_settings: dict[str, str]) -> None:
    seeding.alive(connection)


def act(actor: Actor, action: str, object_type: str, object_id: str, **facts: Any) -> None:
    with database.transaction() as connection:
        audit.record(connection, actor, action, object_type, object_id, **facts)


def some_acts() -> None:
    act(
        ADA, "staff.roles", "person", "bo@x.example",
        before={"roles": ["viewer"]}, after={"roles": ["admin"]}, reason="=1+1 <b>moved</b>",
    )  # fmt: skip
    act(APP, "generation.create", "generation", "11111111-2222-4333-8444-555555555555", after={"model": "x"})
    act(access.job("alerts"), "alert.test", "channel", "c1")


def test_an_empty_log_says_so(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "Nothing was done yet" in html_of(app)


def test_each_line_says_who_what_on_what_why_and_from_where(open_page: OpenPage) -> None:
    some_acts()
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert (
        said.index("sent a test message") < said.index("started a generation") < said.index("changed roles")
    )
    for words in (
        "viewer → admin",
        "“=1+1 &lt;b&gt;moved&lt;/b&gt;”",
        "on a page · from 10.0.0.7",
        'href="people?person=bo%40x.example"',
        'href="debug_sync?q=11111111-2222-4333-8444-555555555555"',
        "by the API",
    ):
        assert words in said, words


def test_facts_are_read_as_people_say_them(open_page: OpenPage) -> None:
    facts = {
        "kind": "lost_results",
        "reserved_usd": "0.050000",
        "images": [1, 2],
        "count": 3000,
        "published": False,
        "lora": "5ce9e000-0000-8400-b000-00000000a042",
        "input": {"prompt": "a fox", "aspect_ratio": "4:3"},
    }
    act(access.job("sweep"), "training.images_added", "training", "t1", after=facts)
    said = html_of(open_page(PAGE))
    for name, words in {
        "kind": "lost results",
        "reserved": "$0.05",
        "images": "1, 2",
        "count": "3,000",
        "published": "no",
        "lora": "…0000a042",
        "input": "prompt a fox, aspect ratio 4:3",
    }.items():
        assert f'<span class="so-quiet">{name}</span> {words}' in said, name
    assert ">Pick up what fell down</b>" in said


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"who": "Ada"}, ["changed roles"]),
        ({"what": "generation.create"}, ["started a generation"]),
        ({"which": "c1"}, ["sent a test message"]),
        ({"source": "api"}, ["started a generation"]),
        ({"who": "Ada", "source": "api"}, []),
        ({"until": "2020-05-05"}, []),
        ({"since": "2020-05-05"}, ["changed roles", "started a generation", "sent a test message"]),
    ],
)
def test_the_address_narrows_it(open_page: OpenPage, query: dict[str, str], shown: list[str]) -> None:
    some_acts()
    app = open_page(PAGE, **query)
    assert not failures_of(app)
    said = html_of(app)
    for words in ("changed roles", "started a generation", "sent a test message"):
        assert (f"</b> {words}" in said) is (words in shown)
    assert ("Nothing of that kind was done" in said) is (not shown)


def test_a_filter_that_names_nothing_is_left_out_with_a_sentence(open_page: OpenPage) -> None:
    some_acts()
    app = open_page(PAGE, since="tomorrow", source="mars", who="x" * 201, until="0001-01-01")
    assert not failures_of(app)
    said = html_of(app)
    for words in (
        "“since” must be a day",
        "“source” may be page, api",
        "“who” is nothing",
        "“until” must be",
    ):
        assert words in said
    assert "</b> changed roles" in said


def test_choosing_a_filter_changes_the_address_and_taking_it_away_too(open_page: OpenPage) -> None:
    some_acts()
    app = open_page(PAGE)
    app.selectbox(key="so-audit-who").select("Ada").run()
    assert app.query_params["who"] == "Ada"
    assert "</b> started a generation" not in html_of(app)
    app.date_input(key="so-audit-until").set_value(date(2026, 1, 1)).run()
    assert app.query_params["until"] == "2026-01-01"
    app.button(key="so-audit-clear").click().run()
    assert "who" not in app.query_params
    assert "</b> started a generation" in html_of(app)


def test_it_turns_pages_by_place(open_page: OpenPage) -> None:
    for n in range(trail.PAGE + 5):
        act(ADA, "lora.tag", "lora_model", f"id-{n}")
    app = open_page(PAGE)
    assert html_of(app).count("tagged a LoRA") == trail.PAGE
    act(ADA, "lora.tag", "lora_model", "came meanwhile")
    app.button(key="so-older").click().run()
    said = html_of(app)
    assert said.count("tagged a LoRA") == 5
    assert "id-4" in said
    app.button(key="so-newer").click().run()
    assert "came meanwhile" in html_of(app)


def test_the_file_has_the_whole_filter_and_no_formula(open_page: OpenPage) -> None:
    some_acts()
    for n in range(trail.PAGE + 5):
        act(Actor("person", "x", "@SUM(A1)", frozenset(), "page"), "lora.tag", "lora_model", f"id-{n}")
    app = open_page(PAGE, what="lora.tag")
    link = next(one for one in app.get("link_button") if "CSV" in one.proto.label).proto.url
    api = Starlette(routes=ROUTES, middleware=MIDDLEWARE)
    with TestClient(api, base_url="http://127.0.0.1:8501") as client:
        answer = client.get(link)
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == trail.PAGE + 5
        assert {row["actor_name"] for row in rows} == {"'@SUM(A1)"}
        assert client.get(link.replace("lora.tag", "staff.roles")).status_code == 401
        key = {"Authorization": "Bearer ops-key-of-the-tests"}
        roles = client.get("/api/audit.csv?what=staff.roles", headers=key).text
        assert "'=1+1 <b>moved</b>" in roles
        assert client.get("/api/audit.csv?since=never", headers=key).status_code == 400


def test_only_some_may_read_it(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    some_acts()
    sue = Actor("person", "sue", "Sue", frozenset({Role.SUPPORT}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: sue)
    assert PAGE not in {entry.file for entry in pages_of(sue)}
    with pytest.raises(NotAllowed, match="Sue may not read the audit log"):
        trail.lines(sue, Filter())
    with pytest.raises(NotAllowed):
        export.audit_link(sue, Filter(), database.now())
    assert not failures_of(open_page("people.py"))


def test_a_thing_has_its_own_part(connection: Connection) -> None:
    some_acts()
    vi = Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page")
    [line] = trail.of(vi, ["c1", "nothing"])
    assert (line.action, line.actor_name) == ("alert.test", "alerts")
    for n in range(30):
        act(ADA, "lora.tag", "lora_model", "l1", after={"n": n})
    newest = trail.of(vi, ["l1"])
    assert [one.after["n"] for one in newest] == list(range(29, 9, -1))


def test_a_line_is_never_changed_or_deleted(connection: Connection) -> None:
    some_acts()
    for sql in (
        "UPDATE audit_log SET reason = ''",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_log SET address = NULL WHERE false",
    ):
        with pytest.raises(psycopg.Error, match="Lines of the audit log are never changed or deleted"):
            connection.execute(sql.encode())
    assert len(trail.lines(ADA, Filter()).lines) == 3


def test_a_million_lines_are_narrowed_by_an_index(connection: Connection) -> None:
    connection.execute("ANALYZE audit_log")
    connection.execute("SET enable_seqscan = off")
    for column in ("actor_name", "action", "object_id"):
        plan = connection.execute(
            f"EXPLAIN SELECT * FROM audit_log WHERE {column} = 'x' AND (at, id) < (now(), 5)"
            " ORDER BY at DESC, id DESC LIMIT 51".encode()
        ).fetchall()
        text = " ".join(row[0] for row in plan)
        assert "Index Scan Backward using audit_log_wh" in text
        assert "Sort" not in text


def test_every_action_has_words_and_every_place_a_page() -> None:
    pages = {entry.url_path for entry in PAGES}
    assert {place.partition("?")[0] for place in audit_words.PLACES.values()} <= pages
    assert audit_words.action("plan.begin_again") == "plan: begin again"
    assert audit_words.action(None) == "did something"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("rehearsal", "7", "seed 7"),
        ("rehearsal", "rehearsal", "rehearsal"),
        ("lora", "7", "7"),
        (None, None, ""),
    ],
)
def test_a_bare_number_has_its_unit(kind: str | None, name: str | None, said: str) -> None:
    nothing = dict.fromkeys(field.name for field in dataclasses.fields(Line))
    line = Line(**nothing | {"object_type": kind, "object_id": name})  # type: ignore[arg-type]
    assert audit_words.called(line) == said
