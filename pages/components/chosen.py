"""The generation that the page shows. It stands in the address, so that it can be reloaded and shared."""

from uuid import UUID

import streamlit as st

from pages.components import address

PARAMETER = "generation"
# Another one that is shown beside it.
BESIDE = "beside"


def chosen() -> UUID | None:
    """The generation that the address names; None when it names none that could exist."""
    return address.uuid_of(PARAMETER)


def named_badly() -> bool:
    """Whether the address names something that is no generation's id."""
    return PARAMETER in st.query_params and chosen() is None


def choose(generation_id: UUID) -> None:
    """Show this one alone; for a button's `on_click` too."""
    st.query_params[PARAMETER] = str(generation_id)
    st.query_params.pop(BESIDE, None)


def close() -> None:
    """Show none."""
    st.query_params.pop(PARAMETER, None)
