"""`crowd`: twenty people at once on the busiest page: nineteen sessions over WebSocket, one in Chromium.

A durable Postgres with sixty days of generations, the product under uvicorn as shipped. Everybody picks
another window, kind or model every three to twenty seconds; what the page refreshes by itself goes on
meanwhile. The baseline is one person alone, in the same run.
"""

import argparse
import random
import statistics
import threading
import time
from collections.abc import Iterator, Sequence

from playwright.sync_api import Page

from tests.bench import whole
from tests.bench.browser import open_page, settled
from tests.bench.figures import Figure, line
from tests.bench.rig import Rig
from tests.bench.sessions import Crowd, attend

PAGE = "delivery_health"
PEOPLE, STAY_S = 20, 120.0
WANTED_S = 3.0
WINDOWS = ("24h", "7d", "30d")
QUERIES = tuple(
    f"window={window}{more}"
    for window in WINDOWS
    for more in ("", "&kind=image", "&kind=video", "&state=failed", "&model=flux-3/pro-text-to-image")
)


def _p95(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1] if len(waits) > 1 else float("inf")


def _picking(page: Page, seconds: float) -> tuple[list[float], int]:
    """Waits of somebody who picks one window after the other, and the errors on the page at the end."""
    waits: list[float] = []
    end, dice = time.monotonic() + seconds, random.Random(PEOPLE)
    while time.monotonic() < end:
        window = dice.choice(WINDOWS)
        begun = time.perf_counter()
        page.goto(f"{page.url.split('?')[0]}?window={window}")
        page.wait_for_selector("[data-testid=stApp]")
        settled(page)
        waits.append(time.perf_counter() - begun)
        page.wait_for_timeout(dice.uniform(3000, 20_000))
    return waits, page.get_by_test_id("stException").count()


def _together(of: Rig) -> tuple[Crowd, list[float], int]:
    with open_page(f"{of.web_url}/{PAGE}") as page:
        crowds: list[Crowd] = []
        others = threading.Thread(
            target=lambda: crowds.append(attend(of.web_url, PAGE, QUERIES, PEOPLE - 1, STAY_S))
        )
        others.start()
        waits, errors = _picking(page, STAY_S)
        others.join()
    return crowds[0], waits, errors


def _figures(rows: int, of: Rig) -> Iterator[Figure]:
    alone = attend(of.web_url, PAGE, QUERIES, 1, 30.0)
    crowd, waits, errors = _together(of)
    seen = f"{rows} generations, {PEOPLE} people at once on {PAGE} for {STAY_S:g} s"
    for who, found in (("19 sessions over WebSocket", crowd.waits), ("one in Chromium", waits)):
        yield Figure(
            input=f"{seen}: p95 from an interaction to the drawn page, {who}, {len(found)} interactions",
            figure=_p95(found),
            unit="s",
            wanted=f"under {WANTED_S:g} s",
            holds=_p95(found) < WANTED_S,
            baseline=_p95(alone.waits),
            baseline_is="one person alone over WebSocket",
        )
    yield Figure(
        input=f"{seen}: errors, beside {crowd.refreshes} refreshes; {sorted(set(crowd.errors))[:3]}",
        figure=len(crowd.errors) + errors,
        unit="errors",
        wanted="none",
        holds=not crowd.errors and not errors,
    )


def main(argv: Sequence[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is how many generations there are."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench crowd")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", help="one of that size that `whole` keeps")
    given = parser.parse_args(argv)
    missed = 0
    with whole.filled(given.rows, given.database) as everything, everything.web():
        for figure in _figures(given.rows, everything):
            print(line("crowd", figure), flush=True)
            missed += not figure.holds
    return int(missed > 0)
