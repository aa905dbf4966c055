"""Support with a customer on the line: a task id is all they have."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenTab, until


def test_a_person_who_knows_only_the_task_mends_it(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.prompt().fill("A fox [[fault:callback_lost]]")
    tab.button("Generate for").click()
    tab.product.poll()
    tab.delivered()
    [(task,)] = tab.product.rows("SELECT task_id FROM generations")
    tab.product.rows(
        "UPDATE generations SET delivery_state = 'failed', status = 'failed', asset_url = NULL,"
        " delivered_at = NULL RETURNING id"
    )
    tab.product.rows("DELETE FROM stored_files RETURNING path")
    tab.open("/debug_sync")
    box = tab.page.get_by_role("textbox", name="Task id")
    box.fill(f" {task} ")
    box.press("Enter")
    tab.page.get_by_text(
        "The file was downloaded, and the generation was never marked as delivered."
    ).first.wait_for()
    tab.button("Fetch it now").dblclick()
    picture = tab.delivered()
    until(lambda: picture.evaluate("picture => picture.naturalWidth") > 0, "the picture is shown")
    tab.page.get_by_text("It was delivered and the file is there.").wait_for()
    tab.page.get_by_text("Before the click: The file was downloaded").wait_for()
    asked = "SELECT count(*) FROM delivery_events WHERE kind = 'sync_requested'"
    assert tab.product.rows(asked) == [(1,)]
    assert "q=" in tab.page.url
    assert task in tab.page.url
    tab.settle()
    tab.page.reload()
    tab.delivered()
    expect(tab.page.locator(".so-rule")).to_have_text("all-well")
    phone = open_tab(width=390, height=844)
    phone.open(tab.page.url.removeprefix(tab.product.url))
    phone.delivered()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
