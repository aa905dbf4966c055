"""Pages, run as Streamlit runs them, on a migrated database of their own."""

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from html.parser import HTMLParser
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from core.settings import ROOT
from core.trainings import tools as training_tools
from tests.conftest import Sandbox

NAVIGATION = str(ROOT / "pages" / "navigation.py")


class OpenPage(Protocol):
    """Opens a page by its file, with query parameters."""

    def __call__(self, file: str = "overview.py", **query: str) -> AppTest: ...


@pytest.fixture(autouse=True, scope="session")
def _packages_are_read_once() -> Iterator[None]:
    """AppTest asks every installed package for components, at half a second an app; none comes meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests)
        )
        yield


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The test's database, for seeding and looking."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def open_page(local_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """Pages in the local profile, for the local operator, whose browser is in Berlin."""
    monkeypatch.chdir(ROOT)

    def opened(file: str = "overview.py", **query: str) -> AppTest:
        app = AppTest.from_file(NAVIGATION, default_timeout=20)
        app.context = {"timezone": "Europe/Berlin", "url": "http://127.0.0.1:8501"}
        for name, value in query.items():
            app.query_params[name] = value
        if file == "overview.py":
            return app.run()
        app.switch_page(file).run()
        return app.switch_page(file)  # it knows the pages now: raises where this person has none such

    return opened


def html_of(app: AppTest) -> str:
    """Everything that the page wrote as HTML of ours, styles left out."""
    written = [str(element.value) for element in app.html]
    return "\n".join(html for html in written if not html.lstrip().startswith("<style>"))


def said_of(app: AppTest) -> str:
    """The same, and the words of its buttons as they are read."""
    labels = [
        re.sub(r"\\(.)", r"\1", re.sub(r":small\[|(?<!\\)[*\]]", "", button.label)) for button in app.button
    ]
    return "\n".join([html_of(app), *labels])


class _Read(HTMLParser):
    """The links of a page with their words, and the cells of its table, line by line."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[tuple[str, list[str]]] = []
        self.lines: list[list[str]] = []
        self._link = self._cell = self._rows = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self._rows |= given.get("class") == "so-rows"
        if tag == "a" and given.get("target") != "_blank" and given.get("role") != "checkbox":
            self.links.append((given["href"], [given.get("aria-label") or given.get("title", "")]))
            self._link = True
        if self._rows and tag == "tr":
            self.lines.append([])
        if self._rows and tag in {"th", "td"}:
            self.lines[-1].append("")
            self._cell = True
        if self._cell and "href" in given and given.get("role") != "checkbox":
            self.lines[-1][-1], self._cell = given["href"], False

    def handle_endtag(self, tag: str) -> None:
        self._link &= tag != "a"
        self._cell &= tag not in {"th", "td"}
        self._rows &= tag != "table"

    def handle_data(self, data: str) -> None:
        if self._link:
            self.links[-1][1].append(data)
        if self._cell:
            self.lines[-1][-1] += data


def links_of(app: AppTest) -> dict[str, str]:
    """How the page's own links are read, by where they lead; several that lead there are lines of it."""
    found: dict[str, list[str]] = {}
    for href, words in _Read(html_of(app)).links:
        found.setdefault(href, []).append(" ".join(" ".join(words).split()))
    return {href: "\n".join(lines) for href, lines in found.items()}


def follow(open_page: OpenPage, app: AppTest, words: str, file: str) -> AppTest:
    """The page that the one link with these words leads to; `file` is the page that has the link."""
    [href] = [href for href, said in links_of(app).items() if words in said]
    to = urlsplit(href)
    return open_page(f"{to.path}.py" if to.path else file, **dict(parse_qsl(to.query)))


def table_of(app: AppTest) -> dict[str, list[str]]:
    """The page's table: the cells of each column by its head, a link by where it leads."""
    heads, *lines = _Read(html_of(app)).lines or [[]]
    return {name: [line[n] for line in lines] for n, name in enumerate(heads)}


def box_of(html: str, name: str) -> str:
    """What the box of this number says, as HTML."""
    head = f"<b>{escape(name)}</b>"
    return next(box for box in html.split('class="so-def-box">')[1:] if box.startswith(head))


def failures_of(app: AppTest) -> list[str]:
    """Error boxes and uncaught exceptions."""
    boxes = [str(element.value) for element in app.html if "Error id" in str(element.value)]
    return boxes + [str(error.value) for error in app.exception]


@pytest.fixture
def trainings(local_settings: dict[str, str], sandbox: Sandbox) -> Iterator[None]:
    """The tools of trainings, made from this test's settings."""
    current = training_tools.current
    current.cache_clear()
    yield
    if current.cache_info().currsize:
        current().close()
    current.cache_clear()
