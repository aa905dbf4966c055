"""Where a month goes: too early, steady, bursts, crossings, leap days; and the method against past months."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.budget import forecast

D = Decimal
TODAY = date(2026, 11, 15)


def steady(usd: str, days: int, until: date = TODAY) -> dict[date, Decimal]:
    """So much on each of so many days before `until`."""
    return {until - timedelta(days=n): D(usd) for n in range(1, days + 1)}


@pytest.mark.parametrize(("days", "said"), [(0, False), (1, False), (2, False), (3, True), (40, True)])
def test_three_days_are_the_least(days: int, said: bool) -> None:
    assert (forecast.predict(steady("5", days), TODAY) is not None) is said
    assert forecast.days_known(steady("5", days), TODAY) == min(days, 28)


def test_a_day_without_spending_is_a_day() -> None:
    found = forecast.predict({TODAY - timedelta(days=4): D(8)}, TODAY)
    assert found is not None
    assert found.per_day_usd == D("2.0000")


def test_steady_spending_goes_on_and_crosses_on_its_day() -> None:
    found = forecast.predict(steady("10", 28), TODAY, alert=D(150), limit=D(200))
    assert found is not None
    # 14 days of $10 are spent, and each day to come adds ten.
    assert (found.per_day_usd, found.likely_usd) == (D("10.0000"), D("290.0000"))
    assert (found.alert_on, found.limit_on) == (date(2026, 11, 16), date(2026, 11, 21))
    assert (found.low_usd, found.high_usd) == (found.likely_usd, found.likely_usd)
    assert len(found.points) == 16


def test_what_was_crossed_already_is_not_to_come() -> None:
    found = forecast.predict(steady("20", 14), TODAY, alert=D(150), limit=D(10_000))
    assert found is not None
    assert (found.alert_on, found.limit_on) == (None, None)


def test_what_is_reserved_is_spent_first() -> None:
    found = forecast.predict(steady("1", 28), TODAY, reserved=D(60), limit=D(70))
    assert found is not None
    assert found.limit_on == date(2026, 11, 16)
    assert found.likely_usd == D("74.0000")


def test_the_last_week_counts_twice() -> None:
    by_day = steady("2", 28) | steady("9", 7)
    found = forecast.predict(by_day, TODAY)
    assert found is not None
    assert found.per_day_usd == D("4.8000")


def test_days_that_differ_widen_the_band() -> None:
    bursts = {day: usd * (2 if day.day % 2 else 0) for day, usd in steady("5", 28).items()}
    found = forecast.predict(bursts, TODAY, limit=D(100))
    assert found is not None
    assert found.low_usd < found.likely_usd < found.high_usd
    assert found.limit_earliest is not None
    assert found.limit_on is not None
    assert found.limit_earliest < found.limit_on
    few = forecast.predict(
        {day: usd for day, usd in bursts.items() if TODAY - day <= timedelta(days=5)}, TODAY
    )
    assert few is not None
    assert few.high_usd - few.likely_usd > found.high_usd - found.likely_usd


@pytest.mark.parametrize(
    ("month", "last"),
    [(date(2028, 2, 1), 29), (date(2027, 2, 1), 28), (date(2026, 12, 1), 31)],
)
def test_a_month_has_its_days(month: date, last: int) -> None:
    assert forecast.last_day(month).day == last
    end = month.replace(day=last)
    found = forecast.predict(steady("3", 28, end), end)
    assert found is not None
    assert len(found.points) == 1


@given(
    st.dictionaries(
        st.dates(date(2026, 9, 1), date(2026, 11, 14)),
        st.decimals(0, 1000, places=4),
        min_size=1,
    ),
    st.decimals(0, 500, places=4),
)
def test_a_forecast_never_takes_back_what_was_spent(by_day: dict[date, Decimal], reserved: Decimal) -> None:
    found = forecast.predict(by_day, TODAY, reserved=reserved)
    if found is None:
        return
    spent = sum((usd for day, usd in by_day.items() if day.month == 11), Decimal(0))
    for before, after in zip(found.points, found.points[1:], strict=False):
        assert after.likely_usd >= before.likely_usd
    for point in found.points:
        assert spent <= point.low_usd + D("0.0001")
        assert point.low_usd <= point.likely_usd <= point.high_usd


def test_the_method_is_tried_on_whole_months() -> None:
    by_day = {date(2026, 8, 20) + timedelta(days=n): D(6) for n in range(87)}
    found = forecast.back_test(by_day, TODAY)
    assert found is not None
    # August has no beginning here, November no end.
    assert (found.months, found.forecasts) == (2, 22 + 23)
    assert found.mean_error < 0.06
    assert found.worst_error >= found.mean_error


def test_without_a_whole_month_nothing_is_tried() -> None:
    assert forecast.back_test({}, TODAY) is None
    assert forecast.back_test(steady("5", 14), TODAY) is None
