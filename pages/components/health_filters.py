"""What delivery health looks at: its window and kind, and what keeps its numbers from being all there."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.deliveries.health import DEFINITIONS
from core.deliveries.health_rows import Board
from core.deliveries.windows import PARAMETERS, Filter
from core.providers import catalogue
from pages.components import look, times

WINDOW_NAMES = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
COUNTING = "being counted"


def go(chosen: Filter) -> None:
    """Look at this; for a button's `on_click`."""
    for name in PARAMETERS:
        st.query_params.pop(name, None)
    for name, value in chosen.query().items():
        st.query_params[name] = value


def model_name(model: str) -> str:
    """A model as people call it."""
    found = catalogue.find(model)
    return found.label if found else model or "no model"


def show(chosen: Filter) -> None:
    """The window and the kind, as buttons that change the address."""
    with st.container(horizontal=True, vertical_alignment="center", key="so-health-filters"):
        for name, words in WINDOW_NAMES.items():
            opens = chosen.but(window=name, at=None)
            _choice(f"window-{name}", words, opens, is_chosen=chosen.window == name)
        st.space("small")
        for kind, words in ((None, "All"), ("image", "Images"), ("video", "Videos")):
            _choice(f"kind-{kind}", words, chosen.but(kind=kind), is_chosen=chosen.kind == kind)


def _choice(key: str, words: str, opens: Filter, *, is_chosen: bool) -> None:
    st.button(
        words, key=f"health-{key}", type="primary" if is_chosen else "secondary", on_click=go, args=(opens,)
    )


def notices(board: Board, now: datetime, zone: tzinfo) -> None:
    """What keeps the numbers from being all there, and what to do about it."""
    found = board.health
    if found is not None and found.behind:
        since = times.ago_html(found.rolled_at, now, zone)
        _notice(
            "attention",
            "update",
            "The hourly counts are behind",
            f"They were last brought up to date {since}. What is shown is right all the same, and slower to"
            " come. To bring them up to date: <code>python -m jobs run rollups</code>",
        )
    if found is not None and found.incomplete:
        _notice(
            "waiting",
            "hourglass_top",
            "Earlier generations are being counted",
            "Windows that reach into them show no number until then. The worker counts newest first, some"
            " minutes for ten million rows.",
        )
    if board.slow:
        _notice(
            "attention",
            "hourglass_disabled",
            "The database is slow",
            f"Left out this time: {escape(', '.join(board.slow))}. The next refresh tries again.",
        )


def _notice(tone: look.NoticeTone, icon: str, headline: str, body: str) -> None:
    st.html(look.notice_html(tone, icon, headline, body))


def first_day() -> None:
    """What an empty product says: what to do first."""
    with st.container(border=True, horizontal_alignment="center", key="so-first-day"):
        st.html(
            look.welcome_html(
                "monitor_heart",
                "Nothing has been generated yet",
                "Success rate, time to deliver and failures appear here with the first generation.",
            )
        )
        if st.button("Make the first test", type="primary", icon=":material/arrow_forward:"):
            st.switch_page("test_generation.py")


def definitions() -> None:
    """What each word means; its SQL stands at each number."""
    with st.popover("How these numbers are counted", icon=":material/calculate:"):
        lines = [
            (name.replace("_", " ").capitalize(), escape(sentence)) for name, sentence in DEFINITIONS.items()
        ]
        st.html(look.facts_html(lines))
