"""Money in the browser as product staff see it, signed in: all of it, and nothing that changes it."""

from playwright.sync_api import expect

from core import database
from tests.browser.browsers import PATIENCE_S, Browsers
from tests.browser.conftest import Tab, listen
from tests.browser.provider import company
from tests.browser.test_signing_in import comes_in, sign_in
from tests.browser.test_training import draft
from tests.conftest import SANDBOX_KEY, free_port
from tests.database.reused import Reused
from tests.pages import money


def test_product_staff_are_refused_at_200_and_cannot_override(browsers: Browsers, databases: Reused) -> None:
    # Nothing is launched, so nobody has to answer at fal's address.
    trainer = {"FAL_KEY": SANDBOX_KEY, "FAL_QUEUE_URL": f"http://127.0.0.1:{free_port()}/fal"}
    with company(databases, **trainer) as studio:
        studio.employ("mia@studio.example", "product")
        database.connect(studio.database_url)
        money.spend("199")
        database.close()
        context = browsers.take()
        tab = Tab(context.pages[0], studio.product)
        sign_in(tab.page, studio, "mia", "/launch_training")
        comes_in(tab.page, "Launch training")
        listen_no_more = listen(tab)
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
        assert studio.rows("SELECT count(*) FROM budget_overrides") == [(0,)]
        assert studio.rows("SELECT count(*) FROM lora_training_jobs") == [(0,)]
        listen_no_more()
        browsers.give_back(context, studio.url)
        assert tab.faults == []
