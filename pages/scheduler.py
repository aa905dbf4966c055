"""Scheduler: is the machinery alive? And one scheduled job, by the address."""

import streamlit as st

from core.machinery.schedule import SCHEDULE
from pages.components import address, chosen_job, job_board, job_detail, look
from pages.components.actor import the_actor

actor = the_actor()

with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    look.title("Scheduler", "Is the machinery alive?")
    live = st.toggle("Refresh by itself", value=True, key="scheduler-live", persist_state="session")
named = chosen_job.named()
if named is not None and named not in SCHEDULE:
    address.tell([f"There is no job “{named[:60]}”. All of them stand below."])
if named in SCHEDULE:
    job_detail.show(actor, str(named), live=live)
else:
    st.fragment(job_board.show, run_every=job_board.REFRESH_S if live else None)(actor)
