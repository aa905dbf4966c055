"""The moderation queue: what people have reported, the oldest first, and the decision."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.loras import service, views
from core.loras.models import Lora, Reason, Reported
from pages.components import chosen_lora, formats, look, lora_doing, openers, times
from pages.components.lora_words import REASONS

SHOWN = 5


def show(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """What waits for a decision; nothing while nothing does."""
    waiting = views.queue(actor, limit=SHOWN + 1)
    if not waiting:
        return
    with st.container(border=True, gap="small", key="so-lora-queue"):
        more = "+" if len(waiting) > SHOWN else ""
        look.section(f"Reported, waiting for a decision: {min(len(waiting), SHOWN)}{more}")
        for reported in waiting[:SHOWN]:
            _one(reported, now, zone)
        lora_doing.told("queue")


def of_one(actor: Actor, lora: Lora, now: datetime, zone: tzinfo) -> None:
    """What waits for a decision about one LoRA, on its own page, where Hide is another button."""
    waiting = views.reported(actor, lora.id)
    if waiting is not None:
        with st.container(border=True, gap="small", key="so-lora-reported"):
            words, doing = st.columns([5, 2], gap="small", vertical_alignment="center")
            many = formats.counted(waiting.reports, "report waits", "reports wait")
            first = times.ago_html(waiting.since, now, zone)
            with words:
                look.section(f"{many} for a decision")
                st.html(f'<div class="so-quiet so-small">The first {first}</div>{_said_html(waiting)}')
            with doing, st.container(horizontal=True, horizontal_alignment="right"):
                _dismiss(waiting)
    lora_doing.told("queue")


def _said_html(reported: Reported) -> str:
    said = "".join(
        f"<li>{escape(REASONS.get(Reason(reason), reason))}{f': “{escape(note)}”' if note else ''}"
        f' <span class="so-quiet">· {escape(who)}</span></li>'
        for reason, note, who in zip(reported.reasons, reported.notes, reported.reporters, strict=True)
    )
    return f'<ul class="so-small so-reports">{said}</ul>'


def _one(reported: Reported, now: datetime, zone: tzinfo) -> None:
    words, doing = st.columns([5, 4], gap="small", vertical_alignment="center")
    with words:
        st.html(
            f"<div><b>{escape(reported.name)}</b>"
            f' <span class="so-quiet">(by {escape(reported.creator_name or "unknown")})'
            f" · {formats.counted(reported.reports, 'report', 'reports')},"
            f" the first {times.ago_html(reported.since, now, zone)}</span></div>"
            f"{_said_html(reported)}"
        )
    with doing, st.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            openers.named("Open", reported.name),
            icon=":material/open_in_new:",
            key=f"so-queue-open-{reported.id}",
            on_click=chosen_lora.choose,
            args=(reported.id,),
        )
        lora_doing.with_reason(
            "queue",
            f"queue-hide-{reported.id}",
            "Hide",
            "visibility_off",
            "Nobody but its creator and operations sees it any more. It can be undone.",
            lambda who, reason, at: service.hide(who, reported.id, reason, at),
            of=reported.name,
        )
        _dismiss(reported, of=reported.name)


def _dismiss(reported: Reported, of: str = "") -> None:
    lora_doing.with_reason(
        "queue",
        f"queue-dismiss-{reported.id}",
        "Nothing is wrong",
        "done",
        "The reports are closed, and it stays as it is.",
        lambda who, reason, at: service.dismiss_reports(who, reported.id, reason, at),
        of=of,
    )
