"""What moves in a rehearsal: live traffic, and what must never be."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.deliveries import tools
from core.rehearsal import service, traffic, views
from core.rehearsal.models import Standing
from core.rehearsal.views import Invariant
from pages.components import errors, formats, look, openers, rehearsal_start, times
from pages.components.actor import current_actor
from pages.components.states import icon_html

RATES = (6, 12, 30, 60)
MINUTES = (5, 15, 60)


def show(actor: Actor) -> None:
    """Both, side by side; this part refreshes by itself."""
    with errors.guarded("rehearsal-live"):
        now, zone = times.now(), times.viewer_zone()
        stands = service.what_stands(actor)
        if stands is None or not stands.is_ready:
            st.rerun()
        rehearsal_start.show_failure()
        st.html(_standing_html(stands, now, zone))
        left, right = st.columns([5, 7])
        with left.container(border=True, height="stretch"):
            _traffic(actor, stands, now, zone)
        with right.container(border=True, height="stretch"):
            _invariants(actor, stands, now, zone)


def _standing_html(stands: Standing, now: datetime, zone: tzinfo) -> str:
    many = formats.counted(stands.generations, "generation", "generations")
    begun = times.ago_html(stands.begun_at, now, zone)
    over = formats.counted(stands.days, "day", "days")
    return (
        f'<div class="so-as-of so-left">{many} over {over}, begun {begun} by {escape(stands.begun_by)}.'
        " They are on every page as if they were real.</div>"
    )


def _traffic(actor: Actor, stands: Standing, now: datetime, zone: tzinfo) -> None:
    look.section("Live traffic")
    runs, reason = stands.runs(now), rehearsal_start.why_not(actor)
    made = views.live(actor)
    parts = [
        ("made", made.made),
        ("delivered", made.delivered),
        ("under way", made.under_way),
        ("failed, lost or for a person", made.ended_otherwise),
    ]
    if runs and stands.traffic_until is not None:
        told = (
            f"<b>{stands.traffic_per_minute} a minute</b>, ends by itself"
            f" {times.ago_html(stands.traffic_until, now, zone)}"
        )
    else:
        told = "<b>Off.</b> Nothing new is made."
    counts = " · ".join(f"{formats.count(number)} {escape(name)}" for name, number in parts if number)
    st.html(f'<div>{told}</div><div class="so-quiet">{counts or "none made yet"}</div>')
    rate = st.segmented_control(
        "Generations a minute", RATES, default=RATES[1], required=True, key="so-traffic-rate", disabled=runs
    )
    minutes = st.segmented_control(
        "For how many minutes",
        MINUTES,
        default=MINUTES[1],
        required=True,
        key="so-traffic-minutes",
        disabled=runs,
    )
    st.button(
        "Stop" if runs else "Start",
        type="secondary" if runs else "primary",
        icon=":material/stop:" if runs else ":material/play_arrow:",
        disabled=reason is not None,
        help=reason,
        key="so-traffic-stop" if runs else "so-traffic-start",
        on_click=_stop if runs else _start,
        args=() if runs else (int(rate or RATES[1]), int(minutes or MINUTES[1])),
    )


def _start(per_minute: int, minutes: int) -> None:
    rehearsal_start.attempt(
        "traffic",
        lambda: traffic.start(current_actor(), tools.current(), per_minute=per_minute, minutes=minutes),
    )


def _stop() -> None:
    rehearsal_start.attempt("traffic", lambda: traffic.stop(current_actor(), tools.current()))


def _invariants(actor: Actor, stands: Standing, now: datetime, zone: tzinfo) -> None:
    look.section("What must never be")
    st.html(
        f'<div class="so-quiet so-small">Measured at {times.clock_time(now, zone)} from the database and the'
        " sandbox's own books, over everything since the rehearsal began.</div>"
    )
    left, right = st.columns(2)
    for n, one in enumerate(views.invariants(actor, stands, now)):
        with (left, right)[n % 2].container(border=True, gap="small", key=f"so-never-{one.name}"):
            st.html(_invariant_html(one))
            label = openers.named("What is counted", one.sentence)
            with st.popover(label, type="tertiary", icon=":material/info:"):
                sql = look.folded_html("SQL", views.INVARIANTS_SQL)
                st.html(f"<p>{escape(one.definition)}</p>{_examples_html(one)}{sql}")


def _invariant_html(one: Invariant) -> str:
    tone, icon = ("so-bad", "error") if one.broken else ("so-good", "check_circle")
    return (
        f'<div class="so-never {tone}">{icon_html(icon)}'
        f'<span class="so-big">{formats.count(one.broken)}</span>'
        f"<b>{escape(one.sentence)}</b>"
        f'<small class="so-quiet">among {formats.count(one.checked)}</small></div>'
    )


def _examples_html(one: Invariant) -> str:
    if not one.examples:
        return ""
    links = " ".join(
        f'<a href="/test_generation?generation={id_}">…{escape(str(id_)[-12:])}</a>' for id_ in one.examples
    )
    return f"<p>For example: {links}</p>"
