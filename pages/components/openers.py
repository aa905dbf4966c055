"""What opens rows: lines with a number, tiles with a number, cards. Each is a link, and a list of them is one
element of the page: fifty links as elements of their own would be a quarter of a second of drawing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

import streamlit as st

from pages.components import definition, formats
from pages.components.states import Look, Tone, pill_html

# Whatever Markdown or Streamlit's directives give a meaning to; the words of others are shown as they are.
_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:$&])")


def address(query: Mapping[str, str], page: str = "") -> str:
    """The address of a page, of this one when none is named, with these parameters."""
    return f"{page}?{urlencode(query)}"


def plain(text: str) -> str:
    """`text` for a widget's label, shown as it is, on one line."""
    return _MEANS_SOMETHING.sub(r"\\\1", re.sub(r"[ \t\r\n\f\v]+", " ", text).strip(" "))


def named(words: str, of: str) -> str:
    """A button's label with the name of its line, which is heard and not seen, so that no two of a list are
    called alike. Its container is one of those that the stylesheet names for this."""
    return f"{words} *{plain(formats.excerpt(of, 80))}*"


def counted_html(state: Look, number: int, address: str) -> str:
    """A state with how many stand there, as a link to just those."""
    return (
        f'<a class="so-counted so-row so-nowrap" href="{escape(address)}">{pill_html(state)}'
        f' <b class="so-number">{formats.count(number)}</b></a>'
    )


def link_html(href: str, inner: str, looks: str) -> str:
    """HTML that opens an address as a whole."""
    return f'<a class="{looks}" href="{escape(href)}">{inner}</a>'


def line_html(name: str, number: str, small: str, href: str | None) -> str:
    """A line: its name, its number at the right, words below; it opens nothing with None."""
    inner = (
        f'<span class="so-clip">{escape(name) or "–"}</span><b class="so-number">{escape(number)}</b>'
        f'<span class="so-quiet so-small so-clip">{escape(small)}</span>'
    )
    if href is None:
        return f'<div class="so-line-card">{inner}</div>'
    return link_html(href, inner, "so-line-card so-opens")


@dataclass(frozen=True)
class Tile:
    """A number: its name, itself, words below, what it opens, and the mark that says what it counts (HTML).
    `beside` is HTML beside the number."""

    name: str
    big: str
    lines: tuple[str, ...]
    href: str | None
    mark: str
    tone: Tone = "waiting"
    beside: str = ""

    def html(self) -> str:
        """All but the mark."""
        below = " ".join(f'<span class="so-quiet so-small">{escape(one)}</span>' for one in self.lines if one)
        inner = (
            f'<span class="so-quiet so-small">{escape(self.name)}</span> <span class="so-beside">'
            f'<b class="so-big">{escape(self.big)}</b> {self.beside}</span> {below}'
        )
        looks = f"so-tell so-{self.tone}"
        return (
            link_html(self.href, inner, f"{looks} so-opens")
            if self.href
            else f'<div class="{looks}">{inner}</div>'
        )


@dataclass(frozen=True)
class Panel:
    """A panel: its title, what stands beside it, its body and its mark as HTML."""

    title: str
    aside: str
    body: str
    mark: str

    def html(self) -> str:
        """All but the mark."""
        return (
            f'<section class="so-panel">{definition.head_html(self.title, self.aside)}{self.body}</section>'
        )


def tiles(key: str, shown: Sequence[Tile]) -> None:
    """Tiles in rows of four, on a phone of two."""
    _marked(f"so-marked-tiles-{key}", "so-tiles", shown)


def panels(key: str, shown: Sequence[Panel]) -> None:
    """Panels in rows of two, on a phone below each other."""
    _marked(f"so-marked-panels-{key}", "so-panels", shown)


def _marked(key: str, grid: str, shown: Sequence[Tile | Panel]) -> None:
    """The marks lie over what they explain as an element of their own, so that a number that changes takes
    nothing from who reads what it counts."""
    with st.container(key=key, gap=None):
        st.html(f'<div class="{grid}">{"".join(one.html() for one in shown)}</div>')
        st.html(f'<div class="{grid} so-marks">{"".join(f"<div>{one.mark}</div>" for one in shown)}</div>')


def choices_html(label: str, chosen: str, choices: Mapping[str, Mapping[str, str]]) -> str:
    """Choices beside each other, each at the address with its parameters."""
    links = "".join(
        f'<a class="so-choice" href="{escape(address(query))}"'
        f' data-key="{escape(words)}"{" aria-current=true" if words == chosen else ""}>{escape(words)}</a>'
        for words, query in choices.items()
    )
    return f'<nav class="so-choices" aria-label="{escape(label)}">{links}</nav>'


def lines_html(lines: Iterable[str]) -> str:
    """Lines below each other."""
    return f'<div class="so-lines">{"".join(lines)}</div>'
