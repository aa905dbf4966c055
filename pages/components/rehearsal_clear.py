"""Clearing a rehearsal: what goes is counted first, and its word is typed."""

import streamlit as st

from core.access import Actor
from core.deliveries import tools
from core.rehearsal import service
from core.rehearsal.models import Sizes
from pages.components import formats, rehearsal_start
from pages.components.actor import current_actor

TYPED = "so-rehearsal-typed"


def show(actor: Actor) -> None:
    """The button that asks."""
    reason = rehearsal_start.why_not(actor)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="so-rehearsal-end"):
        st.html(
            '<div><b>Finished?</b> <span class="so-quiet">Clearing takes every row, file and task of the'
            " rehearsal away, turns all faults off, and touches nothing else.</span></div>"
        )
        if st.button(
            "Clear the rehearsal…",
            icon=":material/delete_sweep:",
            disabled=reason is not None,
            help=reason,
            key="so-rehearsal-clear",
        ):
            _confirm(actor)


@st.dialog("Clear the rehearsal", icon=":material/delete_sweep:")
def _confirm(actor: Actor) -> None:
    sizes = service.how_much(actor)
    st.html(
        f"<div>This takes away {_told(sizes)}. Rows that are not part of it stay. It can't be undone.</div>"
    )
    word = str(sizes.generations)
    typed = st.text_input(
        f"Type the number of generations, {word}, to confirm", key=TYPED, max_chars=20, autocomplete="off"
    )
    right = typed.replace(",", "").strip() == word
    if st.button("Clear it", type="primary", disabled=not right, key="so-rehearsal-cleared"):
        rehearsal_start.attempt("clear", lambda: service.clear_later(current_actor(), tools.current()))
        st.rerun()


def _told(sizes: Sizes) -> str:
    parts = (
        (sizes.generations, "generation", "generations"),
        (sizes.events, "step of their timelines", "steps of their timelines"),
        (sizes.callbacks, "callback", "callbacks"),
        (sizes.costs, "line of costs", "lines of costs"),
        (sizes.files, "stored file", "stored files"),
        (sizes.trainings, "training with its LoRA", "trainings with their LoRAs"),
        (sizes.customers, "customer", "customers"),
    )
    return ", ".join(f"<b>{formats.counted(number, one, many)}</b>" for number, one, many in parts)
