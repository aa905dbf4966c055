"""What the page's address names."""

from collections.abc import Iterable
from html import escape
from uuid import UUID

import streamlit as st

from core import said
from pages.components import look


def uuid_of(parameter: str) -> UUID | None:
    """The id that a parameter names; None when it names none that could exist."""
    try:
        return UUID(st.query_params.get(parameter, ""))
    except ValueError:
        return None


def fault(parameter: str, allowed: Iterable[str]) -> str | None:
    """A sentence about a parameter that a field is bound to, where it has no such choice; the field then
    takes it away. To be asked for before the field is made."""
    given = st.query_params.get(parameter)
    if not given or given in (choices := list(allowed)):
        return None
    return said.no_choice(parameter, given, choices)


def tell(faults: Iterable[str]) -> None:
    """What the address asks for and does not exist."""
    for one in faults:
        headline = "The address asks for something that is not there"
        st.html(look.notice_html("attention", "link_off", headline, escape(one)))
