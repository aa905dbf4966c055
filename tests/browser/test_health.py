"""Delivery health as a person uses it: from a number to its rows and back; a selection that stays."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenTab, Tab

LOST = (
    "INSERT INTO generations (prompt, model, kind, status, delivery_state, created_at)"
    " SELECT 'lost ' || n, 'flux-2/pro-text-to-image', 'image', 'failed', 'lost',"
    " now() - n * interval '1 min'"
    " FROM generate_series({first}, {last}) n RETURNING id"
)
DELIVERED = (
    "INSERT INTO generations (model, kind, status, delivery_state, asset_url, created_at)"
    " SELECT 'flux-2/pro-text-to-image', 'image', 'success', 'delivered', '/files/x',"
    " now() - n * interval '1 min'"
    " FROM generate_series(1, 12) n RETURNING id"
)


def opened(tab: Tab) -> None:
    tab.product.rows(DELIVERED)
    tab.product.rows(LOST.format(first=5, last=7))
    tab.open("/delivery_health")


def test_from_a_number_to_its_rows_and_back(open_tab: OpenTab) -> None:
    tab = open_tab()
    opened(tab)
    tab.page.get_by_text("15 generations begun").wait_for()
    loaded: list[str] = []
    tab.page.on("request", lambda asked: loaded.append(asked.url) if asked.is_navigation_request() else None)
    tab.page.get_by_role("link", name=re.compile("^Lost 3 ")).click()
    tab.page.get_by_text("3 generations lost").wait_for()
    assert "state=lost" in tab.page.url
    tab.page.go_back()
    tab.page.get_by_text("15 generations begun").wait_for()
    tab.page.go_forward()
    tab.page.get_by_text("3 generations lost").wait_for()
    assert loaded == []
    tab.page.reload()
    tab.page.get_by_text("3 generations lost").wait_for()
    tab.page.get_by_test_id("stMain").get_by_role("button", name="lost", exact=True).click()
    tab.page.get_by_text("15 generations begun").wait_for()
    assert "state=" not in tab.page.url
    phone = open_tab(width=390, height=844, dark=True)
    phone.open("/delivery_health?state=lost")
    phone.page.get_by_text("3 generations lost").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_a_number_counts_is_read_by_hovering_or_by_keys_and_stays_while_it_changes(
    open_tab: OpenTab,
) -> None:
    tab = open_tab()
    opened(tab)
    mark = tab.page.get_by_role("button", name="What “Lost” counts", exact=True)
    box = tab.page.locator(f"[id='{mark.get_attribute('popovertarget')}']")
    expect(box).to_be_hidden()
    mark.hover()
    expect(box).to_contain_text("its file was gone before it could be stored")
    expect(box).to_contain_text("FROM delivery_rollup")
    said = "getComputedStyle(document.querySelector('.so-def-now'), '::after').content"
    assert re.fullmatch(r'"As of \d\d:\d\d:\d\d"', tab.evaluate(said))
    tab.page.mouse.move(2, 2)
    expect(box).to_be_hidden()
    mark.focus()
    tab.page.keyboard.press("Enter")
    expect(box).to_be_visible()
    tab.product.rows(LOST.format(first=1, last=2))
    card = tab.page.get_by_role("link", name=re.compile("^Lost "))
    expect(card.locator("b")).to_have_text("5", timeout=40_000)
    expect(box).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    phone = open_tab(width=390, height=844, dark=True)
    phone.open("/delivery_health")
    phone.page.get_by_role("button", name="What “Lost” counts", exact=True).tap()
    place = phone.page.locator(".so-def-box:popover-open").bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 390
    assert place["y"] + place["height"] <= 844


def test_a_selection_outlives_a_refresh_that_brings_newer_rows(open_tab: OpenTab) -> None:
    tab = open_tab()
    opened(tab)
    tab.open("/delivery_health?state=lost")
    tab.page.get_by_text("3 generations lost").wait_for()
    box = tab.page.get_by_role("checkbox", name="Select …").first
    box.focus()
    tab.page.keyboard.press("Space")
    tab.page.get_by_text("1 row selected").wait_for()
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    tab.product.rows(LOST.format(first=1, last=2))
    tab.page.get_by_text("Refresh by itself").click()
    tab.settle()
    expect(tab.page.get_by_text("1 row selected")).to_be_visible()
    expect(tab.page.get_by_role("checkbox", name="Select …", checked=True)).to_have_count(1)
    tab.button("Select nothing").click()
    tab.page.get_by_text("5 generations lost").wait_for()
    expect(tab.page.get_by_text("1 row selected")).to_be_hidden()
