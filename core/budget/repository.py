"""The ledger's queries, and rows of them as dataclasses."""

from datetime import date

from sqlalchemy import RowMapping

from core import queries
from core.budget.models import Position

SQL = queries.load("budget")


def to_position(scope: str, month: date, row: RowMapping) -> Position:
    """A row of the query `position`."""
    return Position(scope, month, row["limit_usd"], row["alert_usd"], row["settled_usd"], row["reserved_usd"])
