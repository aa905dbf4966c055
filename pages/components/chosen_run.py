"""The run that the page shows, and the one that it is compared with. Both stand in the address."""

from uuid import UUID

import streamlit as st

from pages.components import address

PARAMETER, OTHER = "run", "with"


def named() -> bool:
    """Whether the address names a run at all."""
    return PARAMETER in st.query_params


def chosen() -> UUID | None:
    """The run; None when the address names none that could exist."""
    return address.uuid_of(PARAMETER)


def other() -> UUID | None:
    """The run that it is compared with."""
    return address.uuid_of(OTHER)


def choose(run_id: UUID, compared_with: UUID | None = None) -> None:
    """Show this one; for a button's `on_click` too."""
    st.query_params.clear()
    st.query_params[PARAMETER] = str(run_id)
    if compared_with is not None:
        st.query_params[OTHER] = str(compared_with)


def close() -> None:
    """Show none."""
    st.query_params.clear()
