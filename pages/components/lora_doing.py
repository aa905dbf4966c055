"""Doing something to a LoRA: once, with a reason where one is asked for, and with a word of how it went."""

from collections.abc import Callable
from datetime import datetime

import streamlit as st

from core import log
from core.access import Actor
from core.loras.policy import MAX_REASON
from pages.components import errors, look, openers, times
from pages.components.actor import current_actor

_TOLD = "so-lora-told-"


def attempt(place: str, done: str, act: Callable[[Actor | None, datetime], object]) -> None:
    """Do it; how it went is kept for the part of the page that shows it."""
    log.new_request_id()
    try:
        act(current_actor(), times.now())
        st.session_state[_TOLD + place] = done
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_TOLD + place] = errors.describe(error, place)


def told(place: str) -> None:
    """How the last act of this part of the page went, once."""
    found = st.session_state.pop(_TOLD + place, None)
    if isinstance(found, errors.Failure):
        errors.show(found)
    elif found:
        st.html(look.notice_html("good", "check_circle", str(found)))


def with_reason(
    place: str,
    key: str,
    words: str,
    icon: str,
    means: str,
    act: Callable[[Actor | None, str, datetime], object],
    *,
    closed: str | None = None,
    of: str = "",
) -> None:
    """A button that asks for the reason first; `closed` says why it may not be pressed, and `of` in a list
    which line it is of."""
    label = openers.named(words, of) if of else words
    with st.popover(label, icon=f":material/{icon}:", disabled=closed is not None, help=closed):
        st.html(f'<div class="so-popover-words">{means}</div>')
        st.text_input("Why? It stands in the audit log.", key=f"so-why-{key}", max_chars=MAX_REASON)
        st.button(
            words,
            type="primary",
            icon=f":material/{icon}:",
            key=f"so-do-{key}",
            on_click=_do,
            args=(place, key, words, act),
        )


def _do(place: str, key: str, words: str, act: Callable[[Actor | None, str, datetime], object]) -> None:
    reason = str(st.session_state.get(f"so-why-{key}") or "")
    attempt(place, f"Done: {words.lower()}.", lambda who, at: act(who, reason, at))
