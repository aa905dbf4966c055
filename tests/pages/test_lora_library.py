"""LoRA library: the first day, gallery and table, filters in the address, one LoRA, what each role may do
with it, and the moderation queue."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import database
from core.access import Actor, Role
from core.loras import popularity, service, views
from core.loras.models import Reason, Search
from pages.components import actor as page_actor
from tests.pages import lora_seeds, training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of, links_of, table_of
from tests.pages.lora_seeds import HOSTILE, NOW

PAGE = "lora_library.py"
Connection = psycopg.Connection[Any]
OPERATIONS = Actor("person", "local", "Local operator", frozenset(Role), "page")
OTHER = Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page")


@pytest.fixture
def loras(trainings: None, connection: Connection) -> dict[str, UUID]:
    """A LoRA of each kind; their ids by name."""
    return lora_seeds.every_kind(connection)


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer sits in front of the page."""
    monkeypatch.setattr(page_actor, "current_actor", lambda: OTHER)
    for name in ("lora_doing", "lora_actions", "lora_list"):
        monkeypatch.setattr(f"pages.components.{name}.current_actor", lambda: OTHER)


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def test_the_first_day_says_what_to_do_first(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "No LoRA is here yet" in html_of(app)
    assert "Train the first LoRA" in labels(app)


def test_the_gallery_names_everything_by_its_creator(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    app = open_page(PAGE)
    html = html_of(app)
    assert not failures_of(app)
    assert "8\u00a0LoRAs" in html
    assert '<b>Popular Ada</b> <span class="so-quiet">(by ada@example.com)</span>' in html
    assert "(by unknown)" in html
    assert "<script>" not in html
    assert "javascript:" not in html
    assert "Archived one" not in html
    assert html.index("Popular Ada") < html.index("Large")


def test_the_table_shows_the_same(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    app = open_page(PAGE, view="Table")
    assert not failures_of(app)
    names = table_of(app)["Name"]
    assert "Popular Ada (by ada@example.com)" in names
    assert len(names) == 8


FILTERS: list[tuple[dict[str, str], set[str]]] = [
    ({"search": "popu"}, {"Popular Ada"}),
    ({"status": "Training"}, {"In training"}),
    ({"shown": "Archived"}, {"Archived one"}),
    ({"shown": "Private and hidden"}, {"Private one", "Hidden one"}),
    ({"tag": "sea"}, {"alert(1)"}),
    ({"sort": "Name", "search": "one"}, {"Failed one", "Hidden one", "Private one"}),
]


@pytest.mark.parametrize(("query", "found"), FILTERS, ids=[str(one[0]) for one in FILTERS])
def test_a_filter_stands_in_the_address(
    open_page: OpenPage, loras: dict[str, UUID], query: dict[str, str], found: set[str]
) -> None:
    html = html_of(open_page(PAGE, **query))
    assert {name for name in found if name in html} == found
    assert f"{len(found)}\u00a0LoRA{'s' * (len(found) != 1)}" in html


def test_a_search_that_finds_nothing_leads_on(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    app = open_page(PAGE, search="zebra")
    assert "No such LoRA" in html_of(app)
    next(one for one in app.button if one.label == "Take all filters away").click().run()
    assert "8\u00a0LoRAs" in html_of(app)


def test_many_are_paged(open_page: OpenPage, trainings: None, connection: Connection) -> None:
    for n in range(30):
        lora_seeds.lora(connection, f"Ada {n:02}")
    app = open_page(PAGE, sort="Name")
    assert "Ada 15" in html_of(app)
    assert "Ada 16" not in html_of(app)
    next(one for one in app.button if one.label == "Next").click().run()
    assert "Ada 16" in html_of(app)
    next(one for one in app.button if one.label == "Previous").click().run()
    assert "Ada 00" in html_of(app)


def test_one_lora_by_its_address(open_page: OpenPage, loras: dict[str, UUID], connection: Connection) -> None:
    lora_seeds.used(connection, loras["popular"], 12)
    lora_seeds.used(connection, loras["popular"], 1, "failed")
    service.rate(OTHER, loras["popular"], 5, NOW)
    popularity.count(database.now())
    app = open_page(PAGE, lora=str(loras["popular"]))
    html = html_of(app)
    assert not failures_of(app)
    assert "Popular" in html
    assert "★\u00a05.0 (1)" in html
    assert "103\u00a0uses, 13 in 30 days" in html
    assert "92.3\u00a0% of the last 13\u00a0uses succeeded" in html
    assert "$0.0011 a month" in html
    assert "so-dear" not in html
    assert "Another system has trained it." in html
    assert "Not proven yet" in html
    assert html.count('href="debug_sync?q=') == 8
    assert "<script>" not in html
    assert any(code.value == "ada_v1" for code in app.code)


def test_a_large_file_is_flagged(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    html = html_of(open_page(PAGE, lora=str(loras["large"])))
    assert "so-dear" in html
    assert "$0.0189 a month" in html


@pytest.mark.parametrize("kind", ["hostile", "training", "failed", "private", "hidden", "archived", "bare"])
def test_every_kind_can_be_opened(open_page: OpenPage, loras: dict[str, UUID], kind: str) -> None:
    app = open_page(PAGE, lora=str(loras[kind]))
    assert not failures_of(app)
    assert HOSTILE not in html_of(app)


@pytest.mark.parametrize("given", ["no-id", "00000000-0000-4000-8000-000000000001"])
def test_an_address_that_names_none(open_page: OpenPage, trainings: None, given: str) -> None:
    app = open_page(PAGE, lora=given)
    assert not failures_of(app)
    assert "LoRA" in html_of(app)
    assert "All LoRAs" in labels(app)


def test_what_a_viewer_may_do(open_page: OpenPage, loras: dict[str, UUID], viewer: None) -> None:
    app = open_page(PAGE, lora=str(loras["popular"]))
    assert not failures_of(app)
    assert {"Report it"} <= labels(app)
    assert not {"Save", "Make private", "Archive", "Hide"} & labels(app)
    assert next(one for one in app.button if one.label == "Train a new version").disabled
    for kind in ("private", "hidden"):
        assert "There is no such LoRA" in html_of(open_page(PAGE, lora=str(loras[kind])))
    assert "6\u00a0LoRAs" in html_of(open_page(PAGE))


def test_hiding_asks_for_the_reason_and_takes_it_out_of_sight(
    open_page: OpenPage, loras: dict[str, UUID]
) -> None:
    app = open_page(PAGE, lora=str(loras["popular"]))
    app.button(key="so-do-hide").click().run()
    assert "Say why" in html_of(app)
    app.text_input(key="so-why-hide").set_value("a real person").run()
    app.button(key="so-do-hide").click().run()
    html = html_of(app)
    assert "Hidden by Local operator" in html
    assert "a real person" in html
    assert views.search(OTHER, Search(text="popular")).total == 0
    app.text_input(key="so-why-show").set_value("she agreed").run()
    app.button(key="so-do-show").click().run()
    assert views.search(OTHER, Search(text="popular")).total == 1


def test_a_report_waits_in_the_queue_until_it_is_decided(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    service.report(OTHER, loras["large"], Reason.OTHER, HOSTILE, NOW)
    app = open_page(PAGE)
    html = html_of(app)
    assert "Reported, waiting for a decision: 1" in html
    assert "<script>" not in html
    key = f"queue-dismiss-{loras['large']}"
    app.text_input(key=f"so-why-{key}").set_value("nothing").run()
    app.button(key=f"so-do-{key}").click().run()
    assert "Reported" not in html_of(app)
    assert not failures_of(app)


def test_a_report_is_read_and_decided_on_the_page_of_its_lora(
    open_page: OpenPage, loras: dict[str, UUID]
) -> None:
    service.report(OTHER, loras["large"], Reason.OFFENSIVE, HOSTILE, NOW)
    app = open_page(PAGE, lora=str(loras["large"]))
    html = html_of(app)
    assert "1\u00a0report waits for a decision" in html
    assert "It is offensive: “&lt;script&gt;" in html
    key = f"queue-dismiss-{loras['large']}"
    app.text_input(key=f"so-why-{key}").set_value("nothing").run()
    app.button(key=f"so-do-{key}").click().run()
    assert "for a decision" not in html_of(app)
    assert "Done: nothing is wrong." in html_of(app)
    assert not failures_of(app)


def test_who_does_not_moderate_does_not_read_what_others_reported(
    open_page: OpenPage, loras: dict[str, UUID], viewer: None
) -> None:
    service.report(OPERATIONS, loras["large"], Reason.OFFENSIVE, "see the second picture", NOW)
    app = open_page(PAGE, lora=str(loras["large"]))
    assert not failures_of(app)
    assert "second picture" not in html_of(app)


def test_describing_rating_and_privacy(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    app = open_page(PAGE, lora=str(loras["popular"]))
    app.text_input(key="so-lora-name").set_value("Ada renamed").run()
    app.text_input(key="so-lora-tags").set_value("Portrait, sea").run()
    app.button(key="so-lora-save").click().run()
    found = views.get(OPERATIONS, loras["popular"])
    assert (found.name, list(found.tags)) == ("Ada renamed", ["portrait", "sea"])
    app.button(key="so-lora-private").click().run()
    assert views.get(OPERATIONS, loras["popular"]).is_private
    assert "Only its creator and operations see it now." in html_of(app)


def test_the_run_behind_it_is_told(open_page: OpenPage, trainings: None, connection: Connection) -> None:
    run = training_seeds.launched(name="Ada of ours")
    app = open_page(PAGE, lora=str(run.lora_id))
    assert not failures_of(app)
    html = html_of(app)
    assert f"training_runs?run={run.id}" in html
    assert "1,000" in html


def test_wrong_weights_are_told(open_page: OpenPage, loras: dict[str, UUID], connection: Connection) -> None:
    connection.execute(
        "INSERT INTO lora_weight_proofs (lora_model_id, state, since, checked_at)"
        " VALUES (%s, 'missing', now(), now())",
        (loras["large"],),
    )
    app = open_page(PAGE, lora=str(loras["large"]))
    assert "File missing" in html_of(app)
    assert "Prove its file again" in labels(app)


def test_wrong_weights_are_listed_by_the_address(
    open_page: OpenPage, loras: dict[str, UUID], connection: Connection
) -> None:
    for name, state in (("large", "missing"), ("archived", "differs"), ("popular", "good")):
        connection.execute(
            "INSERT INTO lora_weight_proofs (lora_model_id, state, since, checked_at)"
            " VALUES (%s, %s, now(), now())",
            (loras[name], state),
        )
    app = open_page(PAGE, weights="Wrong weights")
    assert not failures_of(app)
    assert "2\u00a0LoRAs" in html_of(app)
    assert set(links_of(app)) == {f"?lora={loras[name]}" for name in ("large", "archived")}
    assert "Filters (1)" in {popover.proto.popover.label for popover in app.get("popover")}
    app.button(key="loras-chip-weights").click().run()
    assert "2\u00a0LoRAs" not in html_of(app)
    assert "weights" not in app.query_params


def test_who_may_not_see_a_lora_with_wrong_weights_reads_that_there_is_one(
    open_page: OpenPage, loras: dict[str, UUID], connection: Connection, viewer: None
) -> None:
    connection.execute(
        "INSERT INTO lora_weight_proofs (lora_model_id, state, since, checked_at)"
        " SELECT id, 'missing', now(), now() FROM lora_models WHERE is_private OR id = %s",
        (loras["large"],),
    )
    [hidden] = connection.execute("SELECT count(*) FROM lora_models WHERE is_private").fetchall()
    assert hidden[0] > 0
    said = html_of(open_page(PAGE, weights="Wrong weights"))
    assert f"{hidden[0] + 1}\u00a0LoRAs have wrong weights, 1 of them here" in said


def test_a_wrong_word_about_weights_says_so(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    app = open_page(PAGE, weights="<b>")
    assert not failures_of(app)
    assert "“weights” cannot be “&lt;b&gt;”; it may be Any weights or Wrong weights." in html_of(app)


def test_a_page_of_the_library_without_its_database(open_page: OpenPage, loras: dict[str, UUID]) -> None:
    app = open_page(PAGE)
    database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    app.run()
    assert "The database does not answer" in html_of(app)
