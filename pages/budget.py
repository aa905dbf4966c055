"""Budget: will we stay under the limit, who spends it, is it worth it?"""

import streamlit as st

from core.budget import ledger, views
from core.budget.figures import FIGURES
from core.budget.models import EVERYTHING, TRAININGS
from core.trainings import spending
from pages.components import (
    address,
    budget_bar,
    budget_controls,
    budget_ledger,
    budget_parts,
    budget_worth,
    definition,
    errors,
    look,
    times,
)
from pages.components.actor import the_actor

REFRESH_S = 15

actor = the_actor()
wanted, faults = ledger.read(st.query_params, times.now())


def scopes() -> None:
    """Which budget is looked at, as buttons that change the address."""
    with st.container(horizontal=True, vertical_alignment="center", key="so-budget-scopes"):
        for scope, words in budget_parts.SCOPE_NAMES.items():
            st.button(
                words,
                key=f"budget-scope-{scope}",
                type="primary" if wanted.scope == scope else "secondary",
                on_click=budget_parts.go,
                args=(ledger.Filter(wanted.month, scope),),
            )


def everything() -> None:
    """Everything that changes by itself."""
    now, zone = times.now(), times.viewer_zone()
    if ledger.read(st.query_params, now)[0] != wanted:
        # A number in here was clicked: what stands above has to follow.
        st.rerun()
    with errors.guarded("budget"):
        board = views.board(actor, now, wanted.scope, wanted.month)
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["budget-live"] else "paused"
        counted = f", lines counted {times.ago_html(board.folded_at, now, zone)}" if board.folded_at else ""
        as_of = f"{wanted.month:%B %Y}, UTC · as of {times.clock_time(now, zone)}, {refresh}{counted}"
        st.html(definition.as_of_html(as_of, now, zone))
        with st.container(border=True, gap="small", key="so-budget-month"):
            mark = definition.mark_html("The month", FIGURES["month"])
            st.html(
                definition.head_html(f"{wanted.month:%B %Y}", budget_parts.SCOPE_NAMES[wanted.scope], mark)
            )
            st.html(budget_bar.head_html(board.position) + budget_bar.bar_html(board.position))
            with st.container(
                horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
            ):
                st.html(
                    f'<div class="so-outlook">{budget_bar.outlook_html(board, now)}</div>', width="stretch"
                )
                budget_bar.method(board)
            if wanted.scope != TRAININGS:
                st.html(budget_parts.credits_html(views.kie_credits(actor, now)))
        creators: tuple[spending.Creator, ...] = ()
        used = spending.quotas(actor, wanted.month)
        if wanted.scope in {TRAININGS, EVERYTHING}:
            found = spending.worth(actor, wanted.month)
            creators = found.creators
            budget_worth.show(found, used, wanted.month)
        budget_controls.show(actor, board, now, zone)
        lines = budget_ledger.page_of(actor, wanted)
        # The lines of a number that was chosen stand right below it, those of the whole month at the end.
        if wanted.narrowed:
            budget_ledger.show(actor, wanted, lines, now, zone)
        budget_bar.course(board)
        budget_parts.parts(board, creators, used, wanted)
        if not wanted.narrowed:
            budget_ledger.show(actor, wanted, lines, now, zone)


with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    look.title("Budget", "Will we stay under the limit, who spends it, is it worth it?")
    live = st.toggle("Refresh by itself", value=True, key="budget-live", persist_state="session")
address.tell(faults)
scopes()
st.fragment(everything, run_every=REFRESH_S if live else None)()
