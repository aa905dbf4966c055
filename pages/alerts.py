"""Alerts: what is open, who has it?"""

import streamlit as st

from core.alerts import views
from pages.components import alert_cards, alert_channels, errors, look, times
from pages.components.actor import the_actor

REFRESH_S = 10
OPEN, SEEN, PAST = "Open", "Seen to", "Past"
SHOW = "show"

actor = the_actor()


def everything() -> None:
    """Everything that changes by itself."""
    with errors.guarded("alerts"):
        now, zone = times.now(), times.viewer_zone()
        many = views.how_many(actor)
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["alerts-live"] else "paused"
        counts = f"{many.waiting} open, {many.acknowledged} seen to"
        st.html(f'<div class="so-as-of">{counts} · as of {times.clock_time(now, zone)}, {refresh}</div>')
        chosen = st.segmented_control(
            "Which",
            [OPEN, SEEN, PAST],
            default=OPEN,
            required=True,
            key=SHOW,
            bind="query-params",
            label_visibility="collapsed",
        )
        shown = {OPEN: alert_cards.open_ones, SEEN: alert_cards.acknowledged, PAST: alert_cards.past}
        shown.get(chosen or OPEN, alert_cards.open_ones)(actor, now, zone)
        alert_channels.show(actor, now, zone)


with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    look.title("Alerts", "What is open, who has it?")
    live = st.toggle("Refresh by itself", value=True, key="alerts-live", persist_state="session")
st.fragment(everything, run_every=REFRESH_S if live else None)()
