"""What the budget allows."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from core.budget.models import BudgetExceeded, Position


def month_of(at: datetime) -> date:
    """The first day of the budget's month, which is UTC's."""
    day = at.astimezone(UTC)
    return date(day.year, day.month, 1)


def check_affordable(position: Position, amount: Decimal) -> None:
    """Raises BudgetExceeded when the amount does not fit into what is left of the month."""
    if amount <= position.left_usd:
        return
    then = (position.month + timedelta(days=31)).replace(day=1)
    left = max(position.left_usd, Decimal(0))
    raise BudgetExceeded(
        f"This would take ${amount:.2f} of the {position.scope} budget, and ${left:.2f} is left"
        f" of ${position.limit_usd:.2f} for {position.month:%B} (${position.settled_usd:.2f} spent,"
        f" ${position.reserved_usd:.2f} reserved). Wait for {then.day} {then:%B} (UTC), or ask operations"
        " for a higher budget."
    )
