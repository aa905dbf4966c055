"""Ids, shortened for the eye and copied whole."""

from html import escape

import streamlit as st


def short(value: str) -> str:
    """An id's end, by which people tell ids apart: `…1f8b23c9`."""
    return f"…{value[-8:]}" if len(value) > 12 else value


def copyable(name: str, value: str, key: str) -> None:
    """A name and its id; the copy button takes all of it."""
    with st.container(key=f"so-copy-{key}", gap=None):
        st.html(f'<span class="so-quiet so-small">{escape(name)}</span>')
        st.code(value, language=None)
