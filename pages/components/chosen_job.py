"""The scheduled job that the page shows. It stands in the address, so that it can be reloaded and shared."""

import streamlit as st

PARAMETER = "job"


def named() -> str | None:
    """The job that the address names, whether there is one of that name or not."""
    return st.query_params.get(PARAMETER)


def choose(name: str) -> None:
    """Show this one; for a button's `on_click` too."""
    st.query_params[PARAMETER] = name


def close() -> None:
    """Show all of them."""
    st.query_params.pop(PARAMETER, None)
