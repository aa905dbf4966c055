"""People sign in at a real provider, and come in only as long and as far as they may."""

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Cookie, Page

from core.standing import KEPT_S
from pages.components.sign_in import LOOK_EVERY_S
from tests.browser.browsers import Browsers, Kind
from tests.browser.conftest import until
from tests.browser.provider import CLIENT_SECRET, SESSION_SECRET, Company, company
from tests.database.reused import Reused

IDLE = "UPDATE staff_sessions SET seen_at = now() - interval '61 minutes' WHERE email = %s"
LOGIN = "_streamlit_user"
WITH_CLOCK = Kind(clock=True)
_addresses = itertools.count(1)
OpenBrowser = Callable[[], BrowserContext]


@pytest.fixture(scope="module")
def studio(databases: Reused) -> Iterator[Company]:
    with company(databases) as found:
        found.provider.knows("ada", email="Ada@studio.example", email_verified=True, name="Ada")
        yield found


@pytest.fixture(scope="module")
def with_clocks(browsers: Browsers) -> Iterator[Browsers]:
    """Browsers in whose pages time may be made to pass."""
    yield browsers
    browsers.close(WITH_CLOCK)


@pytest.fixture
def open_browser(with_clocks: Browsers, studio: Company) -> Iterator[OpenBrowser]:
    """Opens browsers of different people, each at an address of its own: attempts are counted by address."""
    opened: list[BrowserContext] = []

    def one() -> BrowserContext:
        opened.append(with_clocks.take(WITH_CLOCK))
        opened[-1].set_extra_http_headers({"X-Forwarded-For": f"192.0.2.{next(_addresses)}"})
        return opened[-1]

    yield one
    for context in opened:
        with_clocks.give_back(context, studio.url, WITH_CLOCK)


def sign_in(page: Page, studio: Company, subject: str, path: str = "/") -> None:
    """From the product's door through the provider and back."""
    page.goto(studio.url + path)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{studio.provider.url}/**")
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize", exact=True).click()
    page.wait_for_url(f"{studio.url}/**")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def comes_in(page: Page, title: str = "Overview") -> None:
    page.get_by_role("heading", name=title, level=1).wait_for()


def says(page: Page, sentence: str) -> None:
    page.get_by_text(sentence).first.wait_for()


def passes_until(page: Page, come: Callable[[], bool], what: str) -> None:
    """Let a second be as long as two refreshes for the page, which nobody touches, until it has `come`."""
    due = time.monotonic()

    def looked() -> bool:
        nonlocal due
        if time.monotonic() >= due:
            page.clock.fast_forward(LOOK_EVERY_S * 1000)
            due = time.monotonic() + 0.5
        return come()

    until(looked, what)


def says_by_itself(page: Page, sentence: str) -> None:
    """Nobody touches the page, and it says so."""
    passes_until(page, page.get_by_text(sentence).first.is_visible, sentence)


def login_cookies(context: BrowserContext) -> list[Cookie]:
    return [cookie for cookie in context.cookies() if cookie["name"].startswith(LOGIN)]


def test_the_first_admin_comes_in_to_the_page_that_was_asked_for(
    studio: Company, open_browser: OpenBrowser
) -> None:
    context = open_browser()
    [page] = context.pages
    sign_in(page, studio, "ada", "/debug_sync?task=abc%20d")
    comes_in(page, "Debug & sync")
    assert urlsplit(page.url)[2:4] == ("/debug_sync", "task=abc%20d")
    says(page, "ada@studio.example")
    assert studio.rows("SELECT roles, added_by FROM staff WHERE email = 'ada@studio.example'") == [
        (["admin"], "the setting FIRST_ADMIN")
    ]
    [cookie] = [cookie for cookie in login_cookies(context) if cookie["name"] == LOGIN]
    issued = page.evaluate("Date.now() / 1000")
    assert 0 < cookie["expires"] - issued <= 8 * 3600
    assert cookie["httpOnly"]
    assert not [cookie for cookie in context.cookies() if cookie["name"] == "studio_ops_return"]


def test_a_filter_of_the_address_survives_the_sign_in(studio: Company, open_browser: OpenBrowser) -> None:
    studio.employ("bo@studio.example", "viewer")
    page = open_browser().pages[0]
    sign_in(page, studio, "bo", "/delivery_health?window=7d")
    comes_in(page, "Delivery health")
    assert page.url == f"{studio.url}/delivery_health?window=7d"
    assert page.get_by_role("link", name="Debug & sync").count() == 0


def test_signing_out_ends_every_tab_and_every_machine(studio: Company, open_browser: OpenBrowser) -> None:
    studio.employ("cy@studio.example", "support")
    here, elsewhere = open_browser(), open_browser()
    page, other_tab, other_machine = here.pages[0], here.new_page(), elsewhere.pages[0]
    sign_in(page, studio, "cy")
    comes_in(page)
    other_tab.goto(f"{studio.url}/alerts")
    comes_in(other_tab, "Alerts")
    sign_in(other_machine, studio, "cy")
    comes_in(other_machine)
    copied = login_cookies(here)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{studio.provider.url}/**")
    page.get_by_role("button", name="End session").click()
    page.wait_for_url(f"{studio.url}/**")
    says(page, "Sign in with your work account to go on.")
    for tab in (other_tab, other_machine):
        says_by_itself(tab, "You have signed out. Sign in again to go on.")
        tab.locator(".so-title").wait_for(state="detached")
        tab.get_by_role("button", name="Sign in again").wait_for()
    thief = open_browser()
    thief.add_cookies([{**cookie} for cookie in copied])  # type: ignore[typeddict-item]
    [stolen] = thief.pages
    stolen.goto(studio.url)
    says(stolen, "You have signed out. Sign in again to go on.")
    sign_in(page, studio, "cy")
    comes_in(page)
    stolen.reload()
    says(stolen, "You have signed out. Sign in again to go on.")
    open_ones = "SELECT count(*) FROM staff_sessions WHERE email = 'cy@studio.example' AND ended_at IS NULL"
    assert studio.rows(open_ones) == [(1,)]


def test_streamlits_own_way_out_ends_every_sign_in_too(studio: Company, open_browser: OpenBrowser) -> None:
    studio.employ("max@studio.example", "support")
    here, elsewhere = open_browser(), open_browser()
    page, other_machine = here.pages[0], elsewhere.pages[0]
    for one in (page, other_machine):
        sign_in(one, studio, "max")
        comes_in(one)
    page.goto(f"{studio.url}/auth/logout")
    page.get_by_role("button", name="End session").wait_for()
    assert login_cookies(here) == []
    says_by_itself(other_machine, "You have signed out. Sign in again to go on.")
    ended = "SELECT ended_by, ended_why FROM staff_sessions WHERE email = 'max@studio.example'"
    assert studio.rows(ended) == [("Max", "signed_out")] * 2
    audited = (
        "SELECT actor_id, object_id, after, source FROM audit_log"
        " WHERE action = 'staff.sign_out' AND object_id = 'max@studio.example'"
    )
    line = ("max@studio.example", "max@studio.example", {"sign_ins_ended": 2}, "page")
    assert studio.rows(audited) == [line]
    other_machine.goto(f"{studio.url}/auth/logout")
    other_machine.get_by_role("button", name="End session").wait_for()
    assert studio.rows(audited) == [line]


@pytest.mark.parametrize(
    ("subject", "claims", "sentence"),
    [
        (
            "dan",
            {"email": "dan@studio.example", "email_verified": True},
            "dan@studio.example is not on the list of people here. Ask ada@studio.example to add you.",
        ),
        (
            "eve",
            {"email": "ada@studio.example", "email_verified": False},
            "has not verified that ada@studio.example is yours",
        ),
        ("fay", {"email": "ada@studio.example"}, "has not verified that ada@studio.example is yours"),
        ("gus", {"name": "Gus"}, "gave no mail address"),
        (
            "hal",
            {"email": "ada@elsewhere.example", "email_verified": True},
            "ada@elsewhere.example is not an address of the company",
        ),
    ],
    ids=["unknown", "unverified", "says nothing", "no address", "another domain"],
)
def test_others_stay_outside_and_read_why(
    studio: Company, open_browser: OpenBrowser, subject: str, claims: dict[str, object], sentence: str
) -> None:
    studio.employ("ada@studio.example", "admin")
    studio.provider.knows(subject, **claims)
    page = open_browser().pages[0]
    sign_in(page, studio, subject)
    says(page, sentence)
    assert page.locator(".so-title").count() == 0
    assert page.get_by_role("link", name="Overview").count() == 0
    assert page.get_by_role("button", name="Sign in again").is_visible()


def test_a_role_taken_while_a_dialog_is_open_is_refused_in_it(
    studio: Company, open_browser: OpenBrowser
) -> None:
    studio.employ("ira@studio.example", "operations")
    page = open_browser().pages[0]
    sign_in(page, studio, "ira", "/budget")
    comes_in(page, "Budget")
    page.get_by_role("button", name="Override").first.click()
    page.get_by_label("How much more, in dollars").fill("20")
    studio.rows("UPDATE staff SET roles = '{viewer}' WHERE email = 'ira@studio.example'")
    page.wait_for_timeout(1_000 * (KEPT_S + 0.2))
    page.get_by_label("Why? It stands in the audit log.").fill("More is needed")
    page.get_by_role("button", name="Allow it").click()
    says(page, "may not change budgets, prices or the ledger")
    assert studio.rows("SELECT count(*) FROM budget_overrides") == [(0,)]


def test_an_admin_ends_a_sign_in(studio: Company, open_browser: OpenBrowser) -> None:
    studio.employ("jo@studio.example", "viewer")
    page = open_browser().pages[0]
    sign_in(page, studio, "jo")
    comes_in(page)
    studio.rows(
        "UPDATE staff_sessions SET ended_at = now(), ended_by = 'Ada', ended_why = 'ended_by_admin'"
        " WHERE email = 'jo@studio.example'"
    )
    says_by_itself(page, "An admin has ended this sign-in. Sign in again to go on.")
    page.locator(".so-title").wait_for(state="detached")
    assert page.get_by_role("link", name="Overview").count() == 0


def test_who_does_nothing_is_signed_out_however_much_refreshes(
    studio: Company, open_browser: OpenBrowser
) -> None:
    studio.employ("kim@studio.example", "viewer")
    page = open_browser().pages[0]
    sign_in(page, studio, "kim", "/alerts")
    comes_in(page, "Alerts")
    studio.rows(IDLE, "kim@studio.example")
    says_by_itself(page, "You were signed out because nothing was done here for a while.")
    page.reload()
    says(page, "You were signed out because nothing was done here for a while.")
    assert page.locator(".so-title").count() == 0


def test_what_a_person_does_keeps_the_sign_in(studio: Company, open_browser: OpenBrowser) -> None:
    studio.employ("lea@studio.example", "viewer")
    page = open_browser().pages[0]
    sign_in(page, studio, "lea", "/alerts")
    comes_in(page, "Alerts")

    def seen() -> datetime:
        """When she last did something, as far as it is told after an hour in which the page refreshes."""
        hour = "UPDATE staff_sessions SET seen_at = now() - interval '59 minutes'"
        [(idle,)] = studio.rows(f"{hour} WHERE email = 'lea@studio.example' RETURNING seen_at")
        said = "SELECT seen_at FROM staff_sessions WHERE email = 'lea@studio.example'"
        passes_until(page, lambda: studio.rows(said) != [(idle,)], "a refresh tells of it")
        [(at,)] = studio.rows(said)
        return at  # type: ignore[no-any-return]

    opened = seen()
    assert seen() == opened
    page.get_by_role("link", name="Overview").click()
    comes_in(page)
    assert seen() > opened


def test_nothing_secret_was_said(studio: Company) -> None:
    said = studio.said.read_text(errors="replace")
    assert "staff.refused" in said
    for secret in (SESSION_SECRET, CLIENT_SECRET, "code=", "eyJ"):
        assert secret not in said, f"{secret} stands in the log"
