"""Lines, tiles and panels: words of others are shown as they are, and what opens rows is one link."""

from pages.components import openers
from pages.components.openers import Panel, Tile

HOSTILE = "<b>1</b> & \"2\" '3'"
SHOWN = "&lt;b&gt;1&lt;/b&gt; &amp; &quot;2&quot; &#x27;3&#x27;"


def test_an_address_keeps_every_sign_of_its_parameters() -> None:
    assert openers.address({"model": "a/b c&d", "q": "<b>"}) == "?model=a%2Fb+c%26d&q=%3Cb%3E"
    assert openers.address({"run": "1"}, "training_runs") == "training_runs?run=1"


def test_a_line_opens_its_rows_or_nothing() -> None:
    line = openers.line_html(HOSTILE, "$5", HOSTILE, "?kind=a&state=b")
    assert line.startswith('<a class="so-line-card so-opens" href="?kind=a&amp;state=b">')
    assert line.count(SHOWN) == 2
    assert "<b>1" not in line
    assert openers.line_html("Ada", "$5", "", None).startswith('<div class="so-line-card">')
    assert ">–<" in openers.line_html("", "$5", "", "?")


def test_a_tile_says_its_number_and_keeps_its_mark_apart() -> None:
    tile = Tile(HOSTILE, "98.2\u00a0%", (HOSTILE, ""), "?state=lost", "<i>mark</i>", "bad", "<em>beside</em>")
    html = tile.html()
    assert html.startswith('<a class="so-tell so-bad so-opens" href="?state=lost">')
    assert '<b class="so-big">98.2\u00a0%</b> <em>beside</em>' in html
    assert html.count(SHOWN) == 2
    assert "mark" not in html
    assert Tile("Ada", "1", (), None, "").html().startswith('<div class="so-tell so-waiting">')


def test_a_panel_keeps_its_mark_apart() -> None:
    html = Panel(HOSTILE, HOSTILE, "<i>body</i>", "<i>mark</i>").html()
    assert html.count(SHOWN) == 2
    assert "<i>body</i>" in html
    assert "mark" not in html


def test_the_choice_that_holds_says_so() -> None:
    html = openers.choices_html("State", "All", {"All": {}, "Failed": {"state": "Failed"}})
    assert html.count("aria-current") == 1
    assert '<a class="so-choice" href="?" data-key="All" aria-current=true>All</a>' in html
    assert 'href="?state=Failed"' in html
