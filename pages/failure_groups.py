"""Failure groups: what breaks, since when, for how many, who is on it? And one group, by the address."""

import streamlit as st

from pages.components import chosen_failure, errors, failure_detail, failure_list, look
from pages.components.actor import the_actor

actor = the_actor()

signature = chosen_failure.chosen()
if signature is not None:
    look.title("Failure groups", "What breaks, since when, for how many, who is on it?")
    with errors.guarded("failure group"):
        failure_detail.show(actor, signature)
else:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.title("Failure groups", "What breaks, since when, for how many, who is on it?")
        live = st.toggle("Refresh by itself", value=True, key="failures-live", persist_state="session")
    st.fragment(failure_list.show, run_every=failure_list.REFRESH_S if live else None)(actor)
