"""The pods without a run that an alert has counted, as the address names them."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.trainings import spending
from core.trainings.spending import OrphanPod
from pages.components import formats, look, times

PODS = "pods"


def show(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """A line for each; nothing where the address names none."""
    named = [pod for pod in st.query_params.get(PODS, "").split(",") if pod]
    if not named:
        return
    found = spending.orphan_pods(actor, named)
    with st.container(border=True, gap="small", key="so-orphan-pods"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            look.section(formats.counted(len(found), "pod of no training", "pods of no training"))
            st.button("Leave them", icon=":material/close:", key="so-orphan-pods-leave", on_click=_leave)
        if not found:
            st.html('<div class="so-quiet">Nothing is known of these pods any more.</div>')
            return
        lines = "".join(f"<li>{_line_html(pod, now, zone)}</li>" for pod in found)
        st.html(f'<ul class="so-reports">{lines}</ul>')


def _leave() -> None:
    st.query_params.pop(PODS, None)


def _line_html(pod: OrphanPod, now: datetime, zone: tzinfo) -> str:
    rate = f"{formats.total(pod.usd_per_hour)} an hour" if pod.usd_per_hour is not None else "price unknown"
    stands = (
        '<span class="so-bad-text">runs</span>'
        if pod.ended_at is None
        else f"ended {times.ago_html(pod.ended_at, now, zone)}"
    )
    seen = f"first seen {times.ago_html(pod.seen_at, now, zone)}"
    return f"<code>{escape(pod.pod_id)}</code> {stands} · {seen} · {escape(rate)}"
