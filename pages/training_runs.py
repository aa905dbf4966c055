"""Training runs: what is running, what broke, what does it cost me right now? And one run, by the address."""

import streamlit as st

from pages.components import chosen_run, errors, look, training_list, training_run
from pages.components.actor import the_actor

actor = the_actor()

if chosen_run.named():
    with errors.guarded("training run"):
        training_run.show(actor)
else:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.title("Training runs", "What is running, what broke, what does it cost me right now?")
        live = st.toggle("Refresh by itself", value=True, key="trainings-live", persist_state="session")
    st.fragment(training_list.show, run_every=training_list.REFRESH_S if live else None)(actor)
