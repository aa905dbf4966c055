"""Alerts as people see them: icon and colour, since when, and the button that says that one was seen."""

from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Action, Actor
from core.alerts import policy, service, words
from core.alerts.models import Alert, Kind, Severity
from pages.components import errors, formats, openers, times
from pages.components.states import Tone

MACHINERY = frozenset(policy.OF_MACHINERY.values())
ICONS: dict[Kind, str] = {
    Kind.LOST_RESULTS: "delete_history",
    Kind.RESCUE_CLOCK: "alarm",
    Kind.STORAGE_REFUSING: "cloud_off",
    Kind.DEAD_CLOCK: "heart_broken",
    Kind.DEAD_WORKER: "heart_broken",
    Kind.SUCCESS_RATE: "trending_down",
    Kind.VIDEO_SUCCESS: "trending_down",
    Kind.STUCK: "hourglass_bottom",
    Kind.BUDGET_HALF: "savings",
    Kind.BUDGET_ALERT: "payments",
    Kind.BUDGET_FULL: "money_off",
    Kind.BUDGET_FORECAST: "event_upcoming",
    Kind.UNEQUAL_TOTALS: "balance",
    Kind.FAILURE_COST: "payments",
    Kind.UNKNOWN_PRICE: "question_mark",
    Kind.LOW_CREDITS: "battery_alert",
    Kind.TRAINING_SUCCESS: "trending_down",
    Kind.TRAININGS_SILENT: "hourglass_bottom",
    Kind.VERDICT_WAITING: "gavel",
    Kind.IMAGE_DOWNLOADS: "broken_image",
    Kind.ORPHAN_PODS: "dns",
    Kind.STORAGE_GROWTH: "database",
    Kind.BROKEN_CHANNEL: "notifications_off",
    Kind.JOB_FAILING: "running_with_errors",
    Kind.JOB_LONG: "hourglass_bottom",
    Kind.JOB_OVERLAPPING: "layers",
    Kind.WRONG_WEIGHTS: "broken_image",
    Kind.DEAR_LIBRARY: "savings",
}
_TONES: dict[Severity, Tone] = {
    Severity.CRITICAL: "bad",
    Severity.WARNING: "attention",
    Severity.NOTICE: "working",
}


def tone_of(alert: Alert) -> Tone:
    """The colour of an alert."""
    return "lost" if alert.kind is Kind.LOST_RESULTS else _TONES[alert.severity]


def detail_html(alert: Alert, now: datetime, zone: tzinfo) -> str:
    """Since when, what it means, and what our storage said where that is the matter."""
    said = f" · {escape(alert.subject)}" if alert.kind is Kind.STORAGE_REFUSING and alert.subject else ""
    until = alert.evidence.get("expires_at")
    soonest = ""
    if isinstance(until, str):
        left = formats.duration(max(0.0, (datetime.fromisoformat(until) - now).total_seconds()))
        soonest = f"The first in {left}. "
    return (
        f'<div class="so-clamp">opened {times.ago_html(alert.opened_at, now, zone)} · {soonest}'
        f"{escape(words.meaning(alert))}{said}</div>"
    )


def seen_button(actor: Actor, alert: Alert) -> None:
    """Takes the alert off the list, with a note; nothing for those who may not."""
    if not actor.may(Action.ACKNOWLEDGE_ALERT):
        return
    label = openers.named("Seen", words.headline(alert))
    with st.popover(label, icon=":material/done:", help="Take it off this list, with a note for the others"):
        note = f"alert-note-{alert.id}"
        st.text_input(
            "Note", key=note, max_chars=service.MAX_NOTE, placeholder="What you do about it, for the others"
        )
        # A callback gets what was on the screen; the script that runs after the click reads anew.
        st.button(
            "I have seen it",
            key=f"alert-seen-{alert.id}",
            type="primary",
            on_click=_seen,
            args=(actor, alert.id, alert.count, note),
        )


def _seen(actor: Actor, alert_id: UUID, seen_count: int, note: str) -> None:
    with errors.guarded("alert"):
        service.acknowledge(actor, alert_id, seen_count, st.session_state.get(note, ""), times.now())
