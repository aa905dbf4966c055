"""The nightly proof: totals against their lines, an alert a month that differs, closed when it is mended."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core import access, database
from core.alerts import views
from core.alerts.models import Alert, Kind, Severity
from core.budget import fold, proof, service
from core.budget.models import CostLine, Reservation
from core.settings import ROOT
from jobs import prove_totals
from tests.database import ledger

ADA = access.command_line("ada")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
# What the ledger itself refuses, done by its superuser with the triggers asleep.
GONE = (
    "DO $$ BEGIN PERFORM set_config('session_replication_role', 'replica', true);"
    " DELETE FROM job_costs WHERE kind = 'settle'; END $$"
)


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    sql("DELETE FROM alerts")
    ledger.empty(sql)


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def spend(usd: str, now: datetime = NOW) -> None:
    """A reservation of $3, of which so much was paid."""
    key = uuid.uuid4().hex
    line = CostLine(f"line:{key}", "fal", "flux-lora", Decimal(1), "image", Decimal(usd), "1")
    with database.transaction() as connection:
        service.reserve(connection, Reservation(key, Decimal(3), "fal", "flux-lora"), now)
        service.settle(connection, key, [line], now, close=False)


def differences() -> tuple[proof.Difference, ...]:
    with database.reading() as connection:
        return proof.differences(connection)


def waiting() -> list[Alert]:
    return [alert for alert in views.waiting(ADA) if alert.kind is Kind.UNEQUAL_TOTALS]


def test_totals_that_are_the_sum_are_proven() -> None:
    assert differences() == ()
    for month in (NOW, NOW - timedelta(days=40)):
        spend("1.27", month)
        spend("0.035", month)
    assert differences() == ()
    assert (prove_totals.run(), waiting()) == (0, [])


@pytest.mark.parametrize(
    ("spoil", "settled", "reserved"),
    [
        ("UPDATE budget_totals SET settled_usd = settled_usd + 1", ("2.27", "1.27"), ("1.73", "1.73")),
        ("UPDATE budget_totals SET reserved_usd = 0", ("1.27", "1.27"), ("0", "1.73")),
        ("DELETE FROM budget_totals", ("0", "1.27"), ("0", "1.73")),
        (GONE, ("1.27", "0"), ("1.73", "1.73")),
    ],
)
def test_what_differs_is_an_alert_with_both_figures(
    spoil: str, settled: tuple[str, str], reserved: tuple[str, str]
) -> None:
    spend("1.27")
    sql(spoil)
    [found] = differences()
    assert (found.scope, found.month.isoformat()) == ("trainings", "2026-11-01")
    assert (found.settled_usd, found.settled_lines_usd) == tuple(map(Decimal, settled))
    assert (found.reserved_usd, found.reserved_lines_usd) == tuple(map(Decimal, reserved))
    assert prove_totals.run() == 1
    [alert] = waiting()
    assert (alert.subject, alert.severity) == ("trainings 2026-11", Severity.CRITICAL)
    assert Decimal(alert.evidence["settled_usd"]) == Decimal(settled[0])
    assert Decimal(alert.evidence["settled_lines_usd"]) == Decimal(settled[1])
    assert prove_totals.run() == 0


def test_the_remedy_of_the_readme_closes_it() -> None:
    spend("1.27")
    spend("2.00", NOW - timedelta(days=40))
    sql("UPDATE budget_totals SET settled_usd = settled_usd + 1, reserved_usd = 9")
    assert prove_totals.run() == 2
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if "A total differs" in line)
    remedy = next(part for part in row.split("`") if part.startswith("UPDATE budget_totals"))
    for month in ("2026-11-01", "2026-10-01"):
        sql(remedy.replace("2026-11-01", month))
    assert (prove_totals.run(), waiting()) == (2, [])


def test_a_line_of_another_system_counts_before_it_is_taken_up_and_after() -> None:
    sql("INSERT INTO job_costs (kind, provider, service, amount_usd) VALUES ('settle', 'kie', 'x', 5)")
    assert differences() == ()
    fold.run(NOW)
    assert differences() == ()
    assert sql("SELECT scope, settled_usd FROM budget_totals")[0] == ("deliveries", 5)
