"""What narrows the audit log; every choice stands in the address."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import streamlit as st

from core import trail
from core.access import Actor
from core.trail import SOURCES, Filter
from pages.components import audit_words

_KEY = "so-audit"
_NAMES = ("who", "what", "which", "source", "since", "until")


def show(actor: Actor, wanted: Filter, now: datetime) -> None:
    """The filters as the address has them, each to be changed."""
    names, actions = trail.choices(actor)
    with st.container(horizontal=True, vertical_alignment="bottom", key="so-audit-filters"):
        _choice("who", "Who", wanted.who, names, str, "anybody")
        _choice("what", "Did what", wanted.what, actions, audit_words.action, "anything")
        _text("which", "To what", wanted.which)
        _choice(
            "source", "From where", wanted.source, SOURCES, audit_words.SOURCE_WORDS.__getitem__, "anywhere"
        )
        _day("since", "From (UTC)", wanted.since, now)
        _day("until", "To, inclusive", wanted.until, now)
        if wanted != Filter():
            st.button("Everything", icon=":material/close:", on_click=_clear, key=f"{_KEY}-clear")


def _choice(name: str, label: str, value: str | None, known: Sequence[str], say: Any, any_of: str) -> None:
    options = list(known) if value is None or value in known else [value, *known]
    key = _seed(name, value)
    st.selectbox(
        label,
        options,
        index=None,
        format_func=say,
        placeholder=any_of,
        key=key,
        width=140,
        on_change=_changed,
        args=(name,),
    )


def _text(name: str, label: str, value: str | None) -> None:
    key = _seed(name, value or "")
    st.text_input(
        label,
        key=key,
        placeholder="id or address",
        max_chars=trail.LONGEST,
        width=140,
        on_change=_changed,
        args=(name,),
    )


def _day(name: str, label: str, value: date | None, now: datetime) -> None:
    key = _seed(name, value)
    st.date_input(
        label,
        value=None,
        max_value=max(now.date(), value or now.date()),
        min_value=min(date(2020, 1, 1), value or now.date()),
        key=key,
        width=140,
        on_change=_changed,
        args=(name,),
    )


def _seed(name: str, value: Any) -> str:
    """The widget's key, its value as the address says it."""
    key = f"{_KEY}-{name}"
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    return key


def _changed(name: str) -> None:
    value = st.session_state.get(f"{_KEY}-{name}")
    text = str(value).strip() if value is not None else ""
    if text:
        st.query_params[name] = text
    else:
        st.query_params.pop(name, None)


def _clear() -> None:
    for name in _NAMES:
        st.query_params.pop(name, None)
