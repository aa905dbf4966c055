"""The page's frame: stylesheet, title, and the small pieces of HTML that several components use."""

import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Literal

import streamlit as st

from pages.components.states import icon_html

NoticeTone = Literal["bad", "attention", "lost", "working", "waiting", "good"]

ASSETS = Path(__file__).parent / "assets"
FAVICON = ASSETS / "favicon.png"
LOGO = ASSETS / "logo.png"
MARK = ASSETS / "favicon.png"


def stylesheet() -> None:
    """Give this run our own styles; they take up no place on the page."""
    st.html(ASSETS / "style.css")


def safe_key(text: str) -> str:
    """A container's key for any text, since it becomes the name of a style's class."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def title(text: str, question: str) -> None:
    """The page's name and the question that it answers."""
    st.html(f'<div class="so-title"><h1>{escape(text)}</h1><span>{escape(question)}</span></div>')


def section(text: str) -> None:
    """The name of a part of the page."""
    st.html(f'<h2 class="so-section">{escape(text)}</h2>')


def facts_html(facts: Sequence[tuple[str, str]]) -> str:
    """Names and values, line by line; the values are HTML already."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<dl class="so-facts">{lines}</dl>'


def notice_html(
    tone: NoticeTone,
    icon: str,
    headline: str,
    body: str = "",
    hint: str = "",
) -> str:
    """A sentence that stands out; `body` is HTML already, `hint` is what the headline says on hover."""
    more = f"<p>{body}</p>" if body else ""
    over = f' title="{escape(hint)}"' if hint else ""
    return (
        f'<div class="so-notice so-{tone}" role="status">{icon_html(icon)}'
        f"<div><b{over}>{escape(headline)}</b>{more}</div></div>"
    )


def field_error_html(sentence: str) -> str:
    """What is wrong with the input right above."""
    return f'<div class="so-field-error so-bad" role="alert">{icon_html("error")}{escape(sentence)}</div>'


def folded_html(summary: str, words: str) -> str:
    """Somebody else's words, folded away."""
    return (
        f'<details class="so-fold"><summary>{escape(summary)}</summary>'
        f'<pre class="so-words">{escape(words)}</pre></details>'
    )


def empty_html(icon: str, headline: str, body: str) -> str:
    """What a place says while nothing is in it."""
    return f'<div class="so-empty">{icon_html(icon)}<b>{escape(headline)}</b>{escape(body)}</div>'


def welcome_html(icon: str, headline: str, body: str) -> str:
    """What a whole page says on its first day."""
    return f'<div class="so-welcome">{icon_html(icon)}<b>{escape(headline)}</b>{escape(body)}</div>'
