"""Reservations, what was paid in the end, and running totals that equal the lines, also for many at once."""

import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core import access, database
from core.budget import prices, service, views
from core.budget.models import TRAININGS, BudgetExceeded, CostLine, Position, Reservation
from core.errors import NotFound
from core.providers import runpod, runpod_pods
from core.sandbox import runpod_wire
from tests.database import ledger

ADA = access.command_line("ada")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NEXT_MONTH = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    ledger.empty(sql)


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def reserve(amount: str, key: str | None = None, now: datetime = NOW) -> str:
    name = key or f"run:{uuid.uuid4()}"
    with database.transaction() as connection:
        service.reserve(connection, Reservation(name, Decimal(amount), "fal", "training"), now)
    return name


def paid(amount: str, key: str | None = None) -> CostLine:
    return CostLine(key or str(uuid.uuid4()), "fal", "training", Decimal(1), "run", Decimal(amount), "test")


def settle(key: str, lines: Sequence[CostLine], now: datetime = NOW, *, close: bool = True) -> None:
    with database.transaction() as connection:
        service.settle(connection, key, lines, now, close=close)


def release(key: str) -> None:
    with database.transaction() as connection:
        service.release(connection, key, "cancelled", NOW)


def stands(now: datetime = NOW) -> tuple[str, str]:
    """Settled and reserved, after the total has been proven by the lines."""
    position = views.position(ADA, now)
    assert position == views.by_lines(ADA, now)
    return f"{position.settled_usd:.2f}", f"{position.reserved_usd:.2f}"


def test_nothing_is_spent_on_the_first_day() -> None:
    assert views.position(ADA, NOW) == Position(
        TRAININGS, date(2026, 11, 1), Decimal(200), Decimal(150), Decimal(0), Decimal(0)
    )


def test_what_was_paid_takes_the_place_of_what_was_reserved() -> None:
    key = reserve("2.10")
    assert stands() == ("0.00", "2.10")
    settle(key, [paid("1.80"), paid("0.07")])
    assert stands() == ("1.87", "0.00")


def test_parts_are_settled_as_they_are_paid() -> None:
    key = reserve("2.10")
    settle(key, [paid("2.00")], close=False)
    assert stands() == ("2.00", "0.10")
    settle(key, [paid("0.035")], close=False)
    settle(key, [])
    assert stands() == ("2.04", "0.00")


def test_more_than_reserved_is_written_all_the_same() -> None:
    key = reserve("1.00")
    settle(key, [paid("3.50")])
    assert stands() == ("3.50", "0.00")


def test_everything_twice_is_once() -> None:
    key = reserve("2.00", "run:1")
    reserve("2.00", "run:1")
    line = paid("1.50", "fal:1")
    settle(key, [line], close=False)
    settle(key, [line], close=False)
    assert stands() == ("1.50", "0.50")
    release(key)
    release(key)
    settle(key, [line])
    assert stands() == ("1.50", "0.00")


def test_a_failed_one_gives_everything_back() -> None:
    release(reserve("2.00"))
    assert stands() == ("0.00", "0.00")


def test_what_is_paid_later_belongs_to_the_month_of_its_reservation() -> None:
    key = reserve("2.00")
    settle(key, [paid("2.00")], NEXT_MONTH + timedelta(hours=1))
    assert stands() == ("2.00", "0.00")
    assert stands(NEXT_MONTH) == ("0.00", "0.00")


def test_beyond_the_budget_it_says_what_is_left_and_what_to_do() -> None:
    settle(reserve("190"), [paid("190")])
    reserve("8.50")
    with pytest.raises(BudgetExceeded) as refused:
        reserve("2.00")
    assert refused.value.http_status == 402
    assert str(refused.value) == (
        "This would take $2.00 of the trainings budget, and $1.50 is left of $200.00 for November"
        " ($190.00 spent, $8.50 reserved). Wait for 1 December (UTC), or ask operations for a higher budget."
    )
    assert stands() == ("190.00", "8.50")
    reserve("1.50")
    reserve("2.00", now=NEXT_MONTH)


def test_of_fifty_at_once_only_as_many_fit_as_there_is_money_for() -> None:
    settle(reserve("190"), [paid("190")])
    together = threading.Barrier(10)

    def launch(number: int) -> bool:
        if number < 10:
            together.wait()
        try:
            reserve("2.00")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(launch, range(50))) == 5
    assert stands() == ("190.00", "10.00")


def test_a_rolled_back_launch_reserves_nothing() -> None:
    with database.transaction() as connection:
        service.reserve(connection, Reservation("run:2", Decimal(2), "fal", "training"), NOW)
        connection.rollback()
    assert stands() == ("0.00", "0.00")


def test_an_unknown_reservation_is_named() -> None:
    with pytest.raises(NotFound, match="run:nobody"):
        release("run:nobody")


def test_a_quote_is_by_the_prices_of_its_day() -> None:
    with database.transaction() as connection:
        quote = prices.training_quote(connection, "fal", 1000, 3, (1024, 768), NOW)
        assert (quote.training_usd, quote.images_usd) == (Decimal("2.0000"), Decimal("0.1050"))
        assert prices.training_quote(connection, "runpod", 1000, 3, (1024, 1024), NOW).images_usd == Decimal(
            "0.2100"
        )
        connection.exec_driver_sql(
            "INSERT INTO prices (provider, service, unit, unit_usd, valid_from, source)"
            " VALUES ('fal', 'flux-lora-fast-training', 'step', 0.003, '2026-11-25 13:00Z', 'test')"
        )
        assert prices.training_quote(connection, "fal", 1000, 0, (1, 1), NOW).training_usd == Decimal(2)
        later = prices.training_quote(connection, "fal", 1000, 0, (1, 1), NOW + timedelta(hours=2))
        assert later.training_usd == Decimal(3)
        connection.rollback()


def test_the_price_of_a_pod_is_that_of_the_machine_that_is_ordered_until_its_ceiling() -> None:
    with database.reading() as connection:
        price = prices.current(connection, "runpod", "gpu", NOW)
        quote = prices.training_quote(connection, "runpod", 1000, 0, (1, 1), NOW)
    ordered = runpod_wire.GPUS[runpod_pods.GPU]
    assert price.unit_usd == Decimal(str(ordered[3]))
    assert price.source.startswith(runpod_pods.GPU.removeprefix("NVIDIA "))
    assert quote.hour_usd == price.unit_usd
    hours = float(quote.training_usd / price.unit_usd)
    assert timedelta(hours=hours) == runpod.CEILING + prices.STOPPING


def test_a_missing_price_is_the_highest_of_its_family_and_says_so() -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO prices (provider, service, unit, unit_usd, valid_from, source) VALUES"
            " ('fal', 'flux-pro-trainer', 'step', 0.008, '2026-01-01Z', 'test'),"
            " ('fal', 'flux-max-trainer', 'step', 0.009, '2027-01-01Z', 'not yet')"
        )
        connection.exec_driver_sql("DELETE FROM prices WHERE service = 'flux-lora-fast-training'")
        quote = prices.training_quote(connection, "fal", 1000, 0, (1, 1), NOW)
        connection.rollback()
    assert (quote.training_usd, quote.service) == (Decimal("8.0000"), "flux-lora-fast-training")
    assert quote.note == ("No price for flux-lora-fast-training at fal: the highest of its family is taken.")


def test_what_nobody_sells_has_no_price() -> None:
    with database.reading() as connection, pytest.raises(NotFound, match="no price for haircuts at nobody"):
        prices.current(connection, "nobody", "haircuts", NOW)
