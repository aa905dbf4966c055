"""The ledger's queries, and rows of them as dataclasses."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, RowMapping

from core import queries
from core.budget.models import NO_LIMIT, Limit, Line, Override, Position, Price

SQL = queries.load("budget")


def position(connection: Connection, scope: str, month: date, now: datetime) -> Position:
    """Where the scope's month stands."""
    return to_position(scope, month, SQL["position"].one(connection, scope=scope, month=month, now=now))


def to_position(scope: str, month: date, row: RowMapping) -> Position:
    """A row of the query `position`."""
    more: Decimal = row["override_usd"]
    limit = NO_LIMIT if row["limit_usd"] is None else row["limit_usd"] + more
    alert = NO_LIMIT if row["alert_usd"] is None else row["alert_usd"]
    return Position(scope, month, limit, alert, row["settled_usd"], row["reserved_usd"], more)


def to_price(row: RowMapping, stands_in: str | None = None) -> Price:
    """A row of `prices`."""
    names = ("provider", "service", "unit", "unit_usd", "valid_from", "source")
    return Price(**{name: row[name] for name in names}, stands_in=stands_in)


def to_limit(row: RowMapping) -> Limit:
    """A row of `budget_limits`."""
    return Limit(**{name: row[name] for name in Limit.__match_args__})


def to_override(row: RowMapping) -> Override:
    """A row of `budget_overrides`."""
    return Override(**{name: row[name] for name in Override.__match_args__})


def to_line(row: RowMapping) -> Line:
    """A row of `job_costs`."""
    return Line(**{name: row[name] for name in Line.__match_args__})
