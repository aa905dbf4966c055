"""What can be done with a generation: download it, check it again, make or change it again."""

import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import service, tools, views
from core.deliveries.models import ACTIVE, DeliveryState, Generation
from core.deliveries.views import Detail
from core.providers import catalogue
from core.providers.registry import name_of
from pages.components import creating, errors, formats, media, model_form
from pages.components.actor import current_actor
from pages.components.generation_facts import estimate

AGAIN = "again"
OUTCOME_WITHIN_S = 12.0
_CHECK_FAILURE = "so-check-failure"
_CHECKED = "so-checked"


def show(actor: Actor, detail: Detail, now: datetime) -> None:
    """The buttons that this one's state allows, and why the last check did not work."""
    generation = detail.generation
    drawn: list[Callable[[], None]] = []
    shown = next((found for file in detail.files if (found := media.of_file(file))), None)
    if shown:
        drawn.append(lambda: _download(shown))
    checkable = _offers_check(detail, now)
    if checkable:
        drawn.append(lambda: _check_again(actor, generation, now))
    ended = generation.delivery_state not in ACTIVE
    if ended and catalogue.find(generation.model or "") and generation.input:
        drawn.append(lambda: _again(actor, generation))
        drawn.append(lambda: _edit(generation))
    if drawn:
        with st.grid(len(drawn), min_column_width=140, gap="small"):
            for draw in drawn:
                draw()
    if checkable and (sentence := _why_not(actor, generation, now)):
        st.caption(sentence)
    elif just_checked(generation.id):
        st.caption("It is being checked now; what comes of it shows here.")
    failure = st.session_state.pop(_CHECK_FAILURE, None)
    if isinstance(failure, errors.Failure):
        errors.show(failure)


def _download(shown: media.Shown) -> None:
    st.html(media.download_html(shown))


def _offers_check(detail: Detail, now: datetime) -> bool:
    generation = detail.generation
    if views.is_stuck(generation, now):
        return True
    return generation.delivery_state not in {*ACTIVE, DeliveryState.DELIVERED}


def _why_not(actor: Actor, generation: Generation, now: datetime) -> str | None:
    """Why it cannot be checked now, as a sentence."""
    if not actor.may(Action.SYNC_GENERATION):
        return "Your role does not check generations. Ask an admin for the role support."
    return views.why_not_check(generation, now)


def _check_again(actor: Actor, generation: Generation, now: datetime) -> None:
    name = name_of(generation.provider)
    st.button(
        "Check again",
        icon=":material/sync:",
        width="stretch",
        key="so-check",
        disabled=_why_not(actor, generation, now) is not None,
        help=f"Asks {name} now and fetches the file if there is one. Nothing is paid.",
        on_click=_check,
        args=(generation.id,),
    )


def _check(generation_id: UUID) -> None:
    log.new_request_id()
    try:
        service.request_sync(current_actor(), generation_id, tools.current())
        st.session_state[_CHECKED] = (generation_id, time.monotonic())
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_CHECK_FAILURE] = errors.describe(error, "check")
    st.rerun()


def just_checked(generation_id: UUID) -> bool:
    """Whether this viewer asked for a check a moment ago, so that its outcome is near."""
    asked, at = st.session_state.get(_CHECKED, (None, 0.0))
    return bool(asked == generation_id) and time.monotonic() - at < OUTCOME_WITHIN_S


def _again(actor: Actor, generation: Generation) -> None:
    st.button(
        formats.in_label(f"Again · {estimate(generation)}"),
        icon=":material/replay:",
        width="stretch",
        key="so-again",
        disabled=creating.why_not(actor) is not None,
        help=creating.why_not(actor) or "Makes the same once more, with the same model and input.",
        on_click=_make_again,
        args=(creating.nonce(AGAIN), generation),
    )


def _make_again(request_key: str, generation: Generation) -> None:
    def create(nonce: str) -> Generation:
        return service.make_again(current_actor(), generation.id, f"page:{nonce}", tools.current())

    creating.begin(AGAIN, request_key, str(generation.id), create)
    st.rerun()


def _edit(generation: Generation) -> None:
    st.button(
        "Edit",
        icon=":material/edit:",
        width="stretch",
        key="so-edit",
        help="Puts its model, prompt and settings into the form.",
        on_click=_to_form,
        args=(generation,),
    )


def _to_form(generation: Generation) -> None:
    model_form.fill(generation.model or "", views.asked_input(generation), generation.lora_id)
    st.rerun()
