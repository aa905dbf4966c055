"""The month as a bar with its marks, where it is going, and its course by the day."""

from datetime import date, datetime
from decimal import Decimal
from html import escape

import streamlit as st

from core.budget.figures import FIGURES
from core.budget.forecast import LEAST_DAYS, METHOD, Forecast, last_day
from core.budget.models import Position
from core.budget.policy import month_of
from core.budget.views import Board
from pages.components import formats, look
from pages.components.states import icon_html


def day_name(day: date) -> str:
    """`28 November`."""
    return f"{day.day} {day:%B}"


def bar_html(position: Position) -> str:
    """Settled and reserved on one scale from zero, with the alert and the limit drawn in."""
    marks = [
        (usd, name)
        for usd, name in ((position.alert_usd, "alert"), (position.limit_usd, "limit"))
        if usd.is_finite() and usd > 0
    ]
    top = max([position.committed_usd, *(usd for usd, _ in marks), Decimal("0.01")]) * Decimal("1.04")
    drawn = "".join(
        f'<span class="so-mark" style="left:{_share(usd, top)}%">'
        f"<b>{escape(formats.money(usd))}</b><small> {name}</small></span>"
        for usd, name in marks
    )
    settled, reserved = max(position.settled_usd, Decimal(0)), max(position.reserved_usd, Decimal(0))
    said = f"{formats.money(settled)} settled and {formats.money(reserved)} reserved" + (
        f" of {formats.money(position.limit_usd)}" if position.has_limit else ""
    )
    return (
        f'<div class="so-month so-{tone_of(position)}" role="img" aria-label="{escape(said)}">'
        f'<div class="so-month-marks">{drawn}</div><div class="so-month-bar">'
        f'<i class="so-settled" style="width:{_share(settled, top)}%"></i>'
        f'<i class="so-reserved" style="width:{_share(reserved, top)}%"></i>'
        + "".join(f'<u style="left:{_share(usd, top)}%"></u>' for usd, _ in marks)
        + "</div></div>"
    )


def _share(usd: Decimal, top: Decimal) -> str:
    return f"{100 * usd / top:.2f}"


def tone_of(position: Position) -> str:
    """The colour of a month: by what was paid, and by whether anything still fits."""
    if position.has_limit and position.left_usd <= 0:
        return "bad"
    return "attention" if position.settled_usd >= position.alert_usd else "good"


def head_html(position: Position, opens: str = "") -> str:
    """What was paid, what is promised, what is left; `opens` is where the lines behind it stand."""
    icon = {"bad": "money_off", "attention": "warning", "good": "check_circle"}[tone_of(position)]
    if not position.has_limit:
        rest = "no limit is set for it"
    elif position.left_usd < 0:
        rest = f"{formats.total(-position.left_usd)} over {formats.money(position.limit_usd)}"
    else:
        rest = f"{formats.total(position.left_usd)} left of {formats.money(position.limit_usd)}"
    more = f", {formats.money(position.override_usd)} of it by override" if position.override_usd else ""
    reserved = _opened("", formats.total(position.reserved_usd), opens)
    return (
        f'<div class="so-row so-{tone_of(position)}"><span class="so-budget-icon">{icon_html(icon)}</span>'
        f"{_opened('so-big', formats.total(position.settled_usd), opens)}"
        f'<span class="so-quiet">settled · <b>{reserved}</b> reserved ·'
        f" {escape(rest)}{escape(more)}</span></div>"
    )


def _opened(style: str, number: str, opens: str) -> str:
    if opens:
        return f'<a class="so-counted {style}" href="{escape(opens)}">{number}</a>'
    return f'<span class="{style}">{number}</span>' if style else number


def outlook_html(board: Board, now: datetime) -> str:
    """Where the month is going, and when it crosses its marks; or that it is too early to say."""
    position = board.position
    if position.month != month_of(now):
        return f"{position.month:%B} is over."
    found = board.forecast
    if found is None:
        return (
            "Too early to say where the month is going: a forecast needs"
            f" {LEAST_DAYS} days, and there are {board.known_days}."
        )
    band = f"{formats.money(_cents(found.low_usd))} to {formats.money(_cents(found.high_usd))}"
    parts = [
        (
            f"<b>{position.month:%B} will come to about {formats.money(_cents(found.likely_usd))}</b>"
            f" ({escape(band)}), at {formats.money(_cents(found.per_day_usd))} a day."
        )
    ]
    return " ".join([*parts, _crossings_html(position, found)])


def _crossings_html(position: Position, found: Forecast) -> str:
    """When each mark is crossed; in one sentence where both are, or none."""
    marks = [
        one
        for one in (
            (position.alert_usd, found.alert_on, found.alert_earliest),
            (position.limit_usd, found.limit_on, found.limit_earliest),
        )
        if one[0].is_finite()
    ]
    if len(marks) == 2 and position.alert_usd < position.limit_usd:
        alert, limit = (escape(formats.money(mark)) for mark, _, _ in marks)
        if position.settled_usd >= position.limit_usd:
            return f"{alert} and {limit} are crossed."
        if position.settled_usd < position.alert_usd and not any(earliest for _, _, earliest in marks):
            return f"Neither {alert} nor {limit} is crossed this month."
    return " ".join(_crossing_html(position, *one) for one in marks)


def _crossing_html(position: Position, mark: Decimal, on: date | None, earliest: date | None) -> str:
    said = escape(formats.money(mark))
    if position.settled_usd >= mark:
        return f"{said} is crossed."
    if on is not None:
        sooner = f", on {day_name(earliest)} at the earliest" if earliest and earliest < on else ""
        return f"{said} is likely crossed on <b>{day_name(on)}</b>{sooner}."
    if earliest is not None:
        return f"{said} is likely not crossed, on {day_name(earliest)} at the earliest."
    return f"{said} is not crossed this month."


def _cents(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("0.01"))


def method(board: Board) -> None:
    """How it is forecast, and how far off that was before."""
    with st.popover("How this is forecast", icon=":material/calculate:"):
        st.html(
            f'<div class="so-popover-words">{escape(METHOD)} {escape(tested(board))}</div>'
            + look.folded_html("SQL of the days that it goes by", FIGURES["forecast"].sql)
        )


def tested(board: Board) -> str:
    """The method's error in past months, as a sentence."""
    found = board.back_test
    if found is None:
        return "It has not been tried on a whole month yet, so how far off it is nobody knows."
    months = formats.counted(found.months, "past month", "past months")
    return (
        f"Tried on {months} from the 8th on, {formats.counted(found.forecasts, 'time', 'times')},"
        f" it was off by {formats.percent(round(found.mean_error, 4))} of the month on average, at worst"
        f" {formats.percent(round(found.worst_error, 4))}."
    )


def course(board: Board) -> None:
    """The month's sum at the end of each day: what was, and what is likely to come."""
    with st.container(border=True):
        st.html(
            '<div class="so-panel-head"><b>The month day by day</b>'
            '<span class="so-quiet so-small">settled dollars, added up; UTC</span></div>'
            f'<div class="so-tall">{_course_html(board)}</div>'
        )


def _course_html(board: Board) -> str:
    position, month = board.position, board.position.month
    likely = {point.day: point for point in board.forecast.points[1:]} if board.forecast else {}
    spent, sums = Decimal(0), list[tuple[date, Decimal, Decimal | None]]()
    for n in range(1, last_day(month).day + 1):
        day = month.replace(day=n)
        spent += board.by_day.get(day, Decimal(0))
        point = likely.get(day)
        sums.append((day, point.likely_usd if point else spent, point.high_usd if point else None))
    marks = [usd for usd in (position.alert_usd, position.limit_usd) if usd.is_finite() and usd > 0]
    highest = max([*(high or usd for _, usd, high in sums), Decimal("0.01")])
    top = max([highest, *(mark for mark in marks if mark <= 2 * highest)]) * Decimal("1.2")
    lines = "".join(
        f'<div class="so-target" style="bottom:{_share(mark, top)}%">'
        f"<span>{escape(formats.money(mark))}</span></div>"
        for mark in marks
        if mark <= top
    )
    if highest <= Decimal("0.01"):
        return (
            f'<div class="so-quiet">Nothing was settled in {month:%B}, so there is no course to draw.</div>'
        )
    bars = "".join(_bar_html(day, usd, high, top) for day, usd, high in sums)
    label = f"Settled dollars of {month:%B} by the day, {formats.money(_cents(sums[-1][1]))} at its end"
    return (
        f'<div class="so-bars" role="img" aria-label="{escape(label)}">{lines}{bars}</div>'
        f'<div class="so-bars-scale"><span>1 {month:%b}</span><span>hatched: forecast, pale: its band</span>'
        f"<span>{last_day(month).day} {month:%b}</span></div>"
    )


def _bar_html(day: date, usd: Decimal, high: Decimal | None, top: Decimal) -> str:
    told = f"{day_name(day)}: {formats.money(_cents(usd))}"
    stack = [("so-within", usd)]
    if high is not None:
        told = f"{day_name(day)}: likely {formats.money(_cents(usd))}, up to {formats.money(_cents(high))}"
        stack = [("so-band", high - usd), ("so-likely", usd)]
    drawn = "".join(
        f'<i class="{name}" style="height:{_share(part, top)}%"></i>' for name, part in stack if part > 0
    )
    return f'<span class="so-bar" title="{escape(told)}">{drawn}</span>'
