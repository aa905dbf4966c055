"""Overview: is anything on fire, and what first?"""

import streamlit as st

from core import settings
from core.deliveries import views
from pages.components import (
    banner,
    budget_panel,
    definition,
    errors,
    look,
    panels,
    tasks,
    times,
    training_panel,
)
from pages.components.actor import the_actor

REFRESH_S = 10

actor = the_actor()


def first_day() -> None:
    """What an empty product says: what to do first."""
    with st.container(border=True, horizontal_alignment="center", key="so-first-day"):
        st.html(
            look.welcome_html(
                "science",
                "Nothing has been generated yet",
                "Begin with a test: press one button, watch every step, and see the picture delivered.",
            )
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("Make the first test", type="primary", icon=":material/arrow_forward:"):
                st.switch_page("test_generation.py")
            if settings.current().profile == "local" and st.button(
                "Rehearse with a history", icon=":material/theater_comedy:"
            ):
                st.switch_page("rehearsal.py")


def now_and_panels() -> None:
    """Everything that changes by itself."""
    with errors.guarded("overview"):
        now, zone = times.now(), times.viewer_zone()
        empty = not views.any_generation()
        refresh = "refreshed every 10 s" if st.session_state["overview-live"] else "paused"
        st.html(definition.as_of_html(f"As of {times.clock_time(now, zone)}, {refresh}", now, zone))
        found = tasks.gather(actor, now, zone)
        if empty and not found:
            first_day()
        else:
            with st.container(border=True, gap="small"):
                look.section("What needs a person now")
                tasks.show(actor, found, something_else=banner.names_something(now))
        with st.grid(2, min_column_width=270):
            with st.container(border=True, height="stretch", gap="xsmall"):
                panels.delivery(actor, now, zone)
            with st.container(border=True, height="stretch", gap="xsmall"):
                training_panel.show(actor, now)
            with st.container(border=True, height="stretch", gap="xsmall"):
                budget_panel.show(actor, now)
            with st.container(border=True, height="stretch", gap="xsmall"):
                panels.machinery(now, zone)
        with st.container(border=True, gap="xsmall", key="so-what-runs"):
            panels.running(settings.current())


with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    look.title("Overview", "Is anything on fire, and what first?")
    live = st.toggle("Refresh by itself", value=True, key="overview-live", persist_state="session")
st.fragment(now_and_panels, run_every=REFRESH_S if live else None)()
