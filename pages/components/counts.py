"""Numbers beside the names of pages in the sidebar: what waits there, as often as the banner looks."""

from collections.abc import Mapping
from html import escape

import streamlit as st

from core.alerts import views
from pages.components import formats
from pages.components.actor import the_actor

MOST = 99


def show() -> None:
    """Put them there; nothing beside a page where nothing waits. They follow by themselves."""
    many = views.how_many(the_actor())
    waiting = {
        "alerts": (many.waiting, formats.counted(many.waiting, "open alert", "open alerts")),
        "delivery_health": (
            many.stuck, formats.counted(many.stuck, "stuck delivery", "stuck deliveries")
        ),
    }  # fmt: skip
    with st.container(key="so-counts"):
        st.html(counts_html({page: one for page, one in waiting.items() if one[0]}))


def counts_html(waiting: Mapping[str, tuple[int, str]]) -> str:
    """A style, by which the links have their numbers, and the same in words for who hears the page."""
    rules = "".join(
        f'[data-testid="stSidebarNavLink"][href$="/{page}"]::after'
        f'{{content:"{f"{MOST}+" if number > MOST else number}";display:inline-block}}'
        for page, (number, _) in waiting.items()
    )
    said = ", ".join(escape(words) for _, words in waiting.values())
    return f"<span>{said}</span><style>{rules}</style>"
