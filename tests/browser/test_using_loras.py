"""Using a LoRA in the browser: chosen, its word seen, used, the image seen, the use counted; and tried."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.browsers import PATIENCE_S
from tests.browser.conftest import OpenTab, Product, Tab
from tests.browser.test_library import trained
from tests.browser.test_looks import LOW_CONTRAST, no_sideways_scroll

# A folder for pictures of the pages, for whoever wants to look at them.
SHOTS = os.environ.get("STUDIO_OPS_SHOTS")


@pytest.fixture(autouse=True)
def quick(product: Product) -> None:
    product.faults()
    product.pace(training_seconds=1.0, lora_image_seconds=0.2, image_seconds=0.5, video_seconds=0.5)


def shoot(tab: Tab, name: str) -> None:
    if SHOTS:
        tab.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def test_a_lora_is_chosen_used_and_tried(open_tab: OpenTab) -> None:
    tab = open_tab()
    lora_id = trained(tab, "Keeper of the light")
    tab.open(f"/lora_library?lora={lora_id}")
    tab.page.get_by_role("link", name="Use it").click()
    expect(tab.page.get_by_text("trigger word “")).to_be_visible(timeout=PATIENCE_S * 1000)
    tab.settle()
    [(word,)] = tab.product.rows(f"SELECT trigger_word FROM lora_models WHERE id = '{lora_id}'")
    expect(tab.prompt()).to_have_value(f"{word} ")
    tab.button("Full body").click()
    expect(tab.prompt()).to_have_value(f"full body photo of {word} walking through a city street at dusk")
    tab.settle()
    expect(
        tab.page.get_by_text("First frame with the LoRA $0.07 + FLUX.2 Pro, from images $0.025")
    ).to_be_visible()
    shoot(tab, "chosen")
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.button("Generate for $0.095").dblclick()
    picture = tab.delivered()
    assert picture.evaluate("img => img.decode().then(() => img.naturalWidth > 0)")
    tab.settle()
    shoot(tab, "made")
    made = "SELECT count(*) FILTER (WHERE frame_for IS NULL), count(*) FROM generations"
    assert tab.product.rows(made) == [(1, 2)]
    used = f"SELECT usage_count FROM lora_models WHERE id = '{lora_id}'"
    assert tab.product.rows(used) == [(1,)]
    tab.page.get_by_role("link", name="Keeper of the light").click()
    expect(tab.page.locator(".so-uses li")).to_have_count(1, timeout=PATIENCE_S * 1000)
    tab.settle()
    tab.page.get_by_role("link", name="Try it").click()
    expect(tab.button("Try it: with and without")).to_be_visible(timeout=PATIENCE_S * 1000)
    tab.settle()
    tab.button("Try it: with and without").click()
    both = tab.page.locator(".st-key-so-result img")
    expect(both).to_have_count(2, timeout=PATIENCE_S * 1000)
    tab.settle()
    shoot(tab, "tried")
    seeds = "SELECT count(*), count(DISTINCT input ->> 'seed') FROM generations WHERE input ? 'seed'"
    assert tab.product.rows(seeds) == [(2, 1)]
    assert tab.product.rows(used) == [(2,)]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_choice_looks_right(open_tab: OpenTab, width: int, dark: bool) -> None:
    tab = open_tab(width=width, dark=dark)
    tab.open("/test_generation")
    tab.page.get_by_text("Train a new one").click()
    expect(tab.page.get_by_text("You have used")).to_be_visible(timeout=PATIENCE_S * 1000)
    tab.settle()
    assert no_sideways_scroll(tab)
    assert tab.evaluate(LOW_CONTRAST) == []
    shoot(tab, f"new-{width}-{'dark' if dark else 'light'}")
    tab.page.get_by_text("One of the library").click()
    expect(tab.page.get_by_role("textbox", name="Find a LoRA")).to_be_visible(timeout=PATIENCE_S * 1000)
    tab.settle()
    assert no_sideways_scroll(tab)
    shoot(tab, f"existing-{width}-{'dark' if dark else 'light'}")
