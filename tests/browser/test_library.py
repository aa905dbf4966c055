"""The LoRA library in the browser: found by half a name, opened by link, rated, reported, hidden, gone."""

import time
import uuid

import httpx
import jwt
import pytest
from playwright.sync_api import expect

from tests.browser.browsers import PATIENCE_S
from tests.browser.conftest import JWT_SECRET, OpenTab, Product, Tab
from tests.browser.test_looks import LOW_CONTRAST, no_sideways_scroll
from tests.browser.test_training import launch


@pytest.fixture(autouse=True)
def quick(product: Product) -> None:
    product.faults()
    product.pace(training_seconds=1.0, lora_image_seconds=0.2)


def somebody_else(product: Product) -> httpx.Client:
    """Another user, who knows the API alone."""
    claims = {"sub": str(uuid.uuid4()), "aud": "authenticated", "exp": time.time() + 600}
    bearer = f"Bearer {jwt.encode(claims, JWT_SECRET, 'HS256')}"
    return httpx.Client(base_url=product.url, headers={"Authorization": bearer}, timeout=30)


def trained(tab: Tab, name: str) -> str:
    """A LoRA that was trained here and approved; its id."""
    run_id = launch(tab, name)
    tab.button("Approve all three").click(timeout=PATIENCE_S * 1000)
    expect(tab.page.locator(".so-pill", has_text="Completed")).to_be_visible(timeout=PATIENCE_S * 1000)
    [(lora_id,)] = tab.product.rows(f"SELECT lora_model_id FROM lora_training_jobs WHERE id = '{run_id}'")
    return str(lora_id)


def said(tab: Tab, text: str) -> None:
    expect(tab.page.locator(".so-notice", has_text=text)).to_be_visible()
    tab.settle()


def test_a_lora_is_found_judged_and_hidden(open_tab: OpenTab) -> None:
    tab = open_tab()
    name = f"Lighthouse keeper {uuid.uuid4().hex[:6]}"
    lora_id = trained(tab, name)
    tab.open("/lora_library")
    search = tab.page.get_by_role("textbox", name="Search")
    search.fill(name[:8].lower())
    search.press("Enter")
    expect(tab.page.get_by_text("for “lighthou”")).to_be_visible()
    tab.settle()
    assert "search=lighthou" in tab.page.url
    picture = tab.page.locator(".so-lora-card img").first
    assert picture.evaluate("img => img.decode().then(() => img.naturalWidth > 0)")
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.page.locator(".so-lora-card").filter(has_text=name).click()
    expect(tab.page.locator("h1", has_text=name)).to_be_visible()
    link = tab.page.url.removeprefix(tab.product.url)
    assert f"lora={lora_id}" in link

    reader = open_tab()
    reader.open(f"/lora_library?lora={lora_id}")
    expect(reader.page.locator("h1", has_text=name)).to_be_visible()
    expect(reader.page.get_by_text("3 of 3 show the character")).to_be_visible()
    assert reader.evaluate(LOW_CONTRAST) == []
    with reader.page.expect_download() as download:
        reader.page.get_by_role("link", name="Download").click()
    assert download.value.path().stat().st_size > 1_000

    reader.page.locator("[data-testid=stFeedback] button").nth(3).click()
    said(reader, "You gave it 4 of 5.")
    reader.button("Report").click()
    reader.page.get_by_role("textbox", name="More, if it helps").fill("It is my aunt.")
    reader.button("Report it").click()
    said(reader, "Reported.")
    with somebody_else(tab.product) as other:
        seen = other.get("/api/v1/lora-models", params={"search": name}).json()
        assert [(one["id"], one["rating"]["average"]) for one in seen["lora_models"]] == [(lora_id, 4.0)]
        tab.open("/lora_library")
        expect(tab.page.get_by_text("It is my aunt.")).to_be_visible()
        tab.page.locator(f".st-key-so-queue-open-{lora_id} button").click()
        tab.settle()
        tab.button("Hide").click()
        tab.page.get_by_role("textbox", name="Why? It stands in the audit log.").fill("She did not agree")
        tab.page.locator(".st-key-so-do-hide button").click()
        expect(tab.page.get_by_text("Hidden by Local operator")).to_be_visible()
        assert other.get("/api/v1/lora-models", params={"search": name}).json()["total"] == 0
        assert other.get(f"/api/v1/lora-models/{lora_id}").status_code == 404
    tab.open("/lora_library")
    expect(tab.page.get_by_text("It is my aunt.")).to_have_count(0)


def test_a_new_version_begins_with_the_images_of_the_old_one(open_tab: OpenTab) -> None:
    tab = open_tab()
    name = f"Version {uuid.uuid4().hex[:6]}"
    lora_id = trained(tab, name)
    tab.open(f"/lora_library?lora={lora_id}")
    tab.button("Train a new version").click()
    tab.page.wait_for_url("**/launch_training?**")
    expect(tab.page.locator("[class*=st-key-so-image-]")).to_have_count(5)
    expect(tab.page.get_by_role("textbox", name="Name")).to_have_value(f"{name} 2")
    tab.settle()
    tab.button("Launch for").click()
    tab.page.wait_for_url("**/training_runs?run=*")
    tab.open(f"/lora_library?lora={lora_id}")
    expect(tab.page.get_by_text("Versions of this character")).to_be_visible()
    expect(tab.page.get_by_role("link", name=f"{name} 2")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_the_library_on_a_phone(open_tab: OpenTab, dark: bool) -> None:
    tab = open_tab(width=390, height=844, dark=dark)
    known = tab.product.rows("SELECT id FROM lora_models ORDER BY created_at DESC LIMIT 1")
    paths = ["/lora_library", "/lora_library?view=Table", "/lora_library?search=zebra"]
    for path in [*paths, *(f"/lora_library?lora={lora_id}" for (lora_id,) in known)]:
        tab.open(path)
        assert (path, tab.evaluate(LOW_CONTRAST)) == (path, [])
        assert (path, no_sideways_scroll(tab)) == (path, True)
