"""Every number says on hover what it means, by which SQL it is counted, and as of when."""

import re
from html import escape
from typing import Any

import psycopg
import pytest

from core import queries
from core.queries import Figure
from core.settings import ROOT
from pages.components import definition
from tests.pages import money, seeding, training_seeds
from tests.pages.conftest import OpenPage, box_of, failures_of, html_of

NUMBERS = {
    "overview.py": ("Delivery", "Trainings", "Budget"),
    "delivery_health.py": (
        "Success, 24 hours",
        "Success, 7 days",
        "Success, 30 days",
        "Time to deliver, 24 hours",
        "In flight",
        "Stuck",
        "Lost",
        "Needs attention",
        "Rescue clock",
        "Generations begun",
        "Not delivered, % of finished",
        "What failed",
        "Models",
        "Storage",
    ),
    "budget.py": (
        "The month",
        "A completed LoRA",
        "Cost of failures",
        "Actual against quoted",
        "LoRAs this month",
    ),
    "training_runs.py": ("Under way", "Needs a person", "Failed this month", "Spent this month"),
}
DOMAINS = [path.stem for path in (ROOT / "sql" / "queries").glob("*.sql")]


@pytest.fixture
def full(connection: psycopg.Connection[Any], trainings: None) -> None:
    seeding.alive(connection)
    seeding.every_state(connection)
    connection.execute("INSERT INTO storage_usage VALUES (now(), 'generated-images', 'image', 3, 3000)")
    training_seeds.launched()
    money.spend("12.00")


@pytest.mark.parametrize("page", NUMBERS)
def test_each_number_has_its_definition_its_sql_and_its_moment(
    page: str, open_page: OpenPage, full: None
) -> None:
    app = open_page(page)
    assert not failures_of(app)
    said = html_of(app)
    named = {escape(query.sql) for domain in DOMAINS for query in queries.load(domain).values()}
    for name in NUMBERS[page]:
        box = box_of(said, name)
        [sql] = re.findall(r"<code [^>]*>(.*?)</code>", box, re.DOTALL)
        assert sql in named, name
        assert re.search(r"<span id=[^>]+>[A-Z][^<]{30,}</span>", box), name
        assert re.search(r"so-def-now|As of \d+ \w{3} \d{4}", box), name
    keys = re.findall(r'popovertarget="([^"]+)"', said)
    assert len(keys) == len(set(keys))
    assert re.search(r'--so-as-of: "As of \d\d:\d\d:\d\d"', said)


def test_no_tile_stands_without_its_mark(open_page: OpenPage, full: None) -> None:
    for page, number in (("budget.py", 4), ("training_runs.py", 4), ("delivery_health.py", 8)):
        written = [str(element.value) for element in open_page(page).html]
        tiles = re.findall(r'class="so-tell [^>]*><span [^>]*>([^<]+)<', "".join(written))
        [marks] = [html for html in written if html.startswith('<div class="so-tiles so-marks')]
        assert re.findall(r'class="so-def-box"><b>([^<]+)</b>', marks) == tiles, page
        assert len(tiles) == number, page


def test_nothing_of_a_definition_is_taken_for_html() -> None:
    mark = definition.mark_html("a < b", Figure("It is <b>.", "SELECT 1 WHERE 1 < 2"), more="x & y")
    assert "a &lt; b" in mark
    assert "It is &lt;b&gt;. x &amp; y" in mark
    assert "WHERE 1 &lt; 2" in mark
