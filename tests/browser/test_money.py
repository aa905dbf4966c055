"""Money in the browser: $150 is crossed and told once, seen by a note, and the limit is overridden."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import expect

from core import database
from tests.browser.browsers import PATIENCE_S
from tests.browser.conftest import OpenTab, Product, Tab, until
from tests.browser.test_looks import LOW_CONTRAST, no_sideways_scroll
from tests.browser.test_training import draft, launch
from tests.database import ledger
from tests.journeys.mailbox import Received
from tests.pages import money

BESIDE_ALERTS = """
() => getComputedStyle(
  document.querySelector('[data-testid=stSidebarNavLink][href$="/alerts"]'), '::after'
).content
"""


@pytest.fixture(autouse=True)
def a_month(product: Product) -> Iterator[None]:
    """This process writes into the product's ledger, which is empty before and after."""
    product.faults()
    product.pace(training_seconds=1.0, lora_image_seconds=0.2)
    database.connect(product.database_url)
    _forget(product)
    yield
    _forget(product)
    database.close()


def _forget(product: Product) -> None:
    with psycopg.connect(product.database_url, autocommit=True) as connection:
        ledger.empty(connection.execute)
        connection.execute("DELETE FROM alerts; DELETE FROM notifications")


def alerts_of(product: Product, kind: str) -> int:
    return int(product.rows(f"SELECT count(*) FROM alerts WHERE kind = '{kind}'")[0][0])


def fill(tab: Tab, label: str, text: str) -> None:
    field = tab.page.get_by_role("textbox", name=label)
    field.fill(text)
    field.press("Tab")
    tab.settle()


def test_150_is_crossed_told_once_and_seen(open_tab: OpenTab, product: Product, mailbox: Received) -> None:
    tab = open_tab()
    money.spend("149")
    until(lambda: alerts_of(product, "budget_half") == 1, "half of the budget is noticed")
    assert alerts_of(product, "budget_alert") == 0
    launch(tab, "Eve")
    until(lambda: alerts_of(product, "budget_alert") == 1, "$150 is noticed")
    until(lambda: any("$150.00" in subject for subject in mailbox.subjects), "the mail arrives")
    tab.open("/budget")
    [(waiting,)] = product.rows("SELECT count(*) FROM alerts WHERE resolved_at IS NULL")
    until(lambda: tab.evaluate(BESIDE_ALERTS) == f'"{waiting}"', "their number stands in the sidebar")
    phone = open_tab(width=390, height=844)
    phone.open("/alerts")
    card = phone.page.locator("[class*=st-key-so-alert-]", has_text="have cost $150.00").first
    card.wait_for()
    assert no_sideways_scroll(phone)
    assert phone.evaluate(LOW_CONTRAST) == []
    box = card.get_by_role("button", name="Seen", exact=False).bounding_box()
    assert box is not None
    assert box["height"] >= 36
    card.get_by_role("button", name="Seen").tap()
    note = phone.page.get_by_role("textbox", name="Note")
    note.fill("fal knows")
    note.press("Tab")
    phone.settle()
    phone.page.get_by_role("button", name="I have seen it").tap()
    expect(phone.page.get_by_text("have cost $150.00")).to_have_count(0)
    phone.page.get_by_text("Seen to", exact=True).tap()
    expect(phone.page.get_by_text("“fal knows”")).to_be_visible(timeout=PATIENCE_S * 1000)
    assert alerts_of(product, "budget_alert") == 1
    assert sum("$150.00" in subject for subject in mailbox.subjects) == 1


def test_at_200_a_launch_is_refused_until_operations_override(open_tab: OpenTab, product: Product) -> None:
    money.spend("199")
    tab = open_tab()
    draft(tab, "Fay", 4)
    refusal = tab.page.get_by_text("of the trainings budget, and $1.00 is left").first
    expect(refusal).to_be_visible(timeout=PATIENCE_S * 1000)
    expect(tab.button("Launch for $2.11")).to_be_disabled()
    tab.open("/budget")
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.button("Override").click()
    fill(tab, "How much more, in dollars", "5")
    fill(tab, "Why? It stands in the audit log.", "the campaign of Friday")
    tab.page.get_by_role("button", name="Allow it").dblclick()
    expect(tab.page.get_by_text("$5.00 of it by override")).to_be_visible(timeout=PATIENCE_S * 1000)
    assert product.rows("SELECT count(*), sum(amount_usd) FROM budget_overrides") == [(1, 5)]
    launch(tab, "Gus")
    tab.open("/budget?kind=reserve")
    expect(tab.page.get_by_text("by override")).to_be_visible(timeout=PATIENCE_S * 1000)
    phone = open_tab(width=390, height=844, dark=True)
    phone.open("/budget")
    assert no_sideways_scroll(phone)
    assert phone.evaluate(LOW_CONTRAST) == []
