"""Buttons that look like what they open: a line with its number, or the number of a tile.

The button is all there is to draw: on a page of fifty lines that takes a third of a second less than one over
words.
"""

import re
from collections.abc import Callable
from html import escape
from typing import Any

import streamlit as st

from pages.components import formats, look
from pages.components.states import Look, pill_html

# Whatever Markdown or Streamlit's directives give a meaning to; the words of others are shown as they are.
_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:$&])")


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
        f'<a class="so-counted so-row so-nowrap" target="_self" href="{escape(address)}">{pill_html(state)}'
        f' <b class="so-number">{formats.count(number)}</b></a>'
    )


def line(
    key: str, name: str, number: str, small: str, on_click: Callable[..., None], args: tuple[Any, ...]
) -> None:
    """A line: its name, its number at the right, words below."""
    below = f" :small[{plain(small)}]" if small.strip() else ""
    st.button(
        f"*{plain(name) or '–'}* **{plain(number)}**{below}",
        key=f"so-line-{look.safe_key(key)}",
        width="stretch",
        on_click=on_click,
        args=args,
    )


def number(
    key: str,
    name: str,
    big: str,
    lines: tuple[str, ...],
    on_click: Callable[..., None],
    args: tuple[Any, ...],
    *,
    beside: str = "",
) -> None:
    """A tile: its name, its number, words below; `beside` the number stands Markdown."""
    below = " ".join(f":small[{plain(one)}]" for one in lines if one.strip())
    st.button(
        f"*{plain(name)}* **{plain(big)}** {beside} {below}",
        key=f"so-tell-{key}",
        width="stretch",
        on_click=on_click,
        args=args,
    )
