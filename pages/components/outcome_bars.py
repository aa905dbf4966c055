"""The course of deliveries as bars: how many, and which share was not delivered; a bar opens its rows."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from html import escape
from urllib.parse import urlencode

from core.deliveries.health import TARGET, Bar
from core.deliveries.windows import Filter
from pages.components import formats

WIDTHS = {"24h": "hour", "7d": "6 hours", "30d": "day (UTC)"}
AGO = {"24h": "a day ago", "7d": "a week ago", "30d": "30 days ago"}


def _address(bar: Bar, chosen: Filter) -> str:
    return escape(f"?{urlencode(chosen.but(at=bar.start, state=chosen.state or 'begun').query())}")


def _when(start: datetime, zone: tzinfo, chosen: Filter) -> str:
    if chosen.window == "30d":
        return f"{start.day} {start:%b} (UTC)"
    local = start.astimezone(zone)
    return f"{local:%a %H:%M}" if chosen.window == "24h" else f"{local.day} {local:%b, %H:%M}"


def counts_html(bars: Sequence[Bar], chosen: Filter, zone: tzinfo, page: str = "") -> str:
    """Delivered and not delivered, on a common scale from zero; hovering tells the numbers."""
    most = max((_ended(bar) for bar in bars), default=0)
    if not most:
        return ""
    drawn = []
    for bar in bars:
        gone = bar.counts.failed + bar.counts.lost + bar.counts.needs_attention
        told = (
            f"{_when(bar.start, zone, chosen)}: {formats.count(bar.counts.delivered)} delivered,"
            f" {formats.count(gone)} not, {formats.count(bar.counts.in_flight)} in flight"
        )
        stack = "".join(
            f'<i class="{name}" style="height:{max(6, round(100 * number / most))}%"></i>'
            for name, number in (("so-not", gone), ("so-yes", bar.counts.delivered))
            if number
        )
        drawn.append(_bar_html(bar, chosen, told, stack, page))
    label = f"Generations by the {WIDTHS[chosen.window]}, at most {most} in one"
    return _frame_html(drawn, label, chosen, f"by the {WIDTHS[chosen.window]}, at most {formats.count(most)}")


def misses_html(bars: Sequence[Bar], chosen: Filter, zone: tzinfo, page: str = "") -> str:
    """The share that was not delivered, from zero, with the most that the target allows drawn in."""
    shares = [1 - rate if (rate := bar.counts.success_rate) is not None else None for bar in bars]
    if all(share is None for share in shares):
        return ""
    allowed = 1 - TARGET
    top = max(2 * allowed, *(share or 0 for share in shares))
    drawn = []
    for bar, share in zip(bars, shares, strict=True):
        said = "none finished" if share is None else f"{formats.percent(share)} not delivered"
        told = f"{_when(bar.start, zone, chosen)}: {said} of {formats.count(bar.counts.finished)} finished"
        height = 0 if not share else max(3, round(100 * share / top))
        tone = "so-not" if share is not None and share > allowed else "so-within"
        stack = f'<i class="{tone}" style="height:{height}%"></i>' if height else ""
        drawn.append(_bar_html(bar, chosen, told, stack, page))
    line = (
        f'<div class="so-target" style="bottom:{100 * allowed / top:.1f}%">'
        f"<span>target: at most {formats.percent(round(allowed, 4))}</span></div>"
    )
    label = f"Share not delivered by the {WIDTHS[chosen.window]}, the target is at most 2 %"
    return _frame_html([line, *drawn], label, chosen, f"at the top {formats.percent(round(top, 4))}")


def _ended(bar: Bar) -> int:
    return bar.counts.finished + bar.counts.needs_attention


def _bar_html(bar: Bar, chosen: Filter, told: str, stack: str, page: str) -> str:
    shown = " so-chosen" if chosen.at == bar.start else ""
    return f'<a class="so-bar{shown}" href="{page}{_address(bar, chosen)}" title="{escape(told)}">{stack}</a>'


def _frame_html(drawn: Sequence[str], label: str, chosen: Filter, scale: str) -> str:
    return (
        f'<div class="so-bars" role="group" aria-label="{escape(label)}">{"".join(drawn)}</div>'
        f'<div class="so-bars-scale"><span>{AGO[chosen.window]}</span>'
        f"<span>{escape(scale)}</span><span>now</span></div>"
    )
