"""Every page in Chromium: nothing breaks its security policy, nothing logs an error, nobody is shut out."""

import os
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from core.machinery.schedule import SCHEDULE
from pages.navigation import PAGES
from tests.browser import keyboard
from tests.browser.browsers import refused_by_policy
from tests.browser.conftest import OpenTab, Product, Tab

# https://github.com/dequelabs/axe-core, as npm carries it; CI sets where it lies.
AXE = Path(os.environ.get("STUDIO_OPS_TEST_AXE", "/nonexistent"))
# Faults of Streamlit 1.67's own widgets, by axe's rule and what it draws them in: not ours to change.
STREAMLITS_OWN: dict[str, tuple[str, ...]] = {
    # Its sidebar has a list whose sections are no items of it; elements of ours have no class of its kind.
    "list": ('<ul data-testid="stSidebarNavItems"',),
    "listitem": ('<li class="st-emotion-cache-',),
}
ADDRESSES = [f"/{'' if n == 0 else entry.url_path}" for n, entry in enumerate(PAGES)]
# Lists with popovers, tiles and lines that are buttons, cards, and a table: each is met by Tab, stop by stop.
WALKED = {"/", "/scheduler", "/delivery_health?state=failed"}
DEEPER = ["/scheduler?job=poll", "/delivery_health?state=failed", "/alerts?show=Past"]
GROUND = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"


@pytest.fixture
def full(open_tab: OpenTab, product: Product) -> OpenTab:
    """Pages with something on them: generations of every end, a failing job, an open alert."""
    product.rows(
        "INSERT INTO generations (prompt, model, kind, status, delivery_state, task_id, failure_category)"
        " SELECT 'a <b>boat</b> & <i>sea ' || state, 'flux-2/pro-text-to-image', 'image', 'failed', state,"
        " 'task_' || state, 'timeout'"
        " FROM unnest(ARRAY['lost', 'failed', 'delivered', 'needs_attention']) state RETURNING id"
    )
    product.rows(
        "INSERT INTO alerts (kind, severity, count) VALUES ('lost_results', 'critical', 1) RETURNING id"
    )
    return open_tab


def test_axe_is_there_where_it_must_be() -> None:
    assert AXE.is_file() or not os.environ.get("CI"), "STUDIO_OPS_TEST_AXE names no axe.min.js"


def is_streamlits(rule: str, node: dict[str, Any]) -> bool:
    """Whether it is one of Streamlit's own faults."""
    where = f"{node['html']} {node['target']}"
    return any(mark in where for mark in STREAMLITS_OWN.get(rule, ()))


@pytest.mark.parametrize("path", [*ADDRESSES, *DEEPER])
def test_a_page_keeps_its_policy_logs_no_error_and_shuts_nobody_out(full: OpenTab, path: str) -> None:
    tab = full()
    tab.open(path)
    assert refused_by_policy(tab.page) == []
    assert tab.faults == []
    assert tab.evaluate(keyboard.ALIKE) == [], "called alike, and leading elsewhere"
    if AXE.is_file():
        tab.evaluate(AXE.read_text())
    shut_out(tab, path)
    light = tab.evaluate(GROUND)
    tab.page.emulate_media(color_scheme="dark")
    tab.page.wait_for_function(f"light => {GROUND} !== light", arg=light)
    shut_out(tab, path)


def shut_out(tab: Tab, path: str) -> None:
    """Nobody is, who hears the page or goes by its keyboard, in this light."""
    if AXE.is_file():
        assert serious(tab) == []
    if path in WALKED:
        stops = keyboard.walk(tab)
        assert [stop.name for stop in stops if "Skip to" in stop.name] == [stops[0].name]
        assert len(stops) > len(PAGES)
        assert keyboard.faults_of(stops) == []


def test_a_popover_is_entered_and_left_by_the_keyboard(full: OpenTab) -> None:
    """Tab goes on within it and then to what follows its button; Escape gives the focus back."""
    tab = full()
    tab.open("/people")
    button = tab.button("Let somebody in")
    within = tab.page.get_by_test_id("stPopoverBody")
    first, last = (
        within.get_by_role("textbox", name="Mail address"),
        within.get_by_role("button", name="Let in"),
    )
    button.focus()
    tab.page.keyboard.press("Enter")
    first.wait_for()
    last.wait_for()
    tab.page.keyboard.press("Tab")
    expect(first).to_be_focused()
    tab.page.keyboard.press("Shift+Tab")
    expect(button).to_be_focused()
    tab.page.keyboard.press("Tab")
    expect(first).to_be_focused()
    last.focus()
    tab.page.keyboard.press("Tab")
    expect(last).not_to_be_focused()
    expect(button).not_to_be_focused()
    assert not tab.evaluate("document.activeElement.closest('[data-testid=stPopoverBody]') !== null")
    button.focus()
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Escape")
    within.wait_for(state="detached")
    expect(button).to_be_focused()


def serious(tab: Tab) -> list[tuple[str, Any, str]]:
    """What axe-core finds on the page as it stands, but Streamlit's own."""
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (fault["id"], node["target"], node["html"][:160])
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
        if not is_streamlits(fault["id"], node)
    ]


def test_an_upload_without_the_pages_own_token_is_refused(product: Product) -> None:
    answer = httpx.put(
        f"{product.url}/_stcore/upload_file/session/file", files={"file": ("a.png", b"x", "image/png")}
    )
    assert answer.status_code in {400, 403}, answer.text


def test_no_secret_stands_in_anything_that_was_written(open_tab: OpenTab) -> None:
    """Of all that was written since the start, by pages, jobs, a generation, every check and refusals."""
    tab = open_tab()
    tab.open("/test_generation")
    tab.button("Test FLUX.2 Pro").click()
    tab.delivered()
    tab.open("/configuration")
    tab.button("Check everything").click()
    tab.page.get_by_text("under way").wait_for(state="detached")
    tab.settle()
    said = [tab.page.content()]
    product = tab.product
    for secret in product.secrets:
        said.append(httpx.post(f"{product.url}/api/kie/callback", params={"secret": secret}, json={}).text)
        said.append(httpx.get(f"{product.url}/metrics", headers={"X-API-Key": secret}).text)
    logs = [path for path in (product.folder / "logs").rglob("*") if path.is_file()]
    logs.append(product.folder.parent / "said.log")
    written = [path.read_text(errors="replace") for path in logs]
    assert sum(map(len, written)) > 1_000
    tables = product.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    every_row = "SELECT to_jsonb(t)::text FROM public.{} t"
    rows = [str(row) for (table,) in tables for (row,) in product.rows(every_row.format(table))]
    assert len(product.secrets) >= 5
    for secret in product.secrets:
        assert not [path.name for path, text in zip(logs, written, strict=True) if secret in text]
        assert not [row[:200] for row in rows if secret in row]
        assert not [text[:200] for text in said if secret in text]


def test_scripts_in_every_text_stay_text(open_tab: OpenTab) -> None:
    script = "<img src=x onerror=window.__ran=1><script>window.__ran=1</script>"
    tab = open_tab()
    tab.product.rows(
        "INSERT INTO job_runs (job, slot, state, started_at, finished_at, asked_id, error, worker, asked_by)"
        f" SELECT 'heal', now() + interval '1 s', 'failed', now(), now(), '{uuid.uuid4()}', s, s, s"
        f" FROM (SELECT '{script}') x(s) RETURNING job"
    )
    for path in ("/scheduler", "/scheduler?job=heal", f"/scheduler?job={script}", f"/debug_sync?q={script}"):
        tab.open(path)
        assert tab.evaluate("window.__ran") is None, path
    assert "heal" in SCHEDULE
    tab.product.rows("DELETE FROM job_runs WHERE asked_id IS NOT NULL RETURNING job")
