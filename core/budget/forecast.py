"""What a month will come to, by a method that says what it is, and how far off it was before.

The method: every day's spending of the last 28 days, days without any included, the last week counting
twice. Their mean goes on until the month's end; what is reserved is spent first. The band holds four of five
outcomes when days differ as they did: 1.28 standard deviations of a day, growing with the root of the days
that are left, and twice as wide in the first week, when few days say little.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from core.budget.models import CENT_PART, NO_LIMIT

METHOD = (
    "The mean of the last 28 days, the last week counting twice, goes on until the month's end; what is"
    " reserved is spent first. The band holds four of five outcomes when days differ as much as they did."
)
# Fewer days than this say nothing about the next ones.
LEAST_DAYS = 3
LOOK_BACK = 28
RECENT = 7
BAND = 1.28


@dataclass(frozen=True)
class Point:
    """The month's sum at the end of a day: likely, and within the band."""

    day: date
    low_usd: Decimal
    likely_usd: Decimal
    high_usd: Decimal


@dataclass(frozen=True)
class Forecast:
    """From tomorrow to the month's end. A date is the day on which the mark is likely crossed, None: not in
    this month. `earliest` is by the band's upper edge."""

    points: tuple[Point, ...]
    per_day_usd: Decimal
    likely_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    alert_on: date | None
    limit_on: date | None
    alert_earliest: date | None
    limit_earliest: date | None


@dataclass(frozen=True)
class BackTest:
    """How far off the same method was in past months, as a share of what the month came to."""

    months: int
    forecasts: int
    mean_error: float
    worst_error: float


def last_day(month: date) -> date:
    """The month's last day."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def predict(
    by_day: Mapping[date, Decimal],
    today: date,
    *,
    reserved: Decimal = Decimal(0),
    alert: Decimal = NO_LIMIT,
    limit: Decimal = NO_LIMIT,
) -> Forecast | None:
    """The rest of `today`'s month; None while there are too few days. `by_day` holds settled dollars.

    Today counts as a day of which nothing more is known: it is neither taken for whole nor left out.
    """
    usual = _usual(by_day, today)
    if usual is None:
        return None
    mean, spread = usual
    month = today.replace(day=1)
    spent = sum((usd for day, usd in by_day.items() if month <= day <= today), Decimal(0))
    left = (last_day(month) - today).days
    points = []
    for n in range(left + 1):
        likely = max(float(spent) + mean * n, float(spent + reserved) if n else float(spent))
        width = BAND * spread * math.sqrt(n)
        low, high = max(likely - width, float(spent)), likely + width
        points.append(Point(today + timedelta(days=n), _usd(low), _usd(likely), _usd(high)))
    end = points[-1]
    return Forecast(
        tuple(points),
        _usd(mean),
        end.likely_usd,
        end.low_usd,
        end.high_usd,
        _crossing([(point.day, point.likely_usd) for point in points], alert),
        _crossing([(point.day, point.likely_usd) for point in points], limit),
        _crossing([(point.day, point.high_usd) for point in points], alert),
        _crossing([(point.day, point.high_usd) for point in points], limit),
    )


def days_known(by_day: Mapping[date, Decimal], today: date) -> int:
    """How many whole days there are from the first that cost something until yesterday, at most 28."""
    begun = [day for day in by_day if day < today]
    return min((today - min(begun)).days, LOOK_BACK) if begun else 0


def _usual(by_day: Mapping[date, Decimal], today: date) -> tuple[float, float] | None:
    """A day's mean and standard deviation by the days before today."""
    known = days_known(by_day, today)
    if known < LEAST_DAYS:
        return None
    days = [today - timedelta(days=n) for n in range(1, known + 1)]
    weights = [2.0 if n < RECENT else 1.0 for n in range(known)]
    values = [float(by_day.get(day, Decimal(0))) for day in days]
    total = sum(weights)
    mean = max(sum(w * v for w, v in zip(weights, values, strict=True)) / total, 0.0)
    variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / total
    return mean, math.sqrt(variance) * (2 if known < RECENT else 1)


def _crossing(course: Sequence[tuple[date, Decimal]], mark: Decimal) -> date | None:
    """The first day to come on which the sum reaches the mark; None when it does not, or has already."""
    if course[0][1] >= mark:
        return None
    return next((day for day, usd in course if usd >= mark), None)


def _usd(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT_PART)


def back_test(by_day: Mapping[date, Decimal], today: date) -> BackTest | None:
    """The method tried on every past month that is whole: from its 8th day on each day, against its end.

    None while no past month can be tried.
    """
    if not by_day:
        return None
    first, errors, months = min(by_day), list[float](), 0
    month = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    if first.day == 1:
        month = first
    while last_day(month) < today:
        found = _errors(by_day, month)
        errors += found
        months += bool(found)
        month = last_day(month) + timedelta(days=1)
    if not errors:
        return None
    return BackTest(months, len(errors), sum(errors) / len(errors), max(errors))


def _errors(by_day: Mapping[date, Decimal], month: date) -> list[float]:
    end = last_day(month)
    really = sum((usd for day, usd in by_day.items() if month <= day <= end), Decimal(0))
    if really <= 0:
        return []
    found = []
    for n in range(8, end.day):
        day = month.replace(day=n)
        known = {one: usd for one, usd in by_day.items() if one <= day}
        predicted = predict(known, day)
        if predicted is not None:
            found.append(abs(float(predicted.likely_usd - really)) / float(really))
    return found
