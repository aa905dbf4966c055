"""The Overview's panel of trainings."""

from datetime import datetime, timedelta

import streamlit as st

from core.access import Actor
from core.trainings import views
from core.trainings.figures import FIGURES
from core.trainings.models import RunState
from pages.components import definition, formats
from pages.components.look import facts_html
from pages.components.states import pill_html
from pages.components.training_words import LOOKS

WEEK = timedelta(days=7)


def show(actor: Actor, now: datetime) -> None:
    """What runs, what waits, what failed and what completed within a week."""
    week = views.counts(actor, now, since=now - WEEK)
    lines = (
        (RunState.RUNNING, week.running),
        (RunState.AWAITING_VERDICT, week.awaiting_verdict),
        (RunState.NEEDS_ATTENTION, week.needs_attention),
        (RunState.FAILED, week.failed),
        (RunState.COMPLETED, week.completed),
    )
    mark = definition.mark_html("Trainings", FIGURES["week"])
    st.html(definition.head_html("Trainings", "last 7 days", mark))
    drawn = "".join(
        f'<span class="so-row so-nowrap">{pill_html(LOOKS[state])}'
        f' <b class="so-number">{formats.count(number)}</b></span>'
        for state, number in lines
        if number
    )
    if not drawn:
        st.html('<div class="so-quiet">None is under way, and none has ended this week.</div>')
        return
    cost = formats.total(views.usd_per_hour(actor, now))
    st.html(f'<div class="so-row so-parts">{drawn}</div>' + facts_html([("Pods", f"{cost} an hour now")]))
    if st.button(
        "Training runs",
        icon=":material/arrow_forward:",
        icon_position="right",
        type="tertiary",
        key="so-to-trainings",
    ):
        st.switch_page("training_runs.py")
