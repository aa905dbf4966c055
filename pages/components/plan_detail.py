"""One plan: its dry run with what will happen, or its progress live, and its items."""

from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Actor
from core.plans import views
from core.plans.models import Plan, PlanState
from core.plans.views import Seen
from core.providers.registry import name_of
from core.web import export
from pages.components import chosen_plan, errors, formats, look, plan_actions, plan_items, times, who
from pages.components.plan_words import GROUPS, ITEMS, PLANS, TOLD
from pages.components.states import icon_html, pill_html

REFRESH_S = 2


def show(actor: Actor) -> None:
    """The plan that the address names; it moves by itself while it runs."""
    st.button(
        "All plans",
        icon=":material/arrow_back:",
        type="tertiary",
        key="so-plan-back",
        on_click=chosen_plan.close,
    )
    plan_id = chosen_plan.chosen()
    if plan_id is None:
        said = "The address names no plan that could exist. Choose one from the list."
        st.html(look.notice_html("attention", "link_off", "There is no such plan", said))
        return
    moving = views.plan(actor, plan_id, times.now()).plan.state in {PlanState.RUNNING, PlanState.PAUSED}
    st.fragment(_plan, run_every=REFRESH_S if moving else None)(actor, plan_id, moving=moving)


def _plan(actor: Actor, plan_id: UUID, *, moving: bool) -> None:
    with errors.guarded("plan"):
        now, zone = times.now(), times.viewer_zone()
        seen = views.plan(actor, plan_id, now)
        if moving != (seen.plan.state in {PlanState.RUNNING, PlanState.PAUSED}):
            # It has ended: what refreshes by itself need not do so any more.
            st.rerun()
        _head(actor, seen, now, zone)
        if seen.plan.state is PlanState.DRAFT:
            _groups(seen.plan)
            _what_happens(seen.plan)
            plan_actions.start(actor, seen.plan, now)
        else:
            _progress(seen)
            plan_actions.steer(actor, seen)
        plan_items.show(actor, seen, now, zone)


def _head(actor: Actor, seen: Seen, now: datetime, zone: tzinfo) -> None:
    plan = seen.plan
    by = who.html(plan.created_by, plan.created_by_id)
    said = f"Dry run by {by} {times.ago_html(plan.created_at, now, zone)}"
    if plan.started_at is not None:
        by = who.html(plan.started_by, plan.started_by_id)
        said = f"Started by {by} {times.ago_html(plan.started_at, now, zone)}"
    if plan.state in {PlanState.PAUSED, PlanState.ABORTED}:
        words, by = PLANS[plan.state].word.lower(), who.html(plan.changed_by, plan.changed_by_id)
        said += f" · {words} by {by} {times.ago_html(plan.changed_at, now, zone)}"
    if plan.state is PlanState.FINISHED and plan.ended_at and plan.started_at:
        said += f" · took {formats.duration((plan.ended_at - plan.started_at).total_seconds())}"
    why = f'<div class="so-quiet">“{escape(plan.reason)}”</div>' if plan.reason else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(
            f'<div class="so-row"><h2 class="so-section">{escape(plan.name)}</h2>'
            f"{pill_html(PLANS[plan.state])}</div>"
            f'<div class="so-quiet so-small">{said} · as of {times.clock_time(seen.at, zone)}</div>{why}'
        )
        link = export.plan_link(actor, plan.id, now)
        if link is not None and plan.total:
            st.link_button("CSV of its items", link, icon=":material/download:")


def _groups(plan: Plan) -> None:
    """The dry run, sorted."""
    with st.grid(3, min_column_width=150, gap="small"):
        for group, words in GROUPS.items():
            n = plan.counts.get(group, 0)
            tone = words.tone if n else "waiting"
            st.html(
                f'<div class="so-framed"><div class="so-number-card so-{tone}"><div class="so-row so-toned">'
                f"{icon_html(words.icon)}<span>{escape(words.word)}</span></div>"
                f'<div class="so-big so-toned">{formats.count(n)}</div>'
                f'<div class="so-small so-quiet">{escape(words.means)}</div></div></div>'
            )


def _what_happens(plan: Plan) -> None:
    if plan.total == 0:
        said = "No generation is on that list now. Choose a longer window, or another list."
        st.html(look.notice_html("waiting", "search_off", "Nothing is on that list", said))
        return
    if plan.eligible == 0:
        said = "Each item below says why it is left alone."
        st.html(look.notice_html("waiting", "block", "Nothing on that list can be resynced", said))
        return
    calls = [f"{formats.count(n)} to {name_of(name)}" for name, n in plan.reads.items() if n]
    rest = plan.total - plan.eligible
    many = formats.counted(plan.eligible, "generation is", "generations are")
    least = formats.duration(max(1.0, plan.expected_s))
    facts = [
        ("What happens", f"{many} asked for, one after the other; a file that is there is stored."),
        ("Calls to providers", escape(", ".join(calls)) or "none: where the files are is known already"),
        ("How long", f"at least {least}, at the provider's limit; what is live goes first"),
        ("Cost", "$0.00: reading and fetching are free, nothing is made again"),
        ("Left alone", f"{formats.counted(rest, 'item', 'items')}; each says why below"),
    ]
    with st.container(border=True, gap="small"):
        st.html(look.facts_html(facts))


def _progress(seen: Seen) -> None:
    """How far it is, in a bar and in numbers."""
    progress = seen.progress
    share = 100 * progress.over / progress.of if progress.of else 100.0
    with st.container(border=True, gap="small", key="so-plan-progress"):
        st.html(
            '<div class="so-progress" role="progressbar" aria-label="Items done" aria-valuemin="0"'
            f' aria-valuemax="100" aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
            f'<div class="so-quiet so-small">{_said(seen)}</div>'
            f'<div class="so-row so-plan-states">{_states_html(seen)}</div>'
        )


def _said(seen: Seen) -> str:
    progress = seen.progress
    said = [f"{formats.count(progress.over)} of {formats.count(progress.of)} done"]
    if seen.plan.state is PlanState.RUNNING and progress.left:
        if progress.pace:
            said.append(f"{formats.count(progress.pace)} in the last minute")
        said.append(f"at least {formats.duration(max(1.0, seen.left_s or 0.0))} left")
    elif seen.in_hand:
        said.append(f"{formats.counted(seen.in_hand, 'item is', 'items are')} still being finished")
    return " · ".join(said)


def _states_html(seen: Seen) -> str:
    known = [(state, seen.progress.by_state.get(state, 0)) for state in TOLD]
    return "".join(
        f'<span class="so-pill so-{ITEMS[state].tone}" title="{escape(ITEMS[state].means)}">'
        f"{icon_html(ITEMS[state].icon)}{escape(ITEMS[state].word)} {formats.count(n)}</span>"
        for state, n in known
        if n
    )
