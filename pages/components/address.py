"""What the page's address names."""

from uuid import UUID

import streamlit as st


def uuid_of(parameter: str) -> UUID | None:
    """The id that a parameter names; None when it names none that could exist."""
    try:
        return UUID(st.query_params.get(parameter, ""))
    except ValueError:
        return None
