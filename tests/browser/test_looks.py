"""What the eye meets: phone width, contrast in both themes, and the keyboard."""

import pytest
from playwright.sync_api import expect

from tests.browser import colours
from tests.browser.conftest import OpenTab, Tab

# The contrast of every visible text with the ground that it stands on, those below WCAG AA.
LOW_CONTRAST = (
    """
() => {
"""
    + colours.SCRIPT
    + """  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== 'none') return null;
      const color = rgba(style.backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const found = new Set(); let seen = 0;
  for (const element of document.querySelectorAll('[data-testid=stApp] *')) {
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest('button:disabled, [aria-hidden=true], .so-badge')) continue;
    const style = getComputedStyle(element), below = ground(element);
    if (!below) continue;
    const [one, two] = [light(over(rgba(style.color), below)), light(below)].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24 ||
      (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.add(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
    seen += 1;
  }
  return seen < 15 ? ['almost no text was seen'] : [...found];
}
"""
)


# Streamlit scrolls within its main part, and not the document.
FITS = """
() => [document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]
  .every(part => part.scrollWidth <= part.clientWidth)
"""
SEEN = "button => button.checkVisibility({opacityProperty: true, visibilityProperty: true})"


def no_sideways_scroll(tab: Tab) -> bool:
    return bool(tab.evaluate(FITS))


def test_a_phone_shows_both_pages_without_scrolling_sideways(open_tab: OpenTab) -> None:
    tab = open_tab(width=390, height=844)
    tab.open("/")
    assert no_sideways_scroll(tab)
    tab.button("Make the first test").tap()
    tab.button("Test Kling 2.6").wait_for()
    assert no_sideways_scroll(tab)
    for name in ("Test FLUX.2 Pro", "Test Kling 2.6", "Generate for"):
        box = tab.button(name).bounding_box()
        assert box is not None
        assert box["height"] >= 36
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_the_first_page_is_found_by_its_name_too(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/overview")
    tab.button("Make the first test").wait_for()
    assert tab.page.url.endswith("/")
    assert tab.page.get_by_text("Page not found").count() == 0


def test_on_a_phone_the_result_lies_over_the_page_until_it_is_closed(open_tab: OpenTab) -> None:
    tab = open_tab(width=390, height=844)
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").tap()
    box = tab.delivered().bounding_box()
    assert box is not None
    assert box["y"] < 300
    assert box["width"] > 300
    assert no_sideways_scroll(tab)
    tab.button("Close").tap()
    tab.page.locator(".so-result").wait_for(state="detached")
    card = tab.page.locator("[class*='st-key-so-card-']").first
    card.scroll_into_view_if_needed()
    card.tap()
    tab.delivered()
    reached = tab.evaluate("document.elementFromPoint(195, 300).closest('.st-key-so-result') !== null")
    assert reached


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(open_tab: OpenTab, *, dark: bool) -> None:
    tab = open_tab(dark=dark)
    tab.open("/")
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.open("/test_generation")
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.prompt().fill("A fox [[fault:provider_fail]]")
    tab.button("Generate for").click()
    tab.page.get_by_text("KIE's own words").click()
    tab.page.get_by_text("Timeline:").click()
    tab.settle()
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.page.get_by_role("link", name="Overview").click()
    tab.page.get_by_text("Nothing needs a person now.").wait_for()
    assert tab.evaluate(LOW_CONTRAST) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_of_operations_can_be_read_and_fit_a_phone(open_tab: OpenTab, *, dark: bool) -> None:
    tab, phone = open_tab(dark=dark), None if dark else open_tab(width=390, height=844)
    [(lost,), *_] = tab.product.rows(
        "INSERT INTO generations (prompt, model, kind, status, delivery_state, task_id, failure_category)"
        " SELECT 'a boat', 'flux-2/pro-text-to-image', 'image', 'failed', state, 'task_' || state, 'timeout'"
        " FROM unnest(ARRAY['lost', 'failed', 'delivered']) state RETURNING id"
    )
    for path in ("/delivery_health", "/delivery_health?state=lost", f"/debug_sync?q={lost}", "/rehearsal"):
        tab.open(path)
        assert (path, tab.evaluate(LOW_CONTRAST)) == (path, [])
        if phone is not None:  # how wide a page is has nothing to do with its colours
            phone.open(path)
            assert (path, no_sideways_scroll(phone)) == (path, True)


def test_a_card_is_reached_and_opened_with_the_keyboard(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").click()
    tab.delivered()
    tab.button("Close").click()
    tab.page.locator(".so-result").wait_for(state="detached")
    tab.button("Open the generation of").focus()
    tab.page.keyboard.press("Enter")
    assert tab.delivered().evaluate("img => img.decode().then(() => img.naturalWidth > 0)")


def test_an_id_is_short_to_the_eye_and_whole_to_the_clipboard(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").click()
    tab.delivered()
    tab.settle()
    id_box = tab.page.locator(".st-key-so-copy-generation")
    shown = id_box.locator("code")
    assert shown.evaluate("code => code.scrollWidth > code.clientWidth")
    id_box.get_by_role("button", name="Copy to clipboard").click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    [(generation_id,)] = tab.product.rows("SELECT id FROM generations")
    assert copied == str(generation_id)


def test_everybody_on_the_list_is_opened_by_a_button_that_is_seen(open_tab: OpenTab) -> None:
    tab, phone = open_tab(), open_tab(width=390, height=844)
    tab.product.rows(
        "INSERT INTO staff (email, name, roles, added_by) VALUES"
        " ('bo@studio.example', 'Bo', '{support}', 'x'), ('cy@studio.example', 'Cy', '{viewer}', 'x')"
        " RETURNING email"
    )
    for one in (tab, phone):
        one.open("/people")
        buttons = one.page.locator(".st-key-so-people button")
        expect(buttons).to_have_count(2)
        assert no_sideways_scroll(one)
        assert [buttons.nth(n).evaluate(SEEN) for n in range(buttons.count())] == [True, True]
        buttons.last.click()
        one.page.get_by_role("heading", name="Cy").wait_for()
    tab.product.rows("DELETE FROM staff RETURNING email")
