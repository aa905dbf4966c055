"""Alerts in words: what is wrong, what it means, and the button that says that somebody has seen it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Action, Actor
from core.alerts import policy, service
from core.alerts.models import Alert, Kind
from pages.components import errors, formats, times
from pages.components.states import Tone

MACHINERY = frozenset(policy.OF_MACHINERY.values())


@dataclass(frozen=True)
class Told:
    """How a kind of alert is told; `state` is the filter of Delivery health that shows its rows, `exact` that
    it shows just those."""

    icon: str
    tone: Tone
    headline: Callable[[Alert], str]
    meaning: str
    state: str = ""
    exact: bool = False


def _results(alert: Alert) -> str:
    return formats.counted(alert.count, "result", "results")


def _deliveries(alert: Alert) -> str:
    return formats.counted(alert.count, "delivery", "deliveries")


def _rate(alert: Alert) -> str:
    delivered, finished = (int(alert.evidence.get(name, 0)) for name in ("delivered", "finished"))
    share = formats.percent(delivered / finished) if finished else "Too little"
    return f"Only {share} of the last {formats.count(finished)} generations were delivered"


def _totals(alert: Alert) -> str:
    def pair(name: str) -> str:
        total, lines = (str(alert.evidence.get(f"{name}{of}_usd", "0")) for of in ("", "_lines"))
        return f"{formats.money(Decimal(total))} against {formats.money(Decimal(lines))} {name}"

    return f"The budget's total is not the sum of its lines: {pair('settled')}, {pair('reserved')}"


def _weights(alert: Alert) -> str:
    missing = int(alert.evidence.get("missing", 0))
    if alert.count == 1:
        how = "missing" if missing else "not what they were"
        return f"The weights of “{alert.evidence.get('name', '')}” are {how}"
    return f"The weights of {formats.count(alert.count)} LoRAs are wrong, {formats.count(missing)} missing"


def _usd(alert: Alert, name: str) -> str:
    return formats.money(Decimal(str(alert.evidence.get(name, "0"))).quantize(Decimal("0.01")))


TOLD: dict[Kind, Told] = {
    Kind.LOST_RESULTS: Told(
        "delete_history",
        "lost",
        lambda alert: f"{_results(alert)} lost",
        "KIE finished and no longer has the file. It was paid for; to have it, make it again.",
        "lost",
    ),
    Kind.RESCUE_CLOCK: Told(
        "alarm",
        "bad",
        lambda alert: f"{_results(alert)} will be deleted at KIE soon",
        "Finished, and not in our storage yet. See what holds them up before KIE deletes them.",
        "rescue",
    ),
    Kind.STORAGE_REFUSING: Told(
        "cloud_off",
        "bad",
        lambda alert: f"Our storage refuses the file of {_deliveries(alert)}",
        "They are tried again all the time, at least every ten minutes, and delivered once it is mended.",
        "rescue",
    ),
    Kind.DEAD_CLOCK: Told(
        "heart_broken",
        "bad",
        lambda _: "No clock is alive",
        "Nothing scheduled begins. Start one with: python -m jobs clock",
    ),
    Kind.DEAD_WORKER: Told(
        "heart_broken",
        "bad",
        lambda _: "No worker is alive",
        "Nothing is sent, fetched or stored. Start one with: python -m jobs worker",
    ),
    Kind.SUCCESS_RATE: Told(
        "trending_down",
        "attention",
        _rate,
        f"The target is {formats.percent(policy.SUCCESS_TARGET)}. Look for what the failed ones share.",
        "failed",
    ),
    Kind.STUCK: Told(
        "hourglass_bottom",
        "attention",
        lambda alert: f"{_deliveries(alert)} stuck",
        "Under way for longer than their model may take. KIE is asked about each again and again.",
        "stuck",
        exact=True,
    ),
    Kind.UNEQUAL_TOTALS: Told(
        "balance",
        "bad",
        _totals,
        "Launches are allowed by the total, the first of each pair; the lines are what was paid. Set it right"
        " as the README says under “A total differs from its lines”; the next proof then closes this.",
    ),
    Kind.WRONG_WEIGHTS: Told(
        "broken_image",
        "bad",
        _weights,
        "Put the file back from a copy (Hugging Face, if it was published; a backup), or train it anew, and"
        " archive this one until then. The proof looks again by itself.",
    ),
    Kind.DEAR_LIBRARY: Told(
        "savings",
        "attention",
        lambda alert: f"The LoRA library costs {_usd(alert, 'monthly_usd')} a month",
        "That is more than $100. Archive what nobody has used for half a year, the least used first, and move"
        " the archived files to a cheaper storage.",
    ),
}
# Kinds that are seen to in the library of LoRAs, with the filter that shows what they are about.
IN_LIBRARY = {Kind.WRONG_WEIGHTS: {"sort": "Newest"}, Kind.DEAR_LIBRARY: {"sort": "Least used"}}


def detail_html(alert: Alert, now: datetime, zone: tzinfo) -> str:
    """Since when, what it means, and what our storage said where that is the matter."""
    words = f" · {escape(alert.subject)}" if alert.subject else ""
    until = alert.evidence.get("expires_at")
    soonest = ""
    if isinstance(until, str):
        left = formats.duration(max(0.0, (datetime.fromisoformat(until) - now).total_seconds()))
        soonest = f"The first in {left}. "
    return (
        f'<div class="so-clamp">since {times.ago_html(alert.opened_at, now, zone)} · {soonest}'
        f"{escape(TOLD[alert.kind].meaning)}{words}</div>"
    )


def seen_button(actor: Actor, alert: Alert) -> None:
    """Takes the alert off the list, with a note; nothing for those who may not."""
    if not actor.may(Action.ACKNOWLEDGE_ALERT):
        return
    with st.popover("Seen", icon=":material/done:", help="Take it off this list, with a note for the others"):
        note = f"alert-note-{alert.id}"
        st.text_input("Note", key=note, max_chars=service.MAX_NOTE)
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
