"""How often a LoRA was used, day by day, and the generations behind that."""

from datetime import datetime, timedelta, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.loras import views
from core.loras.models import Lora, Quality, Use
from pages.components import formats, look, media, times
from pages.components.health_filters import model_name
from pages.components.states import icon_html

DAYS = 30
STATES = {"success": "delivered", "failed": "failed", "generating": "under way", "queued": "queued"}
WAYS = {"direct": "directly", "first_frame": "by a first frame", "references": "by its references"}


def show(actor: Actor, lora: Lora, now: datetime, zone: tzinfo) -> None:
    """The chart of a month, and the newest generations."""
    found = views.quality(actor, lora.id, now)
    with st.container(border=True, gap="small"):
        look.section("Uses")
        if not found.by_day and not found.newest:
            body = "Each generation that is made with it counts once and is listed here."
            st.html(look.empty_html("bar_chart", "Not used yet", body))
            return
        st.html(_chart_html(found, now))
        st.html(f'<ul class="so-uses">{"".join(_use_html(use, now, zone) for use in found.newest)}</ul>')


def _chart_html(found: Quality, now: datetime) -> str:
    by_day = dict(found.by_day)
    days = [now.date() - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]
    most = max((by_day.get(day, 0) for day in days), default=0)
    if not most:
        return '<div class="so-quiet so-small">None in the last 30 days.</div>'
    bars = []
    for day in days:
        number = by_day.get(day, 0)
        told = f"{day.day} {day:%b}: {formats.counted(number, 'use', 'uses')}"
        height = max(4, round(100 * number / most)) if number else 0
        bars.append(f'<span title="{told}"><i style="height:{height}%"></i></span>')
    label = f"Uses by the day over 30 days, at most {formats.count(most)} in one"
    return (
        f'<div class="so-use-bars" role="img" aria-label="{label}">{"".join(bars)}</div>'
        f'<div class="so-use-foot so-quiet so-small"><span>30 days ago</span>'
        f"<span>by the day (UTC), at most {formats.count(most)}</span><span>today</span></div>"
    )


def _use_html(use: Use, now: datetime, zone: tzinfo) -> str:
    url = media.safe_url(use.asset_url)
    icon = icon_html("movie" if use.kind == "video" else "image")
    picture = (
        f'<span class="so-thumb so-square"><img src="{escape(url)}" alt="" loading="lazy"></span>'
        if url and url.startswith("/") and use.kind != "video"
        else f'<span class="so-thumb so-square">{icon}</span>'
    )
    state = STATES.get(use.status or "", "no longer there" if use.status is None else use.status)
    prompt = formats.excerpt(use.prompt or "no prompt", 90)
    return (
        f'<li><a href="debug_sync?q={use.generation_id}">{picture}'
        f"<span><b>{escape(prompt)}</b><br>"
        f'<span class="so-quiet so-small">{escape(model_name(use.model or ""))} ·'
        f" {escape(WAYS.get(use.way, use.way))} · {escape(state)} ·"
        f" {times.ago_html(use.used_at, now, zone)}</span></span></a></li>"
    )
