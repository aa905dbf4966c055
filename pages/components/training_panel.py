"""The Overview's panel of trainings."""

from datetime import datetime, timedelta
from html import escape
from urllib.parse import urlencode

import streamlit as st

from core.access import Actor
from core.deliveries import windows
from core.trainings import views
from core.trainings.counted import ALL as EVERYTHING
from core.trainings.counted import Counted, What
from core.trainings.figures import FIGURES
from core.trainings.models import RunState
from pages.components import definition, formats, openers
from pages.components.look import facts_html
from pages.components.training_board import ALL, COMPLETED, FAILED, STATE, UNDER_WAY
from pages.components.training_words import LOOKS

WEEK = timedelta(days=7)


def show(actor: Actor, now: datetime) -> None:
    """What runs, what waits, what failed and what completed within a week."""
    # From a full hour on, so that the addresses behind the numbers stay while somebody is at them.
    since = windows.hour_of(now - WEEK)
    week, ended = views.counts(actor, now, since=since), Counted(since=since)
    lines = (
        (RunState.RUNNING, week.running, _runs(UNDER_WAY)),
        (RunState.AWAITING_VERDICT, week.awaiting_verdict, _runs(ALL, Counted(What.VERDICT))),
        (RunState.NEEDS_ATTENTION, week.needs_attention, _runs(ALL, Counted(What.DOUBT))),
        (RunState.FAILED, week.failed, _runs(FAILED, ended)),
        (RunState.COMPLETED, week.completed, _runs(COMPLETED, ended)),
    )
    mark = definition.mark_html("Trainings", FIGURES["week"])
    st.html(definition.head_html("Trainings", "last 7 days", mark))
    drawn = "".join(
        openers.counted_html(LOOKS[state], number, address) for state, number, address in lines if number
    )
    if not drawn:
        st.html('<div class="so-quiet">None is under way, and none has ended this week.</div>')
        return
    cost = f"{formats.total(views.usd_per_hour(actor, now))} an hour now"
    pods = f'<a href="{escape(_runs(ALL, Counted(What.PODS)))}">{cost}</a>'
    st.html(f'<div class="so-row so-parts">{drawn}</div>' + facts_html([("Pods", pods)]))
    if st.button(
        "Training runs",
        icon=":material/arrow_forward:",
        icon_position="right",
        type="tertiary",
        key="so-to-trainings",
    ):
        st.switch_page("training_runs.py")


def _runs(state: str, counted: Counted = EVERYTHING) -> str:
    """Where the runs stand that are at this state, and that were counted so."""
    given = ({STATE: state} if state != ALL else {}) | counted.query()
    return f"training_runs?{urlencode(given)}"
