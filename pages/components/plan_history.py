"""The plans that there were, newest first, and those that run with their progress."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.plans import views
from core.plans.models import ItemState, PlanState
from core.plans.views import Seen
from pages.components import chosen_plan, errors, formats, keyset_table, look, times, who
from pages.components.plan_words import ITEMS, PLANS, TOLD
from pages.components.states import pill_html

_KEY = "so-plans"


def show(actor: Actor) -> None:
    """The list; each line opens its plan."""
    if chosen_plan.named():
        # A line in here was clicked: the page has to follow.
        st.rerun()
    with errors.guarded("plans"):
        now, zone = times.now(), times.viewer_zone()
        before = keyset_table.place(_KEY)
        found = views.history(actor, now, before)
        look.section("Plans")
        if not found.plans:
            keyset_table.nothing("No plan yet", "Choose above what to resync; the dry run changes nothing.")
            return
        for seen in found.plans:
            _line(seen, now, zone)
        fresh = keyset_table.Slice((), found.next_before, None, now)
        keyset_table.foot(_KEY, fresh, (), lambda at: times.clock_time(at, zone))


def _line(seen: Seen, now: datetime, zone: tzinfo) -> None:
    plan, progress = seen.plan, seen.progress
    at = plan.started_at or plan.created_at
    by, by_id = plan.started_by, plan.started_by_id
    if by is None:
        by, by_id = plan.created_by, plan.created_by_id
    said = f"{who.html(by, by_id)} · {times.ago_html(at, now, zone)} · {escape(_said(seen))}"
    bar = ""
    if plan.state in {PlanState.RUNNING, PlanState.PAUSED} and progress.of:
        share = 100 * progress.over / progress.of
        bar = f'<div class="so-progress"><i style="width:{share:.1f}%"></i></div>'
    with st.container(key=f"so-card-plan-{plan.id}", gap=None):
        st.html(
            f'<div class="so-run-line"><div class="so-row"><b>{escape(plan.name)}</b>'
            f'{pill_html(PLANS[plan.state])}</div><div class="so-quiet so-small">{said}</div>{bar}</div>'
        )
        st.button(
            formats.in_label(f"Open the plan {plan.name}"),
            key=f"so-open-plan-{plan.id}",
            on_click=chosen_plan.choose,
            args=(plan.id,),
        )


def _said(seen: Seen) -> str:
    """What became of its items, or what it would do."""
    plan, progress = seen.plan, seen.progress
    if plan.state is PlanState.DRAFT:
        return f"{formats.count(plan.eligible)} of {formats.count(plan.total)} can be resynced"
    if plan.state in {PlanState.RUNNING, PlanState.PAUSED}:
        return f"{formats.count(progress.over)} of {formats.count(progress.of)} done"
    known = [(state, progress.by_state.get(state, 0)) for state in TOLD if state is not ItemState.WAITING]
    told = [f"{formats.count(n)} {ITEMS[state].word.lower()}" for state, n in known if n]
    return ", ".join(told) or "nothing was to do"
