"""The proof that each month's running totals are what the ledger's lines add up to."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection

from core.budget.repository import SQL


@dataclass(frozen=True)
class Difference:
    """A month whose running total is not the sum of its lines; all amounts in USD."""

    scope: str
    month: date
    settled_usd: Decimal
    reserved_usd: Decimal
    settled_lines_usd: Decimal
    reserved_lines_usd: Decimal


def differences(connection: Connection) -> tuple[Difference, ...]:
    """Every month of every scope that differs, in one snapshot; empty when all are proven."""
    return tuple(Difference(**row) for row in SQL["unequal_totals"].all(connection))
