"""`pages`: how long a person waits for each page, opened by its address and clicked in the navigation.

A durable Postgres with everything in it, the product under uvicorn as shipped, Chromium. The baseline is the
same product drawing the same widgets from constants, in a process of its own, opened in turn; and the product
on an empty database. Cold is a process that has shown no page and a browser that has loaded nothing; warm is
a page opened again.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg
from playwright.sync_api import Browser, Page, sync_playwright

from core import database
from pages.navigation import PAGES, PageEntry
from tests.bench import history, whole
from tests.bench.browser import CHROMIUM, OPENS_WITHIN_MS
from tests.bench.figures import Figure, line
from tests.bench.rig import Rig, free_port

# The page that is opened cold: the one with most to read.
COLD_PAGE = "delivery_health"
PRODUCT, CONSTANT, EMPTY = "the product", "constants", "an empty database"
COLD, ROUNDS = 5, 6
# So long somebody looks at a page before the next click.
LOOKS_S = 1.0
RATIO, CLICK_S = 1.2, 0.6

# The page of that title is drawn to its end: the script has ended and nothing of the page before is left.
_DRAWN = """title => {
    const app = document.querySelector('[data-testid="stApp"]');
    const head = document.querySelector('.so-title h1');
    return app?.dataset.testScriptState === 'notRunning' && head?.textContent === title
        && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
}"""


@dataclass
class Waits:
    """Seconds until a page was drawn, by the page's title."""

    cold: list[float] = field(default_factory=list)
    warm: dict[str, list[float]] = field(default_factory=dict)
    clicked: dict[str, list[float]] = field(default_factory=dict)


def _cold_page() -> PageEntry:
    return next(entry for entry in PAGES if entry.url_path == COLD_PAGE)


def _opened(page: Page, base: str, entry: PageEntry) -> float:
    begun = time.perf_counter()
    page.goto(f"{base}/{entry.url_path}", timeout=OPENS_WITHIN_MS, wait_until="commit")
    page.wait_for_function(_DRAWN, arg=entry.title, timeout=OPENS_WITHIN_MS)
    return time.perf_counter() - begun


def _clicked(page: Page, entry: PageEntry) -> float:
    begun = time.perf_counter()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=entry.title).first.click()
    page.wait_for_function(_DRAWN, arg=entry.title, timeout=OPENS_WITHIN_MS)
    return time.perf_counter() - begun


@contextmanager
def _served(of: Rig, what: str, empty_url: str) -> Iterator[str]:
    """The base address of the product, of its constants, or of it on the empty database."""
    port = free_port()
    environment = of.environment | {
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{port}",
        "STUDIO_OPS_CONSTANTS": str(of.folder / "constants"),
    }
    if what == EMPTY:
        environment["DATABASE_URL"] = empty_url
    application = "tests.bench.constant:app" if what == CONSTANT else "app:app"
    with Rig(of.folder, of.database_url, of.sandbox_url, port, environment).web(application):
        yield environment["PUBLIC_BASE_URL"]


def _cold(of: Rig, browser: Browser, empty_url: str, waits: Mapping[str, Waits]) -> None:
    """The busiest page, opened in a new process by a new browser, in turn with its constants."""
    for what in (CONSTANT, *(PRODUCT, CONSTANT) * COLD):
        with _served(of, what, empty_url) as base, browser.new_context() as context:
            waits[what].cold.append(_opened(context.new_page(), base, _cold_page()))
    # The first of the constants has read them.
    waits[CONSTANT].cold.pop(0)


def _warm(of: Rig, browser: Browser, empty_url: str, waits: Mapping[str, Waits], looks: int) -> None:
    """Every page opened again and again in all three, in turn; one at a time, so that no other refreshes."""
    with ExitStack() as running:
        shown = {what: running.enter_context(_served(of, what, empty_url)) for what in waits}
        pages = {what: running.enter_context(browser.new_context()).new_page() for what in waits}
        for entry in PAGES:
            # The first two aren't counted: the process reads its code, the constants are read and kept.
            for n in range(looks + 2):
                for what, base in shown.items():
                    took = _opened(pages[what], base, entry)
                    pages[what].goto("about:blank")
                    if n > 1:
                        waits[what].warm.setdefault(entry.title, []).append(took)


def _clicks(of: Rig, browser: Browser, empty_url: str, waits: Mapping[str, Waits]) -> None:
    """Clicks from page to page, in turn; in the first round no page was shown before, so it isn't counted."""
    with ExitStack() as running:
        shown = {what: running.enter_context(_served(of, what, empty_url)) for what in (PRODUCT, EMPTY)}
        for n in range(ROUNDS + 1):
            for what, base in shown.items():
                with browser.new_context() as context:
                    page = context.new_page()
                    _opened(page, base, PAGES[0])
                    for entry in (*PAGES[1:], PAGES[0]):
                        page.wait_for_timeout(1000 * LOOKS_S)
                        took = _clicked(page, entry)
                        if n:
                            waits[what].clicked.setdefault(entry.title, []).append(took)


def _median(found: Sequence[float]) -> float:
    return statistics.median(found)


def _opening(
    rows: str, title: str, how: str, product: float, against: Mapping[str, float]
) -> Iterator[Figure]:
    for what, baseline in against.items():
        yield Figure(
            input=f"{rows}: {title} opened in Chromium, {how}",
            figure=product,
            unit="s",
            wanted=f"at most {RATIO:g} times the baseline",
            holds=product <= RATIO * baseline,
            baseline=baseline,
            baseline_is="the same widgets drawn from constants"
            if what == CONSTANT
            else f"the same on {what}",
        )


def _figures(rows: str, waits: Mapping[str, Waits]) -> Iterator[Figure]:
    cold = {what: _median(waits[what].cold) for what in (PRODUCT, CONSTANT)}
    how = f"cold, median of {COLD}"
    yield from _opening(rows, _cold_page().title, how, cold[PRODUCT], {CONSTANT: cold[CONSTANT]})
    for title, found in waits[PRODUCT].warm.items():
        against = {what: _median(waits[what].warm[title]) for what in (CONSTANT, EMPTY)}
        yield from _opening(rows, title, f"warm, median of {len(found)}", _median(found), against)
    for title, found in waits[PRODUCT].clicked.items():
        empty = _median(waits[EMPTY].clicked[title])
        yield Figure(
            input=f"{rows}: a click on {title} in the navigation until it is drawn, {LOOKS_S:g} s after the"
            f" page before, median of {len(found)}",
            figure=_median(found),
            unit="s",
            wanted=f"under {CLICK_S:g} s, and at most {RATIO:g} times the baseline",
            holds=_median(found) < CLICK_S and _median(found) <= RATIO * empty,
            baseline=empty,
            baseline_is=f"the same on {EMPTY}",
        )


def main(argv: Sequence[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is how many generations there are,
    `--looks` how often each page is opened warm."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench pages")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--looks", type=int, default=7)
    parser.add_argument("--database", help="one of that size that `whole` keeps")
    given = parser.parse_args(argv)
    waits = {what: Waits() for what in (PRODUCT, CONSTANT, EMPTY)}
    with whole.filled(given.rows, given.database) as everything, sync_playwright() as playwright:
        empty_url = _empty(everything.database_url)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        _cold(everything, browser, empty_url, waits)
        _warm(everything, browser, empty_url, waits, given.looks)
        _clicks(everything, browser, empty_url, waits)
        browser.close()
    missed = 0
    for figure in _figures(str(whole.Sizes.of(given.rows)), waits):
        print(line("pages", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)


def _empty(url: str) -> str:
    """A second database of the same server with the schema, a clock and a worker, and nothing else."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
        connection.execute("CREATE DATABASE empty")
    empty_url = f"{url.rsplit('/', 1)[0]}/empty"
    database.migrate(empty_url, local=True)
    with history.connected(empty_url):
        whole.alive()
    return empty_url
