"""Starting a generation from a button: once for a double click, once for each tab."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import service, tools
from core.deliveries.models import Generation
from core.deliveries.service import NewGeneration
from pages.components import errors, history
from pages.components.actor import current_actor
from pages.components.chosen import choose

# The second click of a double click arrives within this time.
DOUBLE_CLICK_S = 1.5
_FAILURE = "so-create-failure"
_LAST = "so-create-last"


@dataclass(frozen=True)
class _Started:
    button: str
    wanted: str
    nonce: str
    at: float


def why_not(actor: Actor) -> str | None:
    """Why this person may not start a generation, as a sentence; None when they may."""
    if actor.may(Action.CREATE_GENERATION):
        return None
    return "Your role does not start generations. Ask an admin for the role product."


def nonce(button: str) -> str:
    """The key of the next generation that this button makes: made when it is drawn, spent by its click."""
    key = f"so-nonce-{button}"
    if key not in st.session_state:
        st.session_state[key] = uuid.uuid4().hex
    return str(st.session_state[key])


def start(
    button: str,
    request_key: str,
    model: str,
    model_input: Mapping[str, Any],
    lora_id: UUID | None = None,
) -> None:
    """Begin a generation and choose it; for a button's `on_click`, with the nonce that it was drawn with.

    What goes wrong is kept for `failure`.
    """
    wanted = json.dumps([model, model_input, lora_id], sort_keys=True, default=str)

    def create(nonce: str) -> Generation:
        new = NewGeneration(model, model_input, f"page:{nonce}", lora_id=lora_id)
        return service.create(current_actor(), new, tools.current())

    begin(button, request_key, wanted, create)


def begin(button: str, request_key: str, wanted: str, create: Callable[[str], Generation]) -> None:
    """The same by another way of creating, which is given the nonce; `wanted` says what, to tell a double
    click from a second wish."""
    log.new_request_id()
    last = st.session_state.get(_LAST)
    if isinstance(last, _Started) and _is_double_click(last, button, wanted):
        request_key = last.nonce
    try:
        generation = create(request_key)
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILURE] = errors.describe(error, f"create:{button}")
        return
    st.session_state[_LAST] = _Started(button, wanted, request_key, time.monotonic())
    st.session_state.pop(_FAILURE, None)
    st.session_state.pop(f"so-nonce-{button}", None)
    choose(generation.id)
    history.to_newest()


def _is_double_click(last: _Started, button: str, wanted: str) -> bool:
    return (last.button, last.wanted) == (button, wanted) and time.monotonic() - last.at < DOUBLE_CLICK_S


def failure() -> errors.Failure | None:
    """Why the last start did not work; None when it did."""
    found = st.session_state.get(_FAILURE)
    return found if isinstance(found, errors.Failure) else None


def forget_failure() -> None:
    """The input has changed, so what was said of it no longer holds."""
    st.session_state.pop(_FAILURE, None)
