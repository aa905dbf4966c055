"""`pages`: how long a person waits for Delivery health, and for a page clicked in the navigation.

A durable Postgres with sixty days of generations, the product under uvicorn as shipped, Chromium. The
baseline is the same product drawing the same widgets from constants, in a process of its own, opened in
turn. Cold is a process that has shown no page and a browser that has loaded nothing; warm is a page opened
again.
"""

import argparse
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from playwright.sync_api import Browser, Page, sync_playwright

from core import database
from core.work import runs
from pages.navigation import PAGES
from tests.bench import history
from tests.bench.browser import CHROMIUM, OPENS_WITHIN_MS
from tests.bench.figures import Figure, line
from tests.bench.rig import Rig, free_port, rig

PAGE = "delivery_health"
PRODUCT, CONSTANT = "app:app", "tests.bench.constant:app"
COLD, WARM, ROUNDS = 5, 21, 6
RATIO, CLICK_S = 1.2, 0.6
ALIVE_FOR = timedelta(days=1)

# The page of that title is drawn to its end: the script has ended and nothing of the page before is left.
_DRAWN = """title => {
    const app = document.querySelector('[data-testid="stApp"]');
    const head = document.querySelector('.so-title h1');
    return app?.dataset.testScriptState === 'notRunning' && head?.textContent === title
        && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
}"""
_USAGE = """
INSERT INTO storage_usage (taken_at, bucket, purpose, files, bytes)
SELECT now() - day * interval '1 day', bucket, purpose, 1000 * (60 - day), 300000000::bigint * (60 - day)
FROM generate_series(0, 59) AS made(day),
     (VALUES ('generations', 'results'), ('lora-models', 'weights'), ('lora-training-images', 'images'))
         AS kept(bucket, purpose)
"""


@dataclass
class Waits:
    """Seconds until a page was drawn."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


def _opened(page: Page, url: str, title: str) -> float:
    begun = time.perf_counter()
    page.goto(url, timeout=OPENS_WITHIN_MS, wait_until="commit")
    page.wait_for_function(_DRAWN, arg=title, timeout=OPENS_WITHIN_MS)
    return time.perf_counter() - begun


def _clicked(page: Page, title: str) -> float:
    begun = time.perf_counter()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    page.wait_for_function(_DRAWN, arg=title, timeout=OPENS_WITHIN_MS)
    return time.perf_counter() - begun


@contextmanager
def _served(of: Rig, application: str) -> Iterator[str]:
    """The base address of that application in a process of its own."""
    port = free_port()
    environment = of.environment | {"PUBLIC_BASE_URL": f"http://127.0.0.1:{port}"}
    with Rig(of.folder, of.database_url, of.sandbox_url, port, environment).web(application):
        yield environment["PUBLIC_BASE_URL"]


def _title() -> str:
    return next(entry.title for entry in PAGES if entry.url_path == PAGE)


def _waits(of: Rig, browser: Browser) -> dict[str, Waits]:
    """Cold and warm openings of the page in both applications, in turn."""
    waits = {PRODUCT: Waits(), CONSTANT: Waits()}
    for last in (False,) * (COLD - 1) + (True,):
        with ExitStack() as running:
            opened = []
            for application, kept in waits.items():
                address = f"{running.enter_context(_served(of, application))}/{PAGE}"
                page = running.enter_context(browser.new_context()).new_page()
                kept.cold.append(_opened(page, address, _title()))
                # One page at a time: what the other refreshes must not be measured along.
                page.goto("about:blank")
                opened.append((kept, page, address))
            for _ in range(WARM if last else 0):
                for kept, page, address in opened:
                    kept.warm.append(_opened(page, address, _title()))
                    page.goto("about:blank")
    return waits


def _clicks(of: Rig, browser: Browser) -> dict[str, list[float]]:
    """Clicks from page to page, by the page that was clicked; each page was shown once before."""
    clicks: dict[str, list[float]] = {entry.title: [] for entry in PAGES}
    with _served(of, PRODUCT) as address, browser.new_context() as context:
        page = context.new_page()
        _opened(page, address, PAGES[0].title)
        for title in clicks:
            _clicked(page, title)
        for _ in range(ROUNDS):
            for title, found in clicks.items():
                found.append(_clicked(page, title))
    return clicks


def _figures(rows: int, waits: dict[str, Waits], clicks: dict[str, list[float]]) -> Iterator[Figure]:
    for name in ("cold", "warm"):
        product, constant = (statistics.median(getattr(waits[one], name)) for one in (PRODUCT, CONSTANT))
        yield Figure(
            input=f"{rows} generations: Delivery health opened in Chromium, {name},"
            f" median of {len(getattr(waits[PRODUCT], name))}",
            figure=product,
            unit="s",
            wanted=f"at most {RATIO:g} times the baseline",
            holds=product <= RATIO * constant,
            baseline=constant,
            baseline_is="the same widgets drawn from constants",
        )
    every = [one for found in clicks.values() for one in found]
    each = ", ".join(f"{title} {statistics.median(found):.2f}" for title, found in clicks.items())
    yield Figure(
        input=f"{rows} generations: a click in the navigation until the page is drawn, median of"
        f" {len(every)}; by page: {each}",
        figure=statistics.median(every),
        unit="s",
        wanted=f"under {CLICK_S:g} s",
        holds=statistics.median(every) < CLICK_S,
    )


def main(argv: Sequence[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is how many generations there are."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench pages")
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args(argv).rows
    with rig() as everything, sync_playwright() as playwright:
        with history.connected(everything.database_url):
            history.write(everything.database_url, rows, database.now())
            for role in ("clock", "worker"):
                runs.beat(uuid.uuid4(), role, database.now() + ALIVE_FOR)
        everything.sql(_USAGE)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        waits, clicks = _waits(everything, browser), _clicks(everything, browser)
        browser.close()
    missed = 0
    for figure in _figures(rows, waits, clicks):
        print(line("pages", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)
