"""The real product, started by its one command, in a real browser."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from core import settings
from core.local import postgres, stack
from core.settings import ROOT
from tests.browser.browsers import PATIENCE_S, Browsers, Kind
from tests.conftest import free_port
from tests.journeys.mailbox import Received, mail_server

# Signs the tokens of customers, who use the API beside the pages.
JWT_SECRET = "jwt-secret-of-the-browser-tests-0123456789"
# Those that the stack makes for itself.
SECRETS = ("KIE_API_KEY", "KIE_CALLBACK_SECRET", "FILES_SIGNING_KEY")
# Chromium itself would call home; nothing here may.
CHROMIUM = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
]


@dataclass(frozen=True)
class Product:
    """The product as it runs for the whole session."""

    url: str
    sandbox_url: str
    database_url: str
    folder: Path
    secrets: tuple[str, ...]
    _kept: list[psycopg.Connection[Any]] = field(default_factory=list)

    @property
    def database(self) -> psycopg.Connection[Any]:
        """A connection that stays open: a new one costs both sides ten milliseconds, and waits ask often."""
        if not self._kept:
            self._kept.append(psycopg.connect(self.database_url, autocommit=True))
        return self._kept[0]

    def close(self) -> None:
        """End the connection."""
        for connection in self._kept:
            connection.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        return self.database.execute(sql.encode()).fetchall()

    def empty(self) -> None:
        """As on the first day: nothing waits for a person, and the month's quota is whole; LoRAs stay."""
        self.database.execute("TRUNCATE generations, delivery_events, stored_files")
        self.database.execute("UPDATE lora_models SET counted_at = now() - interval '2 months'")
        self.database.execute("UPDATE lora_training_jobs SET state = 'cancelled' WHERE state <> 'completed'")
        self.database.execute("DELETE FROM alerts")

    def finish(self) -> None:
        """Have the sandbox finish the only generation's task."""
        [(task_id,)] = self.rows("SELECT task_id FROM generations WHERE task_id IS NOT NULL")
        url = f"{self.sandbox_url}/_sandbox/tasks/{task_id}/finish"
        httpx.post(url, json={}, headers={"X-Sandbox": "1"}).raise_for_status()

    def poll(self) -> None:
        """Have the only generation, whose task has ended, polled now and not when its model usually ends."""
        due = (
            "UPDATE generations SET next_attempt_at = now() WHERE delivery_state = 'awaiting_provider'"
            " AND task_id IS NOT NULL RETURNING task_id"
        )
        until(lambda: bool(self.rows("SELECT 1 FROM generations WHERE task_id IS NOT NULL")), "its task")
        [(task_id,)] = self.rows("SELECT task_id FROM generations")
        until(lambda: self._task(task_id)["record"]["state"] == "success", "its end at KIE")
        self.rows(due)

    def _task(self, task_id: str) -> Any:
        url = f"{self.sandbox_url}/_sandbox/tasks/{task_id}"
        return httpx.get(url, headers={"X-Sandbox": "1"}).raise_for_status().json()

    def faults(self, **switches: Any) -> None:
        """Have the sandbox fail in these ways, and in no other."""
        url = f"{self.sandbox_url}/_sandbox/faults"
        httpx.put(url, json=switches, headers={"X-Sandbox": "1"}).raise_for_status()

    def pace(self, **seconds: float) -> None:
        """How long the sandbox takes for an image, a video, a training."""
        url = f"{self.sandbox_url}/_sandbox/settings"
        httpx.put(url, json=seconds, headers={"X-Sandbox": "1"}).raise_for_status()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for `condition`; an AssertionError says `what` did not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="package")
def mailbox() -> Iterator[Received]:
    """Where the product's alerts arrive."""
    with mail_server() as received:
        yield received


@pytest.fixture(scope="package")
def product(mailbox: Received) -> Iterator[Product]:
    """`streamlit run app.py` with nothing configured but this machine's mail, in a data folder of its own."""
    with started(mailbox) as product:
        yield product


@contextmanager
def started(mailbox: Received) -> Iterator[Product]:
    """The product, begun by its one command, in a data folder of its own."""
    with postgres.temporary_folder() as place:
        port = free_port()
        environment = {
            name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}
        }
        mail = f"mailto://127.0.0.1:{mailbox.port}?from=ops@studio.example&to=team@studio.example"
        environment |= {
            "STUDIO_OPS_DATA_DIR": str(place / "data"),
            "STREAMLIT_SERVER_PORT": str(port),
            "SUPABASE_JWT_SECRET": JWT_SECRET,
            "ALERT_URLS": mail,
        }
        said = place / "said.log"
        with said.open("wb") as output:
            web = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py"],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            product = _ready(f"http://127.0.0.1:{port}", web, place / "data", said)
            yield product
            product.close()
        finally:
            web.send_signal(signal.SIGINT)
            try:
                web.wait(PATIENCE_S)
            finally:
                web.kill()
                web.wait()


def _ready(url: str, web: subprocess.Popen[bytes], place: Path, said: Path) -> Product:
    def answers() -> bool:
        assert web.poll() is None, f"the product ended: {said.read_text(errors='replace')}"
        try:
            return httpx.get(f"{url}/api/health").is_success
        except httpx.TransportError:
            return False

    until(answers, "the product answers")
    attached = settings.load({"STUDIO_OPS_DATA_DIR": str(place)})
    until(lambda: bool(stack.attach(attached)), "the stack says where its parts are")
    environment = stack.attach(attached) or {}
    password = urlsplit(environment["DATABASE_URL"]).password
    secrets = {JWT_SECRET, password, *(environment[name] for name in SECRETS if name in environment)}
    product = Product(
        url,
        environment["STUDIO_OPS_LOCAL_STACK"],
        environment["DATABASE_URL"],
        place,
        tuple(sorted(secret for secret in secrets if secret)),
    )
    alive = "SELECT count(DISTINCT role) FROM process_heartbeats"
    until(lambda: product.rows(alive) == [(2,)], "clock and worker are alive")
    return product


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    path = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def browsers(browser: Browser) -> Browsers:
    """Browsers of it, one after the other."""
    return Browsers(browser)


@dataclass
class Tab:
    """A browser tab on the product, and what went wrong in it."""

    page: Page
    product: Product
    faults: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> None:
        """Go there, and wait until the page is drawn."""
        self.page.goto(self.product.url + path)
        self.page.locator("h1").first.wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run."""
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=False).first

    def prompt(self) -> Locator:
        return self.page.get_by_role("textbox", name="Prompt")

    def delivered(self) -> Locator:
        """The delivered picture or film, once it is there."""
        shown = self.page.locator(".so-result img, .so-result video, .so-result > video").first
        shown.wait_for(timeout=PATIENCE_S * 1000)
        return shown

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)


class OpenTab(Protocol):
    def __call__(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> Tab: ...


@pytest.fixture
def open_tab(browsers: Browsers, product: Product) -> Iterator[OpenTab]:
    """Opens tabs, each with a session of its own; none may log an error or reach outside."""
    product.empty()
    product.pace(image_seconds=0.5, video_seconds=0.8)
    with tabs(browsers, product) as open_one:
        yield open_one


@contextmanager
def tabs(browsers: Browsers, product: Product) -> Iterator[OpenTab]:
    """Opens tabs on this product; at the end none may have logged an error or reached outside."""
    opened: list[tuple[BrowserContext, Kind, Tab, Callable[[], None]]] = []

    def open_one(*, width: int = 1280, height: int = 800, dark: bool = False) -> Tab:
        kind = Kind(phone=width < 500)
        context = browsers.take(kind)
        tab = Tab(context.pages[0], product)
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.page.emulate_media(color_scheme="dark" if dark else "light")
        opened.append((context, kind, tab, listen(tab)))
        return tab

    yield open_one
    for context, kind, tab, listen_no_more in opened:
        tab.evaluate("0")  # brings what has been logged until now
        listen_no_more()
        browsers.give_back(context, product.url, kind)
    assert [fault for _, _, tab, _ in opened for fault in tab.faults] == []


def listen(tab: Tab) -> Callable[[], None]:
    """Note from now on what is logged as wrong in the tab, and what it asks for outside of its product; until
    the returned is called."""
    inside = (tab.product.url, tab.product.url.replace("http", "ws"), "data:", "blob:")

    def logged(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            tab.faults.append(f"{message.type}: {message.text}")

    def uncaught(error: Error) -> None:
        tab.faults.append(f"uncaught: {error}")

    def asked(request: Request) -> None:
        if not request.url.startswith(inside):
            tab.faults.append(f"outside: {request.url}")

    def no_more() -> None:
        tab.page.remove_listener("console", logged)
        tab.page.remove_listener("pageerror", uncaught)
        tab.page.remove_listener("request", asked)

    tab.page.on("console", logged)
    tab.page.on("pageerror", uncaught)
    tab.page.on("request", asked)
    return no_more
