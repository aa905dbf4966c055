"""Support after an outage: from the list of what has failed to a finished plan, by clicks."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenTab, Tab

MANY = 23


def broken(tab: Tab) -> None:
    """So many generations that failed here, and whose result is ready at KIE; rows may share a task."""
    tab.open("/test_generation")
    tab.prompt().fill("A fox [[fault:callback_lost]]")
    tab.button("Generate for").click()
    tab.product.poll()
    tab.delivered()
    tab.product.rows(
        "UPDATE generations SET delivery_state = 'failed', status = 'failed', asset_url = NULL,"
        " delivered_at = NULL RETURNING id"
    )
    tab.product.rows("DELETE FROM stored_files RETURNING path")
    tab.product.rows(
        "INSERT INTO generations (provider, kind, model, prompt, input, status, delivery_state, task_id,"
        " submitted_at, created_at) SELECT provider, kind, model, prompt, input, status, delivery_state,"
        f" task_id, submitted_at, created_at FROM generations, generate_series(2, {MANY}) RETURNING id"
    )


def test_from_a_list_of_failures_to_a_finished_plan(open_tab: OpenTab) -> None:
    tab = open_tab()
    broken(tab)
    tab.open("/delivery_health?state=failed")
    tab.button(f"Resync all {MANY} of this list").click()
    tab.page.wait_for_url("**/bulk_resync?plan=*")
    tab.page.get_by_text("Can be resynced").first.wait_for()
    tab.page.get_by_text("$0.00: reading and fetching are free").wait_for()
    assert tab.product.rows("SELECT count(*) FROM generations WHERE delivery_state = 'failed'") == [(MANY,)]
    tab.page.get_by_label("Why?").fill("KIE's outage")
    tab.button(f"Resync {MANY}").click()
    tab.page.get_by_text(f"Type {MANY} to confirm that many resyncs.").wait_for()
    number = tab.page.get_by_label(f"Type {MANY} to confirm that many")
    number.fill(str(MANY))
    number.press("Enter")
    tab.settle()
    tab.button(f"Resync {MANY}").dblclick()
    tab.page.get_by_text(f"{MANY} of {MANY} done").wait_for()
    tab.page.get_by_text(f"Delivered {MANY}").wait_for()
    expect(tab.page.locator(".so-row .so-pill", has_text="Finished")).to_be_visible()
    assert tab.product.rows("SELECT count(*) FROM stored_files") == [(MANY,)]
    started = "SELECT count(*) FROM audit_log WHERE action = 'plan.start' AND reason = 'KIE''s outage'"
    assert tab.product.rows(started) == [(1,)]
    tab.page.reload()
    tab.page.get_by_text(f"Delivered {MANY}").wait_for()
    tab.button("All plans").click()
    tab.page.get_by_text(f"{MANY} delivered").first.wait_for()
    phone = open_tab(width=390, height=844, dark=True)
    phone.open("/bulk_resync")
    phone.page.get_by_text(f"{MANY} delivered").first.wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_failure_group_is_taken_in_hand(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.product.rows(
        "INSERT INTO generations (model, kind, status, delivery_state, failure_category, failure_message,"
        " created_at) SELECT 'flux-2/pro-text-to-image', 'image', 'failed', 'failed', 'service_error',"
        " 'The queue of the browser is full', now() - n * interval '1 min' FROM generate_series(1, 4) n"
        " RETURNING id"
    )
    tab.open("/failure_groups")
    group = tab.page.get_by_text("The queue of the browser is full").first
    group.wait_for(timeout=60_000)
    tab.button("Open The queue of the browser is full").click()
    tab.button("I see to it").first.click()
    tab.page.get_by_label("Note").first.fill("I call KIE")
    tab.page.get_by_test_id("stPopoverBody").get_by_role("button", name="I see to it").click()
    tab.page.get_by_text("In hand").first.wait_for()
    tab.page.get_by_text("“I call KIE”").wait_for()
    assert "group=" in tab.page.url
    phone = open_tab(width=390, height=844)
    phone.open(tab.page.url.removeprefix(tab.product.url))
    phone.page.get_by_text("In hand").first.wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
