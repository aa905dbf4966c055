"""Delivery health: are customers getting their files, and is it getting worse?"""

import streamlit as st

from core.deliveries import health_rows, windows
from pages.components import (
    address,
    definition,
    errors,
    health_filters,
    health_panels,
    health_table,
    keyset_table,
    look,
    storage_panel,
    times,
)
from pages.components.actor import the_actor

REFRESH_S = 15

actor = the_actor()
chosen, faults = windows.read(st.query_params)


def everything() -> None:
    """Everything that changes by itself."""
    if windows.read(st.query_params)[0] != chosen:
        # A number in here was clicked: the filters above it have to follow.
        st.rerun()
    with errors.guarded("delivery health"):
        now, zone = times.now(), times.viewer_zone()
        key = health_table.table_key(chosen)
        shown = keyset_table.at_once(key, whole=not chosen.narrowed)
        board = health_rows.board(actor, chosen, now, keyset_table.place(key), shown)
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["health-live"] else "paused"
        st.html(definition.as_of_html(f"As of {times.clock_time(now, zone)}, {refresh}", now, zone))
        health_filters.notices(board, now, zone)
        if board.health is not None:
            if not board.health.any_generation:
                health_filters.first_day()
                return
            health_panels.numbers(board.health, zone)
        # The rows of a number that was chosen stand right below it, those of the whole window at the end.
        if chosen.narrowed:
            health_table.show(actor, chosen, board, now, zone)
        if board.health is not None:
            health_panels.rescue(actor, board, now, zone)
            health_panels.panels(board.health, zone)
        if not chosen.narrowed:
            health_table.show(actor, chosen, board, now, zone)


with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    look.title("Delivery health", "Are customers getting their files, and is it getting worse?")
    live = st.toggle("Refresh by itself", value=True, key="health-live", persist_state="session")
address.tell(faults)
health_filters.show(chosen)
st.fragment(everything, run_every=REFRESH_S if live else None)()
storage_panel.show(actor, times.now(), times.viewer_zone())
health_filters.definitions()
