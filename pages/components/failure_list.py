"""Failure groups as a list: new ones first, then those that fail most; each opens its own."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.failures import policy, views
from core.failures.models import FailureGroup, GroupState
from core.failures.views import Counting
from pages.components import chosen_failure, errors, failure_words, formats, keyset_table, look, times, who
from pages.components.health_filters import model_name
from pages.components.states import LOOKS, icon_html, pill_html

SHOW = "show"
REFRESH_S = 15
CHOICES: dict[str, tuple[GroupState, ...]] = {
    "To see to": (GroupState.OPEN, GroupState.ACKNOWLEDGED),
    "Open": (GroupState.OPEN,),
    "In hand": (GroupState.ACKNOWLEDGED,),
    "Resolved": (GroupState.RESOLVED,),
    "Ignored": (GroupState.IGNORED,),
}
ANY = "Any model"


def show(actor: Actor) -> None:
    """What narrows the list, and the list."""
    if chosen_failure.chosen() is not None:
        # A line in here was clicked: the page has to follow.
        st.rerun()
    with errors.guarded("failure groups"):
        now, zone = times.now(), times.viewer_zone()
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["failures-live"] else "paused"
        counting = views.counting(actor, now)
        until = failure_words.counted_until(counting, zone)
        st.html(f'<div class="so-as-of">As of {times.clock_time(now, zone)}, {refresh} · {until}</div>')
        with st.container(horizontal=True, vertical_alignment="center"):
            chosen = st.segmented_control(
                "Which", list(CHOICES), default="To see to", required=True, key=SHOW, bind="query-params",
                label_visibility="collapsed",
            )  # fmt: skip
            model = st.selectbox(
                "Model",
                [ANY, *views.models(actor)],
                key="so-failures-model",
                format_func=lambda one: one if one == ANY else model_name(one),
                label_visibility="collapsed",
                width=220,
            )
        wanted = chosen or "To see to"
        of = None if model in {None, ANY} else str(model)
        key = f"so-failures-{look.safe_key(str((wanted, of)))}"
        before = keyset_table.place(key)
        page = views.groups(actor, now, CHOICES[wanted], model=of, before=before)
        if not page.groups and before is None:
            keyset_table.nothing(*_nothing(actor, wanted, counting))
            return
        for group in page.groups:
            _line(group, now, zone)
        fresh = keyset_table.Slice((), page.next_before, None, now)
        keyset_table.foot(key, fresh, (), lambda at: times.clock_time(at, zone), ("Back", "Further"))


def _nothing(actor: Actor, wanted: str, counting: Counting) -> tuple[str, str]:
    stand = views.counts(actor)
    if counting.more:
        return (
            f"No group under “{wanted}” yet" if stand else "Failures are being counted",
            "There are some that stand in no group yet. They come by themselves, mostly within a minute.",
        )
    if not stand:
        return "Nothing has failed", "Failures that are the same become a group here, within half a minute."
    return f"No group under “{wanted}”", "Choose another one above."


def _line(group: FailureGroup, now: datetime, zone: tzinfo) -> None:
    title, (trend, icon) = failure_words.title(group), failure_words.trend(group)
    new = (
        f'<span class="so-pill so-bad">{icon_html("new_releases")}New</span>'
        if policy.is_new(group, now)
        else ""
    )
    owner = f" · {who.html(group.owner, group.owner_id)} has it" if group.owner else ""
    small = (
        f"{escape(model_name(group.model))} · fails {escape(failure_words.stage(group))} ·"
        f" {escape(failure_words.users(group))} · newest {times.ago_html(group.newest_at, now, zone)},"
        f" first {times.ago_html(group.first_seen_at, now, zone)}{owner}"
    )
    with st.container(key=f"so-card-failure-{group.signature}", gap=None):
        st.html(
            '<div class="so-run-line"><div class="so-row so-failure-head">'
            f'<b class="so-clip-2">{escape(title)}</b>{new}'
            f"{pill_html(failure_words.GROUPS[group.state])}</div>"
            f'<div class="so-small"><b>{formats.count(group.n_day)}</b> in 24 h'
            f' <span class="so-quiet">{icon_html(icon)} {escape(trend)} · {formats.count(group.n)} in all'
            "</span></div>"
            f'<div class="so-quiet so-small">{small}</div></div>'
        )
        of = f"{model_name(group.model)} · {LOOKS[group.stands].word}"
        st.button(
            formats.in_label(f"Open {formats.excerpt(title, 60)} · {of}"),
            key=f"so-open-failure-{group.signature}",
            on_click=chosen_failure.choose,
            args=(group.signature,),
        )
