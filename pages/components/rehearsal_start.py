"""Beginning a rehearsal, and how far its filling or clearing is."""

from html import escape

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import tools
from core.rehearsal import service
from pages.components import errors, formats, look
from pages.components.actor import current_actor
from pages.components.states import icon_html

_FAILURE = "so-rehearsal-failure"
SIZES = {"Small": 1_500, "Usual": service.DEFAULT_GENERATIONS, "Large": 50_000}
DAYS = (14, 30, 60, 120)
GETS = (
    ("history", "A history", "with every ending, an outage, many customers and a month's end."),
    ("sync_problem", "Things under way", "stuck, expiring and lost ones, followed as real deliveries."),
    (
        "model_training",
        "Trainings",
        "at every stage, and LoRAs with ratings and uses.",
    ),
    ("bolt", "Live traffic", "through the same machinery, at a rate that you choose, ending by itself."),
    (
        "electrical_services",
        "Faults",
        "to turn on while you watch whether anything is lost or paid twice.",
    ),
)


def why_not(actor: Actor) -> str | None:
    """Why this person may not rehearse, as a sentence; None when they may."""
    if actor.may(Action.REHEARSE):
        return None
    return "Your role does not rehearse. Ask an admin for the role operations."


def offer(actor: Actor) -> None:
    """What a rehearsal is, and the button that begins one."""
    show_failure()
    with st.container(border=True, key="so-rehearsal-offer"):
        st.html(
            look.welcome_html(
                "theater_comedy",
                "Practise before it matters",
                "A made-up history with real deliveries, on this machine alone: nothing is sent to KIE, and"
                " clearing it leaves no trace.",
            )
        )
        st.html(f'<ul class="so-gets">{"".join(_gets_html(*one) for one in GETS)}</ul>')
        how_much, how_long = st.columns(2)
        size = how_much.segmented_control(
            "How much",
            list(SIZES),
            default="Usual",
            required=True,
            key="so-rehearsal-size",
            format_func=lambda name: f"{name}, {formats.count(SIZES[name])}",
        )
        days = how_long.segmented_control(
            "Over how many days",
            DAYS,
            default=60,
            required=True,
            key="so-rehearsal-days",
        )
        reason = why_not(actor)
        st.button(
            "Begin the rehearsal",
            type="primary",
            icon=":material/play_arrow:",
            disabled=reason is not None,
            help=reason,
            key="so-rehearsal-begin",
            on_click=_begin,
            args=(SIZES[str(size)], int(days or 60)),
        )


def _gets_html(icon: str, name: str, line: str) -> str:
    return f"<li>{icon_html(icon)}<div><b>{escape(name)}</b> {escape(line)}</div></li>"


def _begin(generations: int, days: int) -> None:
    attempt(
        "begin",
        lambda: service.begin_later(current_actor(), tools.current(), generations=generations, days=days),
    )


def attempt(part: str, what: object) -> None:
    """Do what a click asks for; what goes wrong is kept for `show_failure`."""
    st.session_state.pop(_FAILURE, None)
    log.new_request_id()
    assert callable(what)
    try:
        what()
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILURE] = errors.describe(error, f"rehearsal:{part}")


def show_failure() -> None:
    """Why the last click did not work, once."""
    found = st.session_state.pop(_FAILURE, None)
    if isinstance(found, errors.Failure):
        errors.show(found)


def progress(actor: Actor) -> None:
    """How far filling or clearing is; the whole page comes again when it is done."""
    with errors.guarded("rehearsal-progress"):
        stands = service.what_stands(actor)
        if stands is None or stands.is_ready:
            st.rerun()
        show_failure()
        filling = stands.is_filling
        with st.container(border=True):
            st.html(
                look.welcome_html(
                    "hourglass_top",
                    "The history is being written" if filling else "The rehearsal is being cleared",
                    "A worker does it; you may leave this page.",
                )
            )
            told = f"{formats.count(stands.done)} of {formats.count(stands.total)} rows"
            st.progress(min(1.0, stands.done / max(stands.total, 1)), text=told)
            st.button(
                "Stop and clear" if filling else "Clear again",
                icon=":material/delete_sweep:",
                disabled=why_not(actor) is not None,
                help="For when it does not go on: what is there is taken away.",
                key="so-rehearsal-clear-again",
                on_click=lambda: attempt(
                    "clear", lambda: service.clear_later(current_actor(), tools.current())
                ),
            )
