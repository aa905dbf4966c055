"""What the budget allows, and when it says something by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from core.budget.forecast import Forecast
from core.budget.models import CENT_PART, BudgetExceeded, Override, Position
from core.errors import InvalidInput

# No single amount, limit or price of ours is nearly so large; a slip of the decimal point is.
MOST_USD = Decimal(100_000)
HALF = Decimal("0.5")
# From here on hardly anything fits: of $200 less than a training is left.
FULL = Decimal("0.99")
MAX_REASON = 500


def month_of(at: datetime) -> date:
    """The first day of the budget's month, which is UTC's."""
    day = at.astimezone(UTC)
    return date(day.year, day.month, 1)


def next_month(month: date) -> date:
    """The first day of the month after."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def end_of(month: date) -> datetime:
    """The moment at which the month is over."""
    following = next_month(month)
    return datetime(following.year, following.month, 1, tzinfo=UTC)


def check_affordable(position: Position, amount: Decimal) -> None:
    """Raises BudgetExceeded when the amount does not fit into what is left of the month."""
    if amount <= position.left_usd:
        return
    then = next_month(position.month)
    left = max(position.left_usd, Decimal(0))
    raise BudgetExceeded(
        f"This would take {_dollars(amount)} of the {position.scope} budget, and {_dollars(left)} is left"
        f" of {_dollars(position.limit_usd)} for {position.month:%B} ({_dollars(position.settled_usd)} spent,"
        f" {_dollars(position.reserved_usd)} reserved). Wait for {then.day} {then:%B} (UTC), or ask"
        " operations for a higher budget."
    )


def _dollars(usd: Decimal) -> str:
    """To the cent, rounded as pages do."""
    return f"${usd.quantize(Decimal('0.01'), rounding=ROUND_HALF_UP)}"


def amount(field: str, value: Decimal, *, zero: bool = False) -> Decimal:
    """The value with four places. InvalidInput for what is no amount of dollars: NaN, negative, huge."""
    if not value.is_finite():
        raise InvalidInput(field, "This is no number. Give an amount in dollars, such as 12.50.")
    if value < 0 or (value == 0 and not zero):
        raise InvalidInput(field, f"An amount is {'zero or ' if zero else ''}more than zero, not {value:f}.")
    if value > MOST_USD:
        raise InvalidInput(field, f"An amount is at most ${MOST_USD:,.0f}. Is the decimal point right?")
    rounded = value.quantize(CENT_PART)
    if rounded == 0 and not zero:
        raise InvalidInput(field, f"An amount is at least ${CENT_PART}.")
    return rounded


def reason(text: str) -> str:
    """The reason as it is kept. InvalidInput when there is none, or a novel."""
    kept = " ".join(text.split())
    if len(kept) < 3:
        raise InvalidInput("reason", "Say why; it stands in the audit log.")
    if len(kept) > MAX_REASON:
        raise InvalidInput("reason", f"A reason has at most {MAX_REASON} characters; this has {len(kept)}.")
    return kept


def expiry(expires_at: datetime, month: date, now: datetime) -> datetime:
    """When an override ends: after now, and with its month at the latest."""
    if expires_at <= now:
        raise InvalidInput("expires_at", "It would have ended already. Choose a day to come.")
    return min(expires_at, end_of(month))


def in_force(overrides: Sequence[Override], now: datetime) -> Decimal:
    """How much more the month has by its overrides."""
    return sum((one.amount_usd for one in overrides if one.holds(now)), Decimal(0))


@dataclass(frozen=True)
class Due:
    """Something to say about a budget: `mark` is the threshold that was reached, or will be on `on`."""

    what: str
    scope: str
    month: date
    mark_usd: Decimal
    on: date | None = None

    @property
    def subject(self) -> str:
        """What it is told once of: scope, month, and the threshold itself."""
        return f"{self.scope} {self.month:%Y-%m} ${self.mark_usd:.2f}"


def due_alerts(position: Position, forecast: Forecast | None) -> tuple[Due, ...]:
    """The thresholds that the month has reached by what was really paid, and a limit that it will cross.

    Reserved money is a promise: it counts against launches and fills the budget up, but no $150 and no half.
    """
    if not position.has_limit:
        return ()

    def due(what: str, mark: Decimal, on: date | None = None) -> Due:
        return Due(what, position.scope, position.month, mark, on)

    found = []
    spent, limit = position.settled_usd, position.limit_usd
    if position.committed_usd >= limit * FULL:
        found.append(due("full", limit))
    if position.alert_usd.is_finite() and spent >= position.alert_usd:
        found.append(due("alert", position.alert_usd))
    if spent >= limit * HALF:
        found.append(due("half", limit * HALF))
    if forecast is not None and forecast.limit_on is not None and spent < limit:
        found.append(due("forecast", limit, forecast.limit_on))
    return tuple(found)
