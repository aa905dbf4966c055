"""The sandbox's faults as switches: outages, and each fault with its rate and value."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

import streamlit as st

from core.access import Actor
from core.rehearsal import faults
from core.rehearsal.faults import Fault
from pages.components import errors, look, rehearsal_start
from pages.components.actor import current_actor
from pages.components.states import icon_html

RATES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
OWN_STATUS = "so-fault-own-status"
_VALUE_LABELS = {
    "seconds": "Seconds",
    "number": "How many",
    "status": "HTTP status",
    "code": "KIE's code",
    "word": "Its word",
    "url": "Address",
    "bytes": "Bytes",
    "order": "Order",
    "forgery": "What is wrong",
    "type": "Type",
}


def said(rate: float) -> str:
    """A rate in words."""
    return "Off" if rate == 0 else "Always" if rate == 1 else f"{rate * 100:g}\u00a0%"


def show(actor: Actor) -> None:
    """Everything that can be made to go wrong."""
    with errors.guarded("rehearsal-faults"):
        rows = faults.all_faults(actor)
        reason = rehearsal_start.why_not(actor)
        with st.container(border=True, key="so-faults"):
            _head(rows, reason)
            _outages(reason)
            _own_status(actor, reason)
            left, right = st.columns(2, gap="large")
            filled = [0, 0]
            for group, of_group in _grouped(rows):
                side = filled.index(min(filled))
                filled[side] += len(of_group)
                with (left, right)[side]:
                    look.section(group)
                    for fault in of_group:
                        _switch(fault, reason)


def _grouped(rows: Sequence[Fault]) -> list[tuple[str, list[Fault]]]:
    order = list(dict.fromkeys(row.group for row in rows))
    ordered = sorted(rows, key=lambda row: order.index(row.group))
    return [(group, list(found)) for group, found in groupby(ordered, key=lambda row: row.group)]


def _head(rows: Sequence[Fault], reason: str | None) -> None:
    on = [row for row in rows if row.rate]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.section("Faults")
        st.button(
            "All off",
            icon=":material/toggle_off:",
            disabled=not on or reason is not None,
            help=reason,
            key="so-faults-off",
            on_click=_do,
            args=("off", faults.all_off),
        )
    if on:
        pills = "".join(
            f'<span class="so-pill so-attention">{icon_html("bolt")}'
            f"{escape(row.title)} · {said(row.rate)}</span>"
            for row in on
        )
        st.html(f'<div class="so-row">{pills}</div>')
    else:
        st.html(
            '<div class="so-quiet">Everything works. Choose an outage, or turn single faults below.</div>'
        )


def _outages(reason: str | None) -> None:
    with st.container(horizontal=True, gap="small", key="so-outages"):
        for preset in faults.PRESETS:
            st.button(
                preset.name,
                help=reason or preset.line,
                disabled=reason is not None,
                key=f"so-outage-{preset.name}",
                on_click=_do,
                args=("outage", faults.apply, preset.name),
            )


def _own_status(actor: Actor, reason: str | None) -> None:
    st.session_state[OWN_STATUS] = faults.own_status(actor)
    st.toggle(
        "KIE's errors come with their own HTTP status",
        key=OWN_STATUS,
        disabled=reason is not None,
        help="Off: they come with HTTP 200 and a code in the body. KIE's documents say both.",
        on_change=_set_own_status,
    )


def _switch(fault: Fault, reason: str | None) -> None:
    """A fault: what it does, how often, with what value."""
    rate_key, value_key = f"so-fault-rate-{fault.name}", f"so-fault-value-{fault.name}"
    st.session_state[rate_key] = min(RATES, key=lambda rate: abs(rate - fault.rate))
    if fault.rate or value_key not in st.session_state:
        st.session_state[value_key] = fault.value
    with st.container(key=f"so-faultrow-{fault.name}", gap=None):
        st.html(
            f'<div class="so-fault{" so-on" if fault.rate else ""}"><b>{escape(fault.title)}</b>'
            f'<div class="so-quiet so-small">{escape(fault.line)}</div></div>'
        )
        how_often, with_what = st.columns([3, 2], vertical_alignment="bottom")
        how_often.select_slider(
            f"How often: {fault.title}",
            RATES,
            format_func=said,
            key=rate_key,
            label_visibility="collapsed",
            disabled=reason is not None,
            on_change=_turn,
            args=(fault.name, rate_key, value_key),
        )
        if fault.argument:
            _value(fault, with_what, rate_key, value_key, reason)


def _value(
    fault: Fault,
    place: "st.delta_generator.DeltaGenerator",
    rate_key: str,
    value_key: str,
    reason: str | None,
) -> None:
    label = _VALUE_LABELS.get(fault.argument, "Value")
    if fault.words:
        place.selectbox(
            label,
            fault.words,
            key=value_key,
            format_func=lambda word: word.replace("_", " "),
            disabled=reason is not None,
            on_change=_turn,
            args=(fault.name, rate_key, value_key),
        )
        return
    place.text_input(
        label,
        key=value_key,
        max_chars=200,
        disabled=reason is not None,
        on_change=_turn,
        args=(fault.name, rate_key, value_key),
    )


def _turn(name: str, rate_key: str, value_key: str) -> None:
    rate, value = float(st.session_state[rate_key]), str(st.session_state.get(value_key, ""))
    _do("turn", faults.turn, name, rate, value)


def _set_own_status() -> None:
    _do("status", faults.set_own_status, bool(st.session_state[OWN_STATUS]))


def _do(part: str, act: object, *arguments: object) -> None:
    assert callable(act)
    rehearsal_start.attempt(part, lambda: act(current_actor(), *arguments))
