"""Who sits in front of the page."""

import streamlit as st

from core import access, settings
from core.access import Action, Actor


def current_actor() -> Actor | None:
    """The person who looks; None when nobody is signed in, and then pages stay closed."""
    bound_to = str(st.get_option("server.address") or "")
    return access.local_operator(settings.current(), bound_to)


def the_actor() -> Actor:
    """The person who looks, on a page that is open only to somebody. Raises NotSignedIn."""
    return access.check(current_actor(), Action.VIEW)
