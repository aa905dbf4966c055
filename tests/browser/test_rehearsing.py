"""A rehearsal from the offer to the last row gone."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenTab, until

LIVE = "FROM generations WHERE request_key LIKE 'rehearsal:%'"


def test_from_the_offer_over_a_fault_to_nothing_left(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/")
    tab.button("Rehearse with a history").click()
    tab.page.get_by_text("Small, 1,500").click()
    tab.button("Begin the rehearsal").click()
    tab.page.get_by_text("What must never be").wait_for()

    other = open_tab()
    other.open("/")
    other.page.locator(".so-task").first.wait_for()

    tab.button("Our storage is full").click()
    tab.page.get_by_text("Our storage is full · Always").wait_for()
    tab.page.get_by_role("radio", name="60").first.click()
    tab.button("Start").click()
    full = f"SELECT 1 {LIVE} AND delivery_state = 'awaiting_delivery' AND failure_message ~ 'is full'"
    until(lambda: bool(tab.product.rows(full)), "a delivery that finds no room")
    tab.button("All off").click()
    tab.page.get_by_text("Everything works.").wait_for()
    delivered = f"SELECT 1 {LIVE} AND delivery_state = 'delivered' AND failure_message IS NULL"
    until(lambda: bool(tab.product.rows(delivered)), "a delivery once there is room")
    expect(tab.page.locator(".so-never.so-good")).to_have_count(4)
    tab.button("Stop").click()
    tab.page.get_by_text("Nothing new is made.").wait_for()

    tab.button("Clear the rehearsal").click()
    dialog = tab.page.get_by_role("dialog")
    [(count,)] = tab.product.rows("SELECT count(*) FROM generations")
    dialog.get_by_role("textbox").fill(str(count))
    dialog.get_by_role("textbox").press("Enter")
    dialog.get_by_role("button", name="Clear it").click()
    tab.page.get_by_text("Practise before it matters").wait_for()
    assert tab.product.rows("SELECT 1 FROM generations") == []
    tab.page.get_by_role("link", name="Overview").click()
    tab.page.get_by_text("Nothing has been generated yet").wait_for()
