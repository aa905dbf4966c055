"""How a number compares with what it was, in a sign and a few words."""

from collections.abc import Callable
from datetime import datetime

from core.deliveries.cells import Counts
from core.deliveries.health import Health, Times
from pages.components import formats

NOTHING = "nothing to compare with"
SAME = "→ as before"


def rate(now: Counts | None, before: Counts | None) -> str:
    """A success rate, in points of a hundred."""
    if now is None or before is None or now.success_rate is None or before.success_rate is None:
        return NOTHING
    points = round(100 * (now.success_rate - before.success_rate), 1)
    return _said(points, lambda amount: f"{amount} points", "better", "worse")


def number(now: int | None, before: int | None, since: str = "before") -> str:
    """A number of generations; `since` says when it was the other."""
    if now is None or before is None:
        return NOTHING
    if now == before:
        return f"→ as {since}"
    return _said(
        now - before, lambda amount: formats.count(int(amount)), f"more than {since}", f"fewer than {since}"
    )


def begun(found: Health, stand: str) -> str:
    """Those begun in the chosen window that stand there, against the window before."""
    window = found.filter.window
    now, before = found.known(window), found.before.get(window)
    if now is None or before is None:
        return NOTHING
    return number(int(getattr(now, stand)), int(getattr(before, stand)))


def under_way(found: Health, state: str) -> str:
    """What is on its way now, against the moment at which the chosen window began."""
    then = found.moment_before
    if then is None:
        return NOTHING
    ago = _ago(found.as_of, then.at)
    return number(int(getattr(found.under_way, state)), int(getattr(then, state)), ago)


def _ago(now: datetime, then: datetime) -> str:
    hours = max(1, round((now - then).total_seconds() / 3600))
    return f"{hours}\u00a0h ago" if hours < 48 else f"{round(hours / 24)}\u00a0d ago"


def times(now: Times, before: Times | None) -> str:
    """Half the time to deliver, and what all but few stay within."""
    if before is None or None in {now.p50_s, now.p95_s, before.p50_s, before.p95_s}:
        return NOTHING
    half = _took(now.p50_s, before.p50_s)
    most = _took(now.p95_s, before.p95_s)
    return half if half == most == SAME else f"{half}, p95 {most}"


def _took(now: float | None, before: float | None) -> str:
    change = (now or 0.0) - (before or 0.0)
    return _said(-change, lambda amount: formats.duration(float(amount)), "quicker", "slower", swapped=True)


def _said(
    change: float, amount: Callable[[float], str], more: str, less: str, *, swapped: bool = False
) -> str:
    """The arrow points to where the figure went; `swapped`: a larger figure is the lesser one."""
    if change == 0:
        return SAME
    up = (change > 0) is not swapped
    return f"{'↗' if up else '↘'} {amount(abs(change))} {more if change > 0 else less}"
