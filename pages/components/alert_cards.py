"""Alerts one under the other: what is wrong, since when, who has it, who was told, and where it is seen."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Action, Actor
from core.alerts import views, words
from core.alerts.models import Alert, Severity
from core.notifications.service import Outcome
from pages.components import alerts, formats, look, openers, times, who
from pages.components.states import Look, icon_html, pill_html

_STARTS = "so-alerts-starts"
SEVERITIES: dict[Severity, Look] = {
    Severity.CRITICAL: Look(
        "Critical", "error", "bad", "Somebody loses something, or nothing works, until it is mended."
    ),
    Severity.WARNING: Look("Warning", "warning", "attention", "It gets worse unless somebody looks at it."),
    Severity.NOTICE: Look("Notice", "info", "working", "Good to know; nothing has to be done."),
}


def open_ones(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """Those that wait for a person, worst first."""
    found = views.waiting(actor, limit=100)
    if not found:
        st.html(
            look.empty_html("check_circle", "Nothing is open", "What goes wrong is found within ten seconds.")
        )
        return
    _cards(actor, found, now, zone, acknowledging=True)


def acknowledged(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """Those that somebody has seen to and that go on."""
    found = views.acknowledged(actor)
    if not found:
        st.html(
            look.empty_html(
                "done_all", "Nobody has one in hand", "An open alert that is seen stands here until it ends."
            )
        )
        return
    _cards(actor, found, now, zone)


def past(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """Those that are over, a page at a time."""
    starts: list[views.Place] = st.session_state.get(_STARTS, [])
    found = views.past(actor, starts[-1] if starts else None)
    if not found.alerts and not starts:
        st.html(
            look.empty_html(
                "history", "None has ended yet", "An alert ends by itself when its cause is gone."
            )
        )
        return
    _cards(actor, found.alerts, now, zone)
    with st.container(horizontal=True):
        if starts:
            st.button(
                "Newer",
                icon=":material/arrow_back:",
                on_click=_turn,
                args=(starts[:-1],),
                key="so-alerts-newer",
            )
        if found.next_before is not None:
            st.button(
                "Older",
                icon=":material/arrow_forward:",
                icon_position="right",
                on_click=_turn,
                args=([*starts, found.next_before],),
                key="so-alerts-older",
            )


def _turn(starts: Sequence[views.Place]) -> None:
    st.session_state[_STARTS] = list(starts)


def _cards(
    actor: Actor, found: Sequence[Alert], now: datetime, zone: tzinfo, *, acknowledging: bool = False
) -> None:
    told = views.told(actor, found)
    for alert in found:
        with st.container(border=True, gap="small", key=f"so-alert-{alert.id}"):
            words_of, doing = st.columns([7, 3], gap="small", vertical_alignment="center")
            words_of.html(_card_html(alert, told, now, zone))
            with doing.container(
                horizontal=True,
                horizontal_alignment="right",
                vertical_alignment="center",
                key=f"so-alert-do-{alert.id}",
            ):
                evidence = words.evidence_of(alert, may_debug=actor.may(Action.DEBUG_GENERATION))
                if evidence is not None and evidence[0] != words.ALERTS:
                    page, query = evidence
                    st.page_link(
                        f"{page}.py",
                        label=openers.named("See its evidence", words.headline(alert)),
                        icon=":material/arrow_forward:",
                        query_params=dict(query),
                    )
                if acknowledging:
                    alerts.seen_button(actor, alert)


def _card_html(alert: Alert, told: Mapping[UUID, Sequence[Outcome]], now: datetime, zone: tzinfo) -> str:
    tone = alerts.tone_of(alert) if alert.resolved_at is None else "waiting"
    lines = [alerts.detail_html(alert, now, zone)]
    if alert.acknowledged_at is not None:
        note = f": “{escape(alert.note)}”" if alert.note else ""
        by = who.html(alert.acknowledged_by, alert.acknowledged_by_id, "somebody")
        lines.append(f"<div>{by} has seen it {times.ago_html(alert.acknowledged_at, now, zone)}{note}</div>")
    if alert.resolved_at is not None:
        lasted = formats.duration((alert.resolved_at - alert.opened_at).total_seconds())
        lines.append(f"<div>Ended {times.ago_html(alert.resolved_at, now, zone)}, after {lasted}</div>")
    waits = "Nobody has it yet. " if alert.acknowledged_at is None and alert.resolved_at is None else ""
    lines.append(f"<div>{waits}{_told_html(alert, told.get(alert.id, ()), now, zone)}</div>")
    return (
        f'<div class="so-task so-{tone}">{icon_html(alerts.ICONS[alert.kind])}'
        f'<div class="so-row"><b>{escape(words.headline(alert))}</b>'
        f"{pill_html(SEVERITIES[alert.severity])}</div>"
        f'<div class="so-quiet">{"".join(lines)}</div></div>'
    )


def _told_html(alert: Alert, outcomes: Sequence[Outcome], now: datetime, zone: tzinfo) -> str:
    """Who was told of it, and by which channel not."""
    if not outcomes:
        waits = alert.notified_at is None and alert.resolved_at is None
        return "Messages about it are being written." if waits else "Told on this page alone."
    return "; ".join(_outcome_html(one, now, zone) for one in outcomes)


def _outcome_html(one: Outcome, now: datetime, zone: tzinfo) -> str:
    label = escape(one.label)
    if one.state == "sent":
        return f"Told by {label} {times.ago_html(one.ended_at, now, zone)}"
    if one.state == "failed":
        return f'<span class="so-bad-text">{label} never took it</span>: {escape(one.error or "")}'
    if one.attempts:
        return (
            f'<span class="so-bad-text">{label} has not taken it yet</span>, tried again'
            f" {times.ago_html(one.next_attempt_at, now, zone)}: {escape(one.error or '')}"
        )
    return f"On its way by {label}"
