"""What pages show of the budget."""

from datetime import datetime

from core import access, database
from core.access import Action, Actor
from core.budget.models import TRAININGS, Position
from core.budget.policy import month_of
from core.budget.repository import SQL, to_position


def position(actor: Actor | None, now: datetime, scope: str = TRAININGS) -> Position:
    """Where this month stands, from its running total."""
    access.check(actor, Action.VIEW)
    month = month_of(now)
    with database.reading() as connection:
        return to_position(scope, month, SQL["position"].one(connection, scope=scope, month=month, now=now))


def by_lines(actor: Actor | None, now: datetime, scope: str = TRAININGS) -> Position:
    """The same from the lines themselves: what the running total must be equal to."""
    access.check(actor, Action.VIEW)
    month = month_of(now)
    with database.reading() as connection:
        allowed = SQL["position"].one(connection, scope=scope, month=month, now=now)
        found = SQL["month_by_lines"].one(connection, scope=scope, month=month)
    return Position(
        scope,
        month,
        allowed["limit_usd"],
        allowed["alert_usd"],
        found["settled_usd"],
        found["reserved_usd"],
    )
