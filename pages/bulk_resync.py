"""Bulk resync: fix all of these, without making it worse. And one plan, by the address."""

import streamlit as st

from pages.components import chosen_plan, errors, look, plan_detail, plan_form, plan_history
from pages.components.actor import the_actor

REFRESH_S = 5

actor = the_actor()

look.title("Bulk resync", "Fix all of these, without making it worse.")
if chosen_plan.named():
    with errors.guarded("plan"):
        plan_detail.show(actor)
else:
    with errors.guarded("choosing"):
        plan_form.show(actor)
    st.fragment(plan_history.show, run_every=REFRESH_S)(actor)
