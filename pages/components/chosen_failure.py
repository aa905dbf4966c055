"""The failure group that the page shows. It stands in the address, so that it can be reloaded and shared."""

import streamlit as st

PARAMETER = "group"


def chosen() -> str | None:
    """Its signature."""
    return st.query_params.get(PARAMETER)


def choose(signature: str) -> None:
    """Show this one; for a button's `on_click` too."""
    st.query_params.clear()
    st.query_params[PARAMETER] = signature


def close() -> None:
    """Show none."""
    st.query_params.clear()
