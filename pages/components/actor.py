"""Who sits in front of the page."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from core import access, settings
from core.access import Action, Actor, Role
from core.errors import NotSignedIn
from core.staff import policy

# The one role that the local operator wants to try; None: all of them.
TRIED = "so-tried-role"


def current_actor() -> Actor | None:
    """The person who looks; None when nobody is signed in, and then pages stay closed.

    Whoever was signed in and no longer is may do nothing, and services say why.
    """
    bound_to = str(st.get_option("server.address") or "")
    operator = access.local_operator(settings.current(), bound_to)
    if operator is not None:
        return as_tried(operator)
    said = claims()
    if not said:
        return None
    key = policy.key_of(policy.identity_of(said))
    try:
        return access.signed_in(key)
    except NotSignedIn:
        return Actor("person", "", "Nobody", frozenset(), "page", session=key)


def the_actor() -> Actor:
    """The person who looks, on a page that is open only to somebody. Raises NotSignedIn."""
    return access.check(current_actor(), Action.VIEW)


def claims() -> Mapping[str, Any]:
    """What the provider says of the person whose login the browser has; nothing without one."""
    if not settings.current().signs_in:
        return {}
    said = st.user.to_dict()
    return said if said.get("is_logged_in") else {}


def as_tried(operator: Actor) -> Actor:
    """The local operator in the role that they try."""
    tried = st.session_state.get(TRIED)
    return replace(operator, roles=frozenset({Role(tried)})) if tried in set(Role) else operator
