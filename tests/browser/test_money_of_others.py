"""Money in the browser as product staff see it: all of it, and nothing that changes it."""

from playwright.sync_api import Browser, expect

from core import database
from tests.browser.conftest import AS_PRODUCT_STAFF, PATIENCE_S, started, tabs
from tests.browser.test_training import draft
from tests.journeys.mailbox import Received
from tests.pages import money


def test_product_staff_are_refused_at_200_and_cannot_override(browser: Browser, mailbox: Received) -> None:
    with started(mailbox, AS_PRODUCT_STAFF) as product, tabs(browser, product) as open_tab:
        database.connect(product.database_url)
        money.spend("199")
        database.close()
        tab = open_tab()
        draft(tab, "Mia", 4)
        refusal = tab.page.get_by_text("of the trainings budget, and $1.00 is left").first
        expect(refusal).to_be_visible(timeout=PATIENCE_S * 1000)
        expect(tab.button("Launch for $2.11")).to_be_disabled()
        tab.open("/budget")
        expect(tab.page.get_by_text("$199.00").first).to_be_visible()
        for name in ("Override", "Limit"):
            expect(tab.button(name)).to_be_disabled()
        tab.button("Override").hover(force=True)
        expect(tab.page.get_by_text("Your role does not change budgets. Ask operations.")).to_be_visible()
        tab.button("Prices").click()
        expect(tab.page.get_by_text("Where the price comes from")).to_have_count(0)
        assert product.rows("SELECT count(*) FROM budget_overrides") == [(0,)]
        assert product.rows("SELECT count(*) FROM lora_training_jobs") == [(0,)]
