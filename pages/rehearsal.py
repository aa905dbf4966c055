"""Rehearsal: what happens when things break?"""

import streamlit as st

from core.rehearsal import service
from pages.components import errors, look, rehearsal_clear, rehearsal_faults, rehearsal_live, rehearsal_start
from pages.components.actor import the_actor

REFRESH_S = 5

actor = the_actor()

look.title("Rehearsal", "What happens when things break?")
with errors.guarded("rehearsal"):
    stands = service.what_stands(actor)
    if stands is None:
        rehearsal_start.offer(actor)
    elif not stands.is_ready:
        st.fragment(rehearsal_start.progress, run_every=1)(actor)
    else:
        st.fragment(rehearsal_live.show, run_every=REFRESH_S)(actor)
        rehearsal_faults.show(actor)
        rehearsal_clear.show(actor)
