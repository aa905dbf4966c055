"""The Overview's line of the budget."""

from datetime import datetime

import streamlit as st

from core.access import Actor
from core.budget import views
from core.budget.figures import FIGURES
from pages.components import budget_bar, definition, formats


def show(actor: Actor, now: datetime) -> None:
    """This month's trainings against their budget, and where they are going, in a line."""
    position, found = views.outlook(actor, now)
    if found is not None and found.limit_on is not None and position.has_limit:
        going = f"likely crosses it on {budget_bar.day_name(found.limit_on)}"
    elif found is not None:
        going = f"about {formats.total(found.likely_usd)} at its end"
    else:
        going = "too early for a forecast"
    mark = definition.mark_html("Budget", FIGURES["month"])
    st.html(definition.head_html("Budget", f"trainings in {position.month:%B}, {going}", mark))
    st.html(budget_bar.head_html(position, "budget") + budget_bar.bar_html(position))
    if st.button(
        "Budget", icon=":material/arrow_forward:", icon_position="right", type="tertiary", key="so-to-budget"
    ):
        st.switch_page("budget.py")
