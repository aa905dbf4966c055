"""A page of the product open in Chromium while something else is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
OPENS_WITHIN_MS = 60_000


@contextmanager
def open_page(url: str) -> Iterator[Page]:
    """The page, drawn; what it refreshes goes on by itself."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page()
        page.goto(url, timeout=OPENS_WITHIN_MS)
        settled(page)
        yield page
        browser.close()


def settled(page: Page) -> None:
    """Wait until the page is drawn."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=OPENS_WITHIN_MS)


def hold_still(page: Page) -> None:
    """Switch off the Overview's own refreshing."""
    page.get_by_text("Refresh by itself").click()
    expect(page.get_by_text("paused")).to_be_visible(timeout=OPENS_WITHIN_MS)
    settled(page)
