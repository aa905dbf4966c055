"""Lines of the ledger for tests, and emptying it, which it refuses: as its superuser can, triggers asleep."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from core import database
from core.budget import service
from core.budget.models import CostLine, Reservation

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
# What is counted of the lines goes with them.
TABLES = ("job_costs", "cost_changes", "cost_rollup", "budget_totals", "budget_overrides", "credit_rates")


def empty(run: Callable[[str], Any]) -> None:
    """No line, and no sum of lines."""
    deletes = " ".join(f"DELETE FROM {table};" for table in TABLES)
    run(f"DO $$ BEGIN PERFORM set_config('session_replication_role', 'replica', true); {deletes} END $$")


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def reserve(amount: str, key: str | None = None, now: datetime = NOW, **more: Any) -> str:
    name = key or f"run:{uuid.uuid4()}"
    with database.transaction() as connection:
        service.reserve(connection, Reservation(name, Decimal(amount), "fal", "training", **more), now)
    return name


def settle(key: str, amount: str, name: str | None = None, *, close: bool = True, now: datetime = NOW) -> str:
    line = CostLine(
        name or str(uuid.uuid4()),
        "fal",
        "training",
        Decimal(1),
        "run",
        Decimal(amount),
        "test",
        stage="training",
    )
    with database.transaction() as connection:
        service.settle(connection, key, [line], now, close=close)
    return line.source_key


def line_of(source_key: str) -> uuid.UUID:
    [(found,)] = sql("SELECT id FROM job_costs WHERE source_key = %s", source_key)
    return uuid.UUID(str(found))


def delivery(amount: str, key: str | None = None, at: datetime = NOW, **columns: Any) -> None:
    values = {
        "kind": "settle",
        "provider": "kie",
        "service": "generation",
        "model": "flux-2/pro-text-to-image",
        "stage": "generate",
        "generation_id": str(uuid.uuid4()),
        "amount_usd": amount,
        "occurred_at": at,
        "source_key": key or str(uuid.uuid4()),
        **columns,
    }
    sql(
        f"INSERT INTO job_costs ({', '.join(values)}) VALUES (%s{', %s' * (len(values) - 1)})",
        *values.values(),
    )
