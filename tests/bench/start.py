"""`start`: how long the one command takes from nothing to a page that a person sees.

`streamlit run app.py` in a new data folder: Postgres is set up, migrated, and everything else started; the
time until the Overview is drawn in Chromium. The baseline is Streamlit with a page of one line.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from core import settings
from core.local import postgres
from tests.bench.browser import CHROMIUM, OPENS_WITHIN_MS
from tests.bench.figures import Figure, line
from tests.bench.rig import free_port

PROMISED_S = 15.0
BARE = "import streamlit as st\nst.html('<h1>Overview</h1>')\n"


@contextmanager
def _running(script: Path, folder: Path, port: int) -> Iterator[None]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"STUDIO_OPS_DATA_DIR": str(folder / "data"), "STREAMLIT_SERVER_PORT": str(port)}
    web = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"],
        cwd=settings.ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        web.send_signal(signal.SIGINT)
        web.wait(60)


def _seconds(browser: Browser, script: Path) -> float:
    """From the command to the drawn page, by a browser that knocks until somebody opens."""
    port = free_port()
    with postgres.temporary_folder() as folder, browser.new_context() as context:
        page, begun = context.new_page(), time.perf_counter()
        with _running(script, folder, port):
            while True:
                try:
                    page.goto(f"http://127.0.0.1:{port}", wait_until="commit", timeout=OPENS_WITHIN_MS)
                    break
                except Error:
                    time.sleep(0.05)
            page.locator("h1", has_text="Overview").first.wait_for(timeout=OPENS_WITHIN_MS)
            taken = time.perf_counter() - begun
            page.goto("about:blank")
        return taken


def main(argv: Sequence[str]) -> int:
    """Print the figure as a JSON line; 1 if it is missed. `--rows` is how many starts are measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench start")
    parser.add_argument("--rows", type=int, default=5)
    starts = parser.parse_args(argv).rows
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        bare = Path(scratch) / "bare.py"
        bare.write_text(BARE)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        product, plain = [], []
        for _ in range(starts):
            product.append(_seconds(browser, settings.ROOT / "app.py"))
            plain.append(_seconds(browser, bare))
        browser.close()
    figure = Figure(
        input=f"{starts} starts with an empty data folder, the slowest; the median is"
        f" {statistics.median(product):.1f} s",
        figure=max(product),
        unit="s",
        wanted=f"at most {PROMISED_S:g} s",
        holds=max(product) <= PROMISED_S,
        baseline=statistics.median(plain),
        baseline_is="Streamlit with a page of one line",
    )
    print(line("start", figure), flush=True)
    return int(not figure.holds)
