"""The plan that the page shows. It stands in the address, so that it can be reloaded and shared."""

from uuid import UUID

import streamlit as st

from pages.components import address

PARAMETER = "plan"


def named() -> bool:
    """Whether the address names a plan at all."""
    return PARAMETER in st.query_params


def chosen() -> UUID | None:
    """The plan; None when the address names none that could exist."""
    return address.uuid_of(PARAMETER)


def choose(plan_id: UUID) -> None:
    """Show this one; for a button's `on_click` too."""
    st.query_params.clear()
    st.query_params[PARAMETER] = str(plan_id)


def close() -> None:
    """Show none."""
    st.query_params.clear()
