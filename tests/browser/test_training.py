"""Training in the browser: launched once with eight images, watched, judged; cancelled; resumed."""

import json
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import expect

from tests.browser.browsers import PATIENCE_S
from tests.browser.conftest import OpenTab, Product, Tab, until
from tests.browser.test_looks import LOW_CONTRAST, no_sideways_scroll
from tests.unit.photographs import jpeg


@pytest.fixture(autouse=True)
def quick(product: Product) -> None:
    product.faults()
    product.pace(training_seconds=1.0, lora_image_seconds=0.2)


def fill(tab: Tab, label: str, text: str) -> None:
    field = tab.page.get_by_role("textbox", name=label)
    field.fill(text)
    field.press("Tab")
    tab.settle()


def draft(tab: Tab, name: str, images: int) -> None:
    """The form, filled in, with so many images judged."""
    tab.open("/launch_training")
    files: list[Any] = [
        {"name": f"{name}-{n}.jpg", "mimeType": "image/jpeg", "buffer": jpeg(n + 1, 512, 512)}
        for n in range(images)
    ]
    tab.page.locator("input[type=file]").set_input_files(files)
    tab.page.get_by_text("Contact sheet").wait_for()
    expect(tab.page.locator("[class*=st-key-so-image-]")).to_have_count(images)
    tab.settle()
    fill(tab, "Name", name)
    fill(tab, "Trigger word", "ada_v1")


def launch(tab: Tab, name: str, images: int = 5) -> str:
    """Launch it; the run's id."""
    draft(tab, name, images)
    tab.button("Launch for $2.11").dblclick()
    tab.page.wait_for_url("**/training_runs?run=*")
    tab.page.locator(".so-stages").wait_for()
    return tab.page.url.rpartition("=")[2]


def state_of(tab: Tab, run_id: str) -> str:
    [(state,)] = tab.product.rows(f"SELECT state FROM lora_training_jobs WHERE id = '{run_id}'")
    return str(state)


def test_a_person_launches_watches_and_approves(open_tab: OpenTab) -> None:
    tab = open_tab()
    draft(tab, "Ada", 8)
    tab.page.reload()
    expect(tab.page.locator("[class*=st-key-so-image-]")).to_have_count(8)
    expect(tab.page.get_by_role("textbox", name="Name")).to_have_value("Ada")
    assert tab.evaluate(LOW_CONTRAST) == []
    before = tab.product.rows("SELECT count(*) FROM lora_training_jobs")[0][0]
    tab.button("Launch for $2.11").dblclick()
    tab.page.wait_for_url("**/training_runs?run=*")
    run_id = tab.page.url.rpartition("=")[2]
    expect(tab.page.locator(".so-references .so-thumb")).to_have_count(8)
    pictures = tab.page.locator("[class*=st-key-so-picture-] img")
    expect(pictures).to_have_count(3, timeout=PATIENCE_S * 1000)
    until(lambda: bool(pictures.first.evaluate("img => img.complete && img.naturalWidth > 0")), "they load")
    assert tab.product.rows("SELECT count(*) FROM lora_training_jobs") == [(before + 1,)]
    phone = open_tab(width=390, height=844, dark=True)
    for path in (tab.page.url.removeprefix(tab.product.url), "/training_runs", "/launch_training"):
        phone.open(path)
        assert (path, phone.evaluate(LOW_CONTRAST)) == (path, [])
        assert (path, no_sideways_scroll(phone)) == (path, True)
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.button("Shows the character").click()
    tab.button("Approve the other two").click()
    expect(tab.page.locator(".so-pill", has_text="Completed")).to_be_visible(timeout=PATIENCE_S * 1000)
    assert state_of(tab, run_id) == "completed"
    tab.page.get_by_role("link", name="Training runs").click()
    tab.page.get_by_text("All runs").wait_for()
    assert tab.page.locator(".so-welcome").count() == 0


def test_a_refresh_closes_nothing_and_a_cancel_wants_a_reason(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.product.pace(training_seconds=60.0)
    run_id = launch(tab, "Bo")
    tab.button("Cancel").click()
    why = tab.page.get_by_role("textbox", name="Why?")
    why.press_sequentially("the wrong per")
    training = tab.page.locator(".so-stages li", has_text="Training").locator("span").last
    first = training.inner_text()
    until(lambda: training.inner_text() != first, "it refreshes")
    assert why.input_value() == "the wrong per"
    why.press_sequentially("son")
    why.press("Tab")
    tab.button("Cancel this training").click()
    expect(tab.page.locator(".so-pill", has_text="Cancelled")).to_be_visible(timeout=PATIENCE_S * 1000)
    assert state_of(tab, run_id) == "cancelled"


def test_a_failed_stage_is_resumed_without_training_again(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.product.faults(validation_image_fails=True)
    run_id = launch(tab, "Cy")
    retry = tab.button("Retry from: Test images")
    retry.wait_for(timeout=PATIENCE_S * 1000)
    expect(tab.page.locator(".so-pill", has_text="Failed")).to_be_visible()
    tab.product.faults()
    retry.click()
    tab.button("Approve all three").click(timeout=PATIENCE_S * 1000)
    expect(tab.page.locator(".so-pill", has_text="Completed")).to_be_visible(timeout=PATIENCE_S * 1000)
    trained = "SELECT count(*) FROM training_calls WHERE purpose = 'training' AND run_id = "
    assert tab.product.rows(f"{trained}'{run_id}'") == [(1,)]


def test_three_images_are_filled_up_with_two_that_are_generated(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.product.pace(image_seconds=1.0)
    draft(tab, "Di", 3)
    fill(tab, "Description", "A lighthouse keeper of forty with short grey hair")
    tab.button("Generate 2").dblclick()
    expect(tab.page.locator("[class*=st-key-so-drawing-]")).to_have_count(2)
    cards = tab.page.locator("[class*=st-key-so-image-]")
    expect(cards).to_have_count(5, timeout=PATIENCE_S * 1000)
    expect(tab.page.get_by_role("textbox", name="Name")).to_have_value("Di")
    tab.settle()
    assert tab.evaluate(LOW_CONTRAST) == []
    phone = open_tab(width=390, height=844, dark=True)
    phone.open(tab.page.url.removeprefix(tab.product.url))
    assert phone.evaluate(LOW_CONTRAST) == []
    assert no_sideways_scroll(phone)
    tab.button("Approve both").click()
    expect(tab.page.locator(".so-pill", has_text="To approve")).to_have_count(0)
    tab.button("Launch for $2.11").dblclick()
    tab.page.wait_for_url("**/training_runs?run=*")
    run_id = tab.page.url.rpartition("=")[2]
    assert tab.product.rows(f"SELECT images FROM lora_training_jobs WHERE id = '{run_id}'") == [(5,)]
    assert tab.product.rows(
        "SELECT count(*), sum(cost_usd) FROM training_drawings WHERE state = 'succeeded'"
    ) == [(2, tab.product.rows("SELECT 0.05::numeric(12, 4)")[0][0])]


def job_of(tab: Tab, **counts: int) -> str:
    """A job of the company's application whose references lie at KIE; its id."""
    task = {
        "model": "flux-2/pro-text-to-image",
        "input": {"prompt": "a portrait", "aspect_ratio": "1:1", "resolution": "1K"},
        "age_seconds": 5,
        "ends_in_seconds": -1,
    }
    url = f"{tab.product.sandbox_url}/_sandbox/tasks"
    listed = []
    for name, count in counts.items():
        planted = httpx.post(url, json={"tasks": [task] * count}, headers={"X-Sandbox": "1"}).json()["tasks"]
        listed += [{"character_id": name, "image_url": one["resultUrls"][0]} for one in planted]
    job_id = str(uuid.uuid4())
    with psycopg.connect(tab.product.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS reference_images jsonb")
        connection.execute(
            "INSERT INTO jobs (id, reference_images) VALUES (%s, %s)",
            (job_id, json.dumps({"character_references": listed})),
        )
    return job_id


def test_the_characters_of_a_job_are_launched_in_one_click(open_tab: OpenTab) -> None:
    tab = open_tab()
    job_of(tab, mara=4, tom=5, una=2)
    tab.open("/launch_training")
    tab.page.get_by_text("An earlier job", exact=True).click()
    tab.button("Use").click()
    expect(tab.page.locator("[class*=st-key-so-image-]")).to_have_count(9, timeout=PATIENCE_S * 1000)
    tab.settle()
    fill(tab, "Name of the set", "Heist")
    fill(tab, "Trigger word", "heist")
    assert tab.evaluate(LOW_CONTRAST) == []
    tab.page.reload()
    tab.page.get_by_text("una is skipped: it has 2 images").wait_for()
    phone = open_tab(width=390, height=844, dark=True)
    phone.open(tab.page.url.removeprefix(tab.product.url))
    assert phone.evaluate(LOW_CONTRAST) == []
    assert no_sideways_scroll(phone)
    tab.button("Launch 2 trainings for $4.21").dblclick()
    expect(tab.page.get_by_text("These images have been launched")).to_have_count(2)
    expect(tab.page.get_by_text("una is skipped: it has 2 images")).to_be_visible()
    names = tab.product.rows("SELECT name FROM lora_models WHERE name LIKE 'Heist%' ORDER BY name")
    assert names == [("Heist · mara",), ("Heist · tom",)]
