"""The sign-in provider fails while somebody signs in: our page says it, and leads back."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page

from core.providers.oidc import WELL_KNOWN
from tests.browser.browsers import Browsers
from tests.browser.provider import CLIENT_SECRET, SESSION_SECRET, Company, company
from tests.browser.test_signing_in import comes_in, sign_in
from tests.conftest import free_port
from tests.database.reused import Reused
from tests.unit.moody_provider import Moody, moody

ASKED_FOR = "/debug_sync?task=abc%20d"


@pytest.fixture(scope="module")
def provider() -> Iterator[Moody]:
    with moody() as found:
        yield found


@pytest.fixture(scope="module")
def studio(provider: Moody, databases: Reused) -> Iterator[Company]:
    with company(databases, OIDC_METADATA_URL=provider.metadata_url) as found:
        found.provider.knows("ada", email="ada@studio.example", email_verified=True, name="Ada")
        yield found


@pytest.fixture
def page(browsers: Browsers, provider: Moody, studio: Company) -> Iterator[Page]:
    provider.says(**metadata(studio))
    context = browsers.take()
    yield context.pages[0]
    browsers.give_back(context, studio.url)


def metadata(studio: Company) -> dict[str, str]:
    """What the provider says of itself."""
    said = httpx.get(studio.provider.url + WELL_KNOWN).json()
    return {key: value for key, value in said.items() if isinstance(value, str)}


def press_sign_in(page: Page, studio: Company) -> None:
    page.goto(studio.url + ASKED_FOR)
    page.get_by_role("button", name="Sign in").click()


def failed_with(page: Page, studio: Company, said: str) -> None:
    """Our page stands there with this sentence, without a secret, and the log knows its id."""
    page.get_by_role("heading", name="You could not be signed in").wait_for()
    text = page.locator("main").inner_text()
    assert said in text
    logged = studio.said.read_text(errors="replace")
    lines = [line for line in logged.splitlines() if page.locator("code").inner_text() in line]
    assert [line for line in lines if '"event": "sign_in.failed"' in line]
    for secret in (CLIENT_SECRET, SESSION_SECRET):
        assert secret not in page.content() + logged
    assert not re.search("Traceback|httpx", page.content())


def test_a_provider_that_is_down_is_said_and_tried_again(
    page: Page, studio: Company, provider: Moody
) -> None:
    provider.fails(503, "down")
    press_sign_in(page, studio)
    failed_with(page, studio, "where people sign in, has a fault of its own. Try again in a minute")
    provider.says(**metadata(studio))
    page.get_by_role("link", name="Try again").click()
    page.wait_for_url(studio.url + ASKED_FOR)
    sign_in(page, studio, "ada", ASKED_FOR)
    comes_in(page, "Debug & sync")
    assert page.url == studio.url + ASKED_FOR


def test_a_provider_that_says_nothing(page: Page, studio: Company, provider: Moody) -> None:
    provider.silent = True
    press_sign_in(page, studio)
    failed_with(page, studio, "where people sign in, does not answer in time")


def test_a_provider_that_goes_away_before_it_has_confirmed_who_it_is(
    page: Page, studio: Company, provider: Moody
) -> None:
    press_sign_in(page, studio)
    page.get_by_placeholder("sub").fill("ada")
    provider.says(**metadata(studio) | {"token_endpoint": f"http://127.0.0.1:{free_port()}/token"})
    page.get_by_role("button", name="Authorize", exact=True).click()
    failed_with(page, studio, "did not confirm who you are")
    provider.says(**metadata(studio))
    page.get_by_role("link", name="Try again").click()
    page.wait_for_url(studio.url + ASKED_FOR)
    page.get_by_role("button", name="Sign in").wait_for()
