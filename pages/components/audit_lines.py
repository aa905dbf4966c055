"""Lines of the audit log: all that a filter matches, or those of one thing on its own page."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any

import streamlit as st

from core import trail
from core.access import Actor
from core.trail import Filter, Line
from core.web import export
from pages.components import audit_words, errors, formats, ids, job_words, look, times
from pages.components.states import icon_html

KINDS = {
    "person": ("person", "a person"),
    "key": ("key", "a key of the API"),
    "job": ("settings", "a job"),
    "customer": ("storefront", "a customer"),
}
LONGEST_VALUE = 300
# Amounts of money by the end of their names, and facts whose values are words of ours.
_USD = "_usd"
_OWN_WORDS = frozenset({"kind", "state", "way", "outcome"})
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STARTS = "so-audit-starts"


def page(actor: Actor, wanted: Filter, now: datetime, zone: tzinfo) -> None:
    """The lines of the filter, a page at a time, and all of them as a file."""
    key = f"{_STARTS}-{look.safe_key(repr(wanted))}"
    starts: list[trail.Place] = st.session_state.setdefault(key, [])
    found = trail.lines(actor, wanted, starts[-1] if starts else None)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.html(f'<div class="so-as-of">Newest first · as of {times.clock_time(now, zone)}</div>')
        link = export.audit_link(actor, wanted, now)
        if link is not None:
            st.link_button("CSV of all of them", link, icon=":material/download:")
    if not found.lines:
        _nothing(wanted)
    else:
        st.html(_list_html(found.lines, now, zone, with_object=True))
    with st.container(horizontal=True):
        if starts:
            st.button(
                "Newer", icon=":material/arrow_back:", on_click=_turn, args=(key, starts[:-1]), key="so-newer"
            )
        if found.next_before is not None:
            further = [*starts, found.next_before]
            st.button(
                "Older", icon=":material/arrow_forward:", icon_position="right",
                on_click=_turn, args=(key, further), key="so-older",
            )  # fmt: skip


def _turn(key: str, starts: list[trail.Place]) -> None:
    st.session_state[key] = starts


def _nothing(wanted: Filter) -> None:
    if wanted == Filter():
        words = ("Nothing was done yet", "Whatever somebody does here will stand on this page.")
    else:
        words = ("Nothing of that kind was done", "Take a filter away, or choose other days.")
    st.html(look.empty_html("history_edu", *words))


def of(actor: Actor, object_ids: Sequence[str], now: datetime, zone: tzinfo) -> None:
    """What people did to one thing, folded; nothing where nobody did anything."""
    with errors.guarded("audit log of one thing"):
        found = trail.of(actor, object_ids)
        if not found:
            return
        newest = "the newest " if len(found) == trail.OF_ONE_THING else ""
        label = f"What people did ({newest}{formats.count(len(found))})"
        with st.expander(label, icon=":material/history_edu:", key="so-audit-of-it"):
            st.html(_list_html(found, now, zone, with_object=False))


def _list_html(lines: Sequence[Line], now: datetime, zone: tzinfo, *, with_object: bool) -> str:
    return f'<ul class="so-audit">{"".join(_line_html(line, now, zone, with_object) for line in lines)}</ul>'


def _line_html(line: Line, now: datetime, zone: tzinfo, with_object: bool) -> str:
    icon, kind = KINDS.get(line.actor_kind or "", ("help", "somebody"))
    name = line.actor_name or "Somebody"
    called = job_words.task(name) if line.actor_kind == "job" else name
    who = f'<b title="{escape(line.actor_id or "")}">{escape(called)}</b>'
    what = escape(audit_words.action(line.action))
    which = f" · {_object_html(line)}" if with_object else ""
    reason = f'<div class="so-quote">“{escape(line.reason)}”</div>' if line.reason else ""
    return (
        f'<li><span class="so-quiet" title="{kind}">{icon_html(icon)}</span><div>{who} {what}{which}{reason}'
        f'{_change_html(line, zone)}<div class="so-quiet so-small">{times.ago_html(line.at, now, zone)}'
        f" · {_where_html(line)}</div></div></li>"
    )


def _object_html(line: Line) -> str:
    whole = audit_words.called(line)
    title = f' title="{escape(whole)}"'
    name = escape(ids.short(whole) if _ID.fullmatch(whole) else formats.excerpt(whole, 60))
    place = audit_words.place(line)
    return f'<a href="{escape(place)}"{title}>{name}</a>' if place else f"<span{title}>{name}</span>"


def _where_html(line: Line) -> str:
    parts = [audit_words.SOURCE_WORDS.get(line.source or "", line.source or "")]
    if line.address:
        parts.append(f"from {line.address}")
    if line.request_id:
        parts.append(f"request {line.request_id}")
    return escape(" · ".join(filter(None, parts)))


def _change_html(line: Line, zone: tzinfo) -> str:
    before = line.before if isinstance(line.before, Mapping) else {}
    after = line.after if isinstance(line.after, Mapping) else {}
    changes = []
    for name in dict.fromkeys([*before, *after]):
        was, is_now = (_fact(name, of.get(name), zone) for of in (before, after))
        arrow = f"{was} → " if name in before and name in after else ""
        shown = is_now if name in after else f"was {was}"
        called = str(name).removesuffix(_USD).replace("_", " ")
        changes.append(f'<span class="so-quiet">{escape(called)}</span> {arrow}{shown}')
    return f'<div class="so-small so-change">{" · ".join(changes)}</div>' if changes else ""


def _fact(name: str, value: Any, zone: tzinfo) -> str:
    """A value as a person reads it, cut where it is long; the file has it whole."""
    text = _read(value, zone)
    if name.endswith(_USD):
        text = _money(value) or text
    elif name in _OWN_WORDS:
        text = text.replace("_", " ")
    return escape(formats.excerpt(text, LONGEST_VALUE))


def _money(value: Any) -> str | None:
    try:
        return formats.money(Decimal(str(value)))
    except InvalidOperation:
        return None


def _read(value: Any, zone: tzinfo) -> str:
    if moment := _moment(value):
        text = times.exact(moment, zone)
    elif isinstance(value, list):
        text = ", ".join(_read(one, zone) for one in value) or "none"
    elif isinstance(value, Mapping):
        # What a model was given stands as it was: a seed is no number to be read.
        facts = (
            f"{name.replace('_', ' ')} {one if type(one) is int else _read(one, zone)}"
            for name, one in value.items()
        )
        text = ", ".join(facts) or "none"
    elif isinstance(value, str):
        text = ids.short(value) if _ID.fullmatch(value) else value or "nothing"
    elif value is None or isinstance(value, bool):
        text = {None: "nothing", True: "yes", False: "no"}[value]
    elif isinstance(value, int):
        text = formats.count(value)
    else:
        text = str(value)
    return text


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or len(value) < len("2026-11-26T12:00:00+00:00"):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None
