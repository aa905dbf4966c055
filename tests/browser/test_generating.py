"""Making a generation in the browser: seen as it comes, once a click, and still there afterwards."""

from playwright.sync_api import expect

from tests.browser.browsers import PATIENCE_S
from tests.browser.conftest import OpenTab, until

HOSTILE = '<img src=x onerror="window.hacked=1"> **bold** [x](javascript:window.hacked=2) $x^2$'


def test_the_way_is_told_while_it_is_made(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.prompt().fill("A fox [[fault:stuck]]")
    tab.button("Generate for").click()
    expect(tab.page.locator(".so-way .so-here")).to_have_text("Generating", timeout=PATIENCE_S * 1000)
    told = tab.page.locator(".st-key-so-result .so-number").first
    first = told.inner_text()
    assert "usually 20\u00a0s · attempt 1 · KIE asked" in first
    until(lambda: told.inner_text() != first, "the time goes on")


def test_a_film_plays_and_seeks(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.button("Test Kling 2.6").click()
    film = tab.delivered()
    film.evaluate("film => { film.muted = true; return film.play() }")
    until(lambda: film.evaluate("film => film.currentTime") > 0.3, "the film plays")
    length = film.evaluate("film => film.duration")
    assert film.evaluate("film => film.videoWidth") > 0
    assert film.evaluate("film => film.seekable.length && film.seekable.end(0)") >= length - 0.1
    middle = length / 2
    film.evaluate(
        """(film, to) => new Promise(done => {
            film.pause(); film.addEventListener('seeked', done, {once: true}); film.currentTime = to })""",
        middle,
    )
    assert abs(film.evaluate("film => film.currentTime") - middle) < 0.2


def test_a_deep_link_survives_reload_and_opens_elsewhere(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").click()
    shown = tab.delivered().get_attribute("src")
    address = tab.page.url
    assert "generation=" in address
    tab.page.reload()
    assert tab.delivered().get_attribute("src") == shown
    other = open_tab()
    other.open(address.removeprefix(tab.product.url))
    assert other.delivered().get_attribute("src") == shown


def test_a_double_click_makes_one(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").dblclick()
    tab.delivered()
    tab.settle()
    assert tab.product.rows("SELECT count(*) FROM generations") == [(1,)]
    tab.prompt().fill("A glass of water on a window sill, morning light")
    tab.button("Generate for").dblclick()
    until(lambda: tab.product.rows("SELECT count(*) FROM generations") == [(2,)], "the form made one")
    tab.delivered()
    tab.settle()
    assert tab.product.rows("SELECT count(*) FROM generations") == [(2,)]


def test_the_form_counts_and_says_what_is_wrong_at_the_field(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.prompt().fill("ab")
    tab.page.get_by_text("2/5000").wait_for()
    tab.button("Generate for").click()
    tab.page.get_by_text("Prompt must have 3 to 5000 characters; it has 2.").wait_for()
    assert tab.product.rows("SELECT count(*) FROM generations") == [(0,)]
    tab.page.get_by_text("2K", exact=True).click()
    tab.page.get_by_role("button", name="Generate for $0.035").wait_for()
    assert tab.prompt().input_value() == "ab"


def test_a_hostile_prompt_is_only_text(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.prompt().fill(HOSTILE)
    tab.button("Generate for").click()
    tab.delivered()
    tab.settle()
    assert tab.page.locator(".st-key-so-prompt code").inner_text() == HOSTILE
    assert tab.evaluate("window.hacked === undefined")
    assert tab.page.locator("strong", has_text="bold").count() == 0
    assert tab.page.locator(".katex").count() == 0
    assert tab.page.locator("img[src=x]").count() == 0


def test_a_failure_says_why_and_folds_the_words(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.prompt().fill("A fox [[fault:provider_fail]]")
    tab.button("Generate for").click()
    tab.page.get_by_text("KIE's own words").wait_for()
    words = tab.page.locator(".so-result, .st-key-so-result .so-words").first
    assert not words.is_visible()
    tab.page.get_by_text("KIE's own words").click()
    assert words.is_visible()
    expect(tab.button("Check again")).to_be_enabled()


def test_a_refresh_moves_nothing(open_tab: OpenTab) -> None:
    tab = open_tab(height=600)
    tab.open("/test_generation")
    tab.prompt().fill("A fox [[fault:stuck]]")
    tab.button("Generate for").click()
    tab.page.locator(".so-way").wait_for()
    tab.page.get_by_text("Timeline:").click()
    begun = tab.page.get_by_text("Begun by Local operator")
    begun.wait_for()
    tab.prompt().fill("")
    tab.prompt().press_sequentially("half a thou")
    main = "document.querySelector('[data-testid=stMain]')"
    tab.evaluate(f"{main}.scrollTop = 150")
    told = tab.page.locator(".st-key-so-result .so-number").first
    first = told.inner_text()
    until(lambda: told.inner_text() != first, "it refreshes")
    assert tab.evaluate(f"{main}.scrollTop") == 150
    assert begun.is_visible()
    assert tab.prompt().input_value() == "half a thou"
    assert tab.evaluate("document.activeElement.tagName") == "TEXTAREA"
    tab.product.finish()
    tab.delivered()
    tab.settle()
    assert begun.is_visible()
    assert tab.prompt().input_value() == "half a thou"


def test_history_opens_at_once_and_back_goes_back(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").click()
    first = tab.delivered().get_attribute("src")
    tab.button("Test Kling 2.6").click()
    tab.page.locator(".so-result video").wait_for()
    cards = tab.page.locator("[class*='st-key-so-card-']")
    expect(cards).to_have_count(2)
    cards.nth(1).click()
    expect(tab.page.locator(".so-result img")).to_have_attribute("src", first or "")
    tab.page.go_back()
    tab.page.locator(".so-result video").wait_for()
