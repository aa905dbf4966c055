"""Moments as a person says them, exact in the viewer's own zone."""

from datetime import UTC, datetime, tzinfo
from html import escape
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from pages.components.formats import NO_DATA, duration

JUST_NOW_S = 2.0


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


def zone(name: str | None) -> tzinfo:
    """The zone of that IANA name; UTC when there is none."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def viewer_zone() -> tzinfo:
    """The zone that the viewer's browser is in."""
    return zone(st.context.timezone)


def ago(then: datetime | None, at: datetime) -> str:
    """`just now`, `41 s ago`, `3 min ago`, `2 h ago`, `3 d ago`, and `in 20 s` for what is to come."""
    if then is None:
        return "never"
    seconds = (at - then).total_seconds()
    if abs(seconds) < JUST_NOW_S:
        return "just now"
    # Only the largest unit: an age of "2 h 5 min" reads no better than "2 h".
    rough = duration(round(abs(seconds))).split(" ")[0]
    return f"{rough} ago" if seconds > 0 else f"in {rough}"


def exact(then: datetime | None, of: tzinfo) -> str:
    """`20 Nov 2026, 18:35:10 CET`."""
    if then is None:
        return NO_DATA
    local = then.astimezone(of)
    return f"{local.day} {local:%b %Y, %H:%M:%S} {local.tzname()}"


def clock_time(then: datetime, of: tzinfo) -> str:
    """`18:35:10`."""
    return f"{then.astimezone(of):%H:%M:%S}"


def clock_time_since(then: datetime, since: datetime, of: tzinfo) -> str:
    """`18:35:10`; on another day than `since` with that day before it, `20 Nov 18:35:10`."""
    local = then.astimezone(of)
    same_day = local.date() == since.astimezone(of).date()
    return clock_time(then, of) if same_day else f"{local.day} {local:%b %H:%M:%S}"


def ago_html(then: datetime | None, at: datetime, of: tzinfo) -> str:
    """How long ago, with the exact time on hover."""
    if then is None:
        return "never"
    return (
        f'<time class="so-time" datetime="{then.astimezone(UTC).isoformat()}"'
        f' title="{escape(exact(then, of))}">{escape(ago(then, at))}</time>'
    )
