"""One failure group: what fails, how it develops, who has it, the plans for it, and its generations."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from html import escape

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import health_rows
from core.deliveries.windows import Filter
from core.failures import policy, service, views
from core.failures.models import FailureGroup, GroupState
from core.plans import views as plans
from core.plans.models import Source
from core.plans.policy import LONGEST_PLAN_NAME
from core.web import export
from pages.components import (
    chosen_failure,
    errors,
    failure_words,
    formats,
    health_table,
    keyset_table,
    look,
    resync_all,
    times,
    who,
)
from pages.components.actor import current_actor
from pages.components.health_filters import model_name
from pages.components.plan_words import ITEMS, PLANS, TOLD
from pages.components.states import icon_html, pill_html

_KEY = "so-failure"
_FIELDS = ("note", "owner", "until")


def show(actor: Actor, signature: str) -> None:
    """The group that the address names."""
    st.button(
        "All failure groups",
        icon=":material/arrow_back:",
        type="tertiary",
        key=f"{_KEY}-back",
        on_click=chosen_failure.close,
    )
    now, zone = times.now(), times.viewer_zone()
    group = views.group(actor, signature)
    until = failure_words.counted_until(views.counting(actor, now), zone)
    st.html(f'<div class="so-as-of">As of {times.clock_time(now, zone)} · {until}</div>')
    _head(group, now, zone)
    _actions(actor, group)
    _plans(actor, group, now, zone)
    _rows(actor, group, now, zone)


def _head(group: FailureGroup, now: datetime, zone: tzinfo) -> None:
    trend, icon = failure_words.trend(group)
    state = failure_words.GROUPS[group.state]
    st.html(
        f'<div class="so-row"><h2 class="so-section">{escape(failure_words.title(group))}</h2>'
        f"{pill_html(state)}</div>"
    )
    facts = [
        ("Model", escape(model_name(group.model))),
        ("Fails", escape(failure_words.stage(group))),
        ("How many", f"{formats.count(group.n)} stand like that, {formats.count(group.n_day)} of 24 hours"),
        ("Trend", f"{icon_html(icon)} {escape(trend)}"),
        ("Customers", escape(failure_words.users(group))),
        ("First seen", times.ago_html(group.first_seen_at, now, zone)),
        ("Newest", times.ago_html(group.newest_at, now, zone)),
        ("Who has it", who.html(group.owner, group.owner_id, "nobody")),
    ]
    if group.ignored_until is not None:
        facts.append(("Ignored until", escape(times.exact(group.ignored_until, zone))))
    if group.changed_at is not None:
        by = who.html(group.changed_by, group.changed_by_id)
        said = f"{by} {times.ago_html(group.changed_at, now, zone)}"
        facts.append(("Last said", f"{said}{f': “{escape(group.note)}”' if group.note else ''}"))
    if group.reopened_at is not None:
        facts.append(("Came back", times.ago_html(group.reopened_at, now, zone)))
    with st.grid(2, min_column_width=320):
        with st.container(border=True, height="stretch"):
            st.html(look.facts_html(facts))
        with st.container(border=True, height="stretch"):
            st.html(_course_html(group, now))


def _course_html(group: FailureGroup, now: datetime) -> str:
    """Failures by the day they were begun on, of the last two weeks."""
    head = (
        '<div class="so-panel-head"><b>Failures</b>'
        '<span class="so-quiet so-small">by the day (UTC)</span></div>'
    )
    most = max(group.days, default=0)
    if not most:
        return f'{head}<div class="so-quiet">None in the last two weeks.</div>'
    first = now.astimezone(UTC).date() - timedelta(days=len(group.days) - 1)
    bars = "".join(
        f'<span class="so-bar" title="{first + timedelta(days=n):%d %b}: {count:,}">'
        f'<i class="so-not" style="height:{100 * count / most:.0f}%"></i></span>'
        for n, count in enumerate(group.days)
    )
    last = first + timedelta(days=len(group.days) - 1)
    return (
        f'{head}<div class="so-tall"><div class="so-bars" role="img" aria-label="Failures by the day, at most'
        f' {most:,}">{bars}</div></div><div class="so-bars-scale"><span>{first:%d %b}</span>'
        f"<span>at most {most:,} a day</span><span>{last:%d %b}</span></div>"
    )


def _actions(actor: Actor, group: FailureGroup) -> None:
    may = actor.may(Action.MANAGE_FAILURES)
    closed = None if may else "Your role does not see to failures. Ask somebody of support or operations."
    with st.container(horizontal=True, vertical_alignment="center", key=f"{_KEY}-actions"):
        if group.state in {GroupState.OPEN, GroupState.IGNORED, GroupState.ACKNOWLEDGED}:
            words = "Change owner or note" if group.state is GroupState.ACKNOWLEDGED else "I see to it"
            _with_note(group, GroupState.ACKNOWLEDGED, words, "front_hand", closed, "", owner=True)
        if group.state is not GroupState.RESOLVED:
            means = "It opens by itself if a generation that is begun from now on fails like this."
            _with_note(group, GroupState.RESOLVED, "Resolved", "check_circle", closed, means)
        if group.state in {GroupState.OPEN, GroupState.ACKNOWLEDGED}:
            means = "It is off the list until then, and opens by itself if it goes on afterwards."
            _with_note(
                group, GroupState.IGNORED, "Ignore until", "notifications_paused", closed, means, until=True
            )
        if group.state is not GroupState.OPEN:
            _with_note(group, GroupState.OPEN, "Open again", "undo", closed, "Somebody has to see to it.")
    _refusal(group, None)


def _with_note(
    group: FailureGroup,
    state: GroupState,
    words: str,
    icon: str,
    closed: str | None,
    means: str,
    *,
    owner: bool = False,
    until: bool = False,
) -> None:
    """A button that asks for what is to be known first."""
    key = f"{_KEY}-{state}"
    with st.popover(words, icon=f":material/{icon}:", disabled=closed is not None, help=closed):
        if means:
            st.html(f'<div class="so-popover-words">{escape(means)}</div>')
        if owner:
            st.text_input(
                "Who has it?",
                key=f"{key}-owner",
                max_chars=policy.LONGEST_OWNER,
                placeholder=group.owner or "I",
            )
            _refusal(group, "owner")
        if until:
            today = times.now().date()
            st.date_input(
                "Until",
                value=today + timedelta(days=7),
                min_value=today + timedelta(days=1),
                max_value=today + policy.LONGEST_IGNORED,
                key=f"{key}-until",
            )
            _refusal(group, "until")
        st.text_input("Note", key=f"{key}-note", max_chars=policy.LONGEST_NOTE, placeholder=group.note or "")
        _refusal(group, "note")
        st.button(words, type="primary", key=f"{key}-do", on_click=_change, args=(group, state))


def _change(group: FailureGroup, state: GroupState) -> None:
    log.new_request_id()
    key = f"{_KEY}-{state}"
    st.session_state.pop(f"{_KEY}-refused", None)
    day = st.session_state.get(f"{key}-until")
    until = datetime.combine(day, time(), UTC) if isinstance(day, date) else None
    try:
        service.change(
            current_actor(),
            group.signature,
            state,
            times.now(),
            seen=group.state,
            note=str(st.session_state.get(f"{key}-note") or ""),
            owner=str(st.session_state.get(f"{key}-owner") or ""),
            until=until,
        )
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        failure = errors.describe(error, "failure group")
        st.session_state[f"{_KEY}-refused"] = (group.signature, failure)


def _refusal(group: FailureGroup, field: str | None) -> None:
    """The refusal of this field of this group; with None whatever belongs to no field."""
    of, failure = st.session_state.get(f"{_KEY}-refused", (None, None))
    if of != group.signature or not isinstance(failure, errors.Failure):
        return
    if failure.field == field or (field is None and failure.field not in _FIELDS):
        st.html(look.field_error_html(failure.sentence))


def _plans(actor: Actor, group: FailureGroup, now: datetime, zone: tzinfo) -> None:
    """The plans that were made from this group, with what they repaired."""
    found = plans.of_failure(actor, group.signature)
    if not found:
        return
    with st.container(border=True, gap="small", key=f"{_KEY}-plans"):
        look.section("Plans that repaired it")
        for plan in found:
            results = plan.results or {}
            known = [
                f"{results[state]:,} {ITEMS[state].word.lower()}" for state in TOLD if results.get(state)
            ]
            told = escape(", ".join(known) or "under way")
            st.html(
                f'<div class="so-row"><a href="bulk_resync?plan={plan.id}">'
                f"{escape(plan.name)}</a>{pill_html(PLANS[plan.state])}</div>"
                f'<div class="so-quiet so-small">{who.html(plan.started_by, plan.started_by_id)}'
                f" {times.ago_html(plan.started_at, now, zone)} · {told}</div>"
            )


def _rows(actor: Actor, group: FailureGroup, now: datetime, zone: tzinfo) -> None:
    """Its generations of 30 days, and the way to resync all of them."""
    wanted = Filter(window="30d", signature=group.signature)
    if not group.n:
        st.html(
            look.notice_html("good", "check_circle", "None of its generations stands like that any more.")
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.section("Its generations of 30 days, newest first")
        name = formats.excerpt(failure_words.title(group), LONGEST_PLAN_NAME)
        with st.container(horizontal=True, width="content"):
            resync_all.button(actor, group.signature, Source(wanted), None, "this group", name=name)
            link = export.link(actor, wanted, now)
            if link is not None:
                st.link_button("CSV of all of them", link, icon=":material/download:")
    key = health_table.table_key(wanted)
    page = health_rows.rows(actor, wanted, now, keyset_table.place(key))
    health_table.table(actor, key, page, None, now, zone)
