"""Delivery health: the first day, full, with bad filters, while the database is away, and behind."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from core import database
from core.access import Actor, Role
from core.deliveries import rollups
from core.deliveries.health_rows import PANELS, board
from core.deliveries.models import DeliveryState, Status
from core.deliveries.windows import Filter
from tests.pages import seeding
from tests.pages.conftest import (
    OpenPage,
    box_of,
    failures_of,
    follow,
    html_of,
    links_of,
    said_of,
    table_of,
)

PAGE = "delivery_health.py"
SUPPORT = Actor("person", "s", "Support", frozenset({Role.SUPPORT}), "page")
VIEWER = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")


def test_the_first_day_says_what_to_do_first(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "Nothing has been generated yet" in html_of(app)
    assert "not counted yet" in html_of(app)


def test_every_panel_has_something_to_say_and_a_number_opens_its_rows(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.alive(connection)
    ids = seeding.every_state(connection)
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "Success, 24 hours" in said
    assert "Rescue clock: 1\u00a0result waits at KIE" in said
    assert str(ids["storing"])[-8:] in said
    assert "Kling 2.6" in said_of(app)
    found = board(VIEWER, Filter(), datetime.now(UTC))
    assert [name for name, holds in PANELS.items() if not holds(found)] == []
    told = box_of(said, "Success, 24 hours")
    assert re.search(r" From \d+ \w{3} \d{4}, \d\d:00:00 \w+ on\. ", told)
    assert "From " not in box_of(said, "Stuck").split("<code")[0]
    app = follow(open_page, app, "Lost 1 ", PAGE)
    assert app.query_params["state"] == "lost"
    assert "1\u00a0generation lost, of the last 24 hours" in html_of(app)
    app.button(key="health-chip-state").click().run()
    assert "state" not in app.query_params
    app = follow(open_page, app, "Stuck ", PAGE)
    assert not failures_of(app)
    assert "stuck now" in html_of(app)


def test_the_target_is_told_in_words_and_no_failure_stays_hidden(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.insert(connection, seeding.Row(DeliveryState.DELIVERED, Status.SUCCESS))
    assert "target reached" in said_of(open_page(PAGE))
    words = ("fire", "flood", "frost", "wind", "hail", "storm", "fog", "drought")
    for word in words:
        why = ("service_error", "500", f"A {word}.")
        seeding.insert(connection, seeding.Row(DeliveryState.FAILED, Status.FAILED, failure=why))
    app = open_page(PAGE)
    said = said_of(app)
    assert "under 98.0\u00a0%" in said
    lines = said.split('class="so-rows"')[0]
    assert sum(f"A {word}." in lines for word in words) < len(words)
    app = follow(open_page, app, "Show all 8", PAGE)
    lines = said_of(app).split('class="so-rows"')[0]
    assert [word for word in words if f"A {word}." not in lines] == []
    assert "?window=24h" in [href for href, said in links_of(app).items() if said == "Show fewer"]


@pytest.mark.parametrize("actor", [VIEWER, SUPPORT], ids=["viewer", "support"])
def test_only_who_may_see_the_evidence_is_led_to_it(
    open_page: OpenPage,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    actor: Actor,
) -> None:
    seeding.alive(connection)
    ids = seeding.every_state(connection)
    monkeypatch.setattr("pages.components.actor.current_actor", lambda: actor)
    app = open_page(PAGE, state="lost")
    overview = open_page("overview.py")
    assert not failures_of(app)
    assert not failures_of(overview)
    [opens] = table_of(app)["Task"]
    led = actor is SUPPORT
    assert opens == (f"/debug_sync?q={ids['lost']}" if led else str(ids["lost"])[-8:])
    assert table_of(app)["State"] == ["⌫ Lost"]
    assert ("debug_sync?q=" in html_of(app)) is led
    assert str(ids["storing"])[-8:] in html_of(app)
    assert "Needs attention: FLUX.2 Pro" in html_of(overview)
    assert any(said.endswith(" Open") for said in links_of(overview).values()) is led


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "nonsense"),
        ("window", "1' OR 1=1 --"),
        ("kind", "<b>audio</b>"),
        ("model", "x" * 10_000),
        ("signature", "'; DROP TABLE generations; --"),
        ("at", "yesterday"),
    ],
)
def test_a_bad_filter_is_one_sentence_and_the_rest_works(
    open_page: OpenPage, connection: psycopg.Connection[Any], name: str, value: str
) -> None:
    seeding.insert(connection, seeding.Row(DeliveryState.DELIVERED, Status.SUCCESS))
    app = open_page(PAGE, **{name: value})
    assert not failures_of(app)
    said = html_of(app)
    assert said.count("The address asks for something that is not there") == 1
    assert f"“{name}”" in said
    assert "It is left out." in said
    assert "<b>audio" not in said
    assert "100\u00a0%" in said_of(app)


def test_a_counting_that_is_behind_is_named_with_its_remedy(
    open_page: OpenPage, connection: psycopg.Connection[Any]
) -> None:
    seeding.insert(connection, seeding.Row(DeliveryState.DELIVERED, Status.SUCCESS))
    rollups.run(datetime.now(UTC))
    connection.execute("UPDATE delivery_rollup_state SET rolled_at = now() - interval '1 hour'")
    said = said_of(open_page(PAGE))
    assert "The hourly counts are behind" in said
    assert "python -m jobs run rollups" in said
    assert "100\u00a0%" in said


def test_a_database_that_is_away_is_said_so(open_page: OpenPage, connection: psycopg.Connection[Any]) -> None:
    app = open_page(PAGE)
    database.connect(f"postgresql://nobody@127.0.0.1:1/{uuid4().hex}")
    app.run()
    assert "The database does not answer" in html_of(app)
    assert not app.exception
