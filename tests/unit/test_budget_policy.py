"""What a month's budget allows and says by itself: every rule with its cents, and amounts that are none."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from core.budget import policy
from core.budget.forecast import Forecast
from core.budget.models import NO_LIMIT, BudgetExceeded, CostLine, Override, Position
from core.errors import InvalidInput

NOVEMBER = date(2026, 11, 1)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
D = Decimal


def position(
    settled: str, reserved: str = "0", limit: str = "200", alert: str = "150", more: str = "0"
) -> Position:
    return Position("trainings", NOVEMBER, D(limit), D(alert), D(settled), D(reserved), D(more))


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC), date(2026, 11, 1)),
        (datetime(2026, 12, 1, tzinfo=UTC), date(2026, 12, 1)),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), date(2028, 2, 1)),
        (datetime.fromisoformat("2026-12-01T00:30:00+01:00"), date(2026, 11, 1)),
        (datetime.fromisoformat("2026-11-30T20:00:00-05:00"), date(2026, 12, 1)),
    ],
)
def test_a_moment_belongs_to_the_month_of_its_day_in_utc(at: datetime, month: date) -> None:
    assert policy.month_of(at) == month


@pytest.mark.parametrize(
    ("month", "following"),
    [
        (date(2026, 12, 1), date(2027, 1, 1)),
        (date(2028, 2, 1), date(2028, 3, 1)),
        (date(2027, 1, 1), date(2027, 2, 1)),
    ],
)
def test_the_month_after(month: date, following: date) -> None:
    assert policy.next_month(month) == following
    assert policy.end_of(month) == datetime(following.year, following.month, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stands", "amount", "fits"),
    [
        (position("197.8950"), "2.1050", True),
        (position("197.8951"), "2.1050", False),
        (position("0", "197.8950"), "2.1050", True),
        (position("150", "49.9999"), "0.0001", True),
        (position("150", "49.9999"), "0.0002", False),
        (position("201"), "0.0001", False),
        (position("199", limit="219", more="19"), "20", True),
        (position("1000000", limit="Infinity"), "100000", True),
    ],
)
def test_what_fits(stands: Position, amount: str, fits: bool) -> None:
    if fits:
        policy.check_affordable(stands, D(amount))
    else:
        with pytest.raises(BudgetExceeded) as refused:
            policy.check_affordable(stands, D(amount))
        assert refused.value.http_status == 402


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "-Infinity", "-0.01", "0", "0.00004", "100000.01", "1e30"]
)
def test_what_is_no_amount(amount: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy.amount("amount_usd", D(amount))
    assert refused.value.field == "amount_usd"


def test_amounts_have_four_places() -> None:
    assert policy.amount("x", D("0.0001")) == D("0.0001")
    assert policy.amount("x", D("12.34565")) == D("12.3456")
    assert policy.amount("x", D(0), zero=True) == 0
    assert CostLine("k", "fal", "s", D(1000), "step", D("0.002"), "v").amount_usd == D("2.0000")
    assert CostLine("k", "fal", "s", D(3), "megapixel", D("0.035"), "v").amount_usd == D("0.1050")


def crossing(day: int | None) -> Forecast:
    on = date(2026, 11, day) if day else None
    return Forecast((), D(7), D(210), D(190), D(230), None, on, None, on)


@pytest.mark.parametrize(
    ("stands", "forecast", "told"),
    [
        (position("99.9999"), None, []),
        (position("100"), None, ["half"]),
        (position("149.9999", "45"), None, ["half"]),
        (position("150"), None, ["alert", "half"]),
        (position("150", "48"), None, ["full", "alert", "half"]),
        (position("200"), None, ["full", "alert", "half"]),
        (position("0", "197.9999"), None, []),
        (position("0", "198"), None, ["full"]),
        (position("120"), crossing(29), ["half", "forecast"]),
        (position("120"), crossing(None), ["half"]),
        (position("200"), crossing(29), ["full", "alert", "half"]),
        (position("999", limit="Infinity", alert="Infinity"), crossing(29), []),
    ],
)
def test_what_a_month_says_of_itself(stands: Position, forecast: Forecast | None, told: list[str]) -> None:
    assert [due.what for due in policy.due_alerts(stands, forecast)] == told


def test_a_threshold_is_told_by_its_own_amount() -> None:
    plain = policy.due_alerts(position("200"), None)[0].subject
    raised = policy.due_alerts(position("230", limit="230", more="30"), None)[0].subject
    assert (plain, raised) == ("trainings 2026-11 $200.00", "trainings 2026-11 $230.00")


def override(**changes: object) -> Override:
    values: dict[str, object] = {
        "id": uuid.UUID(int=1),
        "scope": "trainings",
        "month": NOVEMBER,
        "amount_usd": D(20),
        "reason": "a launch",
        "approved_by": "Ada",
        "approved_by_id": "ada@studio.example",
        "approved_at": NOW,
        "expires_at": NOW + timedelta(days=1),
        "ended_at": None,
        "ended_by": None,
        "ended_by_id": None,
    }
    return Override(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "at", "holds"),
    [
        (override(), NOW, True),
        (override(), NOW - timedelta(seconds=1), False),
        (override(), NOW + timedelta(days=1), False),
        (override(ended_at=NOW), NOW, False),
    ],
)
def test_how_long_an_override_holds(one: Override, at: datetime, holds: bool) -> None:
    assert policy.in_force([one, one], at) == (40 if holds else 0)


def test_an_override_ends_with_its_month_at_the_latest() -> None:
    assert policy.expiry(NOW + timedelta(days=90), NOVEMBER, NOW) == datetime(2026, 12, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="have ended already"):
        policy.expiry(NOW, NOVEMBER, NOW)


@pytest.mark.parametrize("text", ["", "  ", "ok", "x" * 501])
def test_a_reason_is_one(text: str) -> None:
    with pytest.raises(InvalidInput):
        policy.reason(text)


def test_nothing_limits_what_has_no_limit() -> None:
    free = position("1", limit="Infinity", alert="Infinity")
    assert (free.has_limit, free.left_usd) == (False, NO_LIMIT)
