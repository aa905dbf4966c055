"""The only writer of the ledger's lines: reserve, settle, release, each in its caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from core.budget import policy
from core.budget.models import CENT_PART, CostLine, Reservation
from core.budget.repository import SQL, to_position
from core.errors import NotFound

_COLUMNS = (
    "scope", "provider", "service", "model", "user_id", "lora_model_id", "run_id", "stage", "quantity",
    "unit", "unit_price", "price_version", "source_key", "note",
)  # fmt: skip


def reserve(connection: Connection, wanted: Reservation, now: datetime) -> None:
    """Promise the money in this month's budget; the same source key again changes nothing.

    Until the transaction ends whoever else reserves in this scope waits, so that together nobody
    overshoots. Raises BudgetExceeded with the sentence for people.
    """
    month = policy.month_of(now)
    SQL["open_month"].run(connection, scope=wanted.scope, month=month)
    SQL["lock_month"].one(connection, scope=wanted.scope, month=month)
    if SQL["reservation"].first(connection, key=wanted.source_key) is not None:
        return
    amount = wanted.amount_usd.quantize(CENT_PART)
    row = SQL["position"].one(connection, scope=wanted.scope, month=month, now=now)
    policy.check_affordable(to_position(wanted.scope, month, row), amount)
    line = _line("reserve", vars(wanted), now) | {
        "amount_usd": amount,
        "month": month,
        "reservation_key": wanted.source_key,
    }
    SQL["append"].run(connection, **line)
    _add(connection, wanted.scope, month, reserved=amount)


def settle(
    connection: Connection, source_key: str, lines: Sequence[CostLine], now: datetime, *, close: bool = True
) -> None:
    """Write what was really paid, in the month of its reservation, and give as much of that back.

    With `close` nothing of it stays reserved. A line that is there already is not written again. What costs
    more than was reserved is written all the same: it has been paid. NotFound for an unknown reservation.
    """
    held = _held(connection, source_key)
    written = Decimal(0)
    for line in lines:
        values = _line("settle", vars(line), line.occurred_at or now) | _of(held, source_key)
        if SQL["append"].run(connection, **values, amount_usd=line.amount_usd):
            written += line.amount_usd
    left = held["left_usd"]
    back = left if close else min(left, written)
    if written:
        _add(connection, held["scope"], held["month"], settled=written)
    if back > 0:
        name = "closed" if close else lines[-1].source_key
        _give_back(connection, held, source_key, back, name, now)


def release(connection: Connection, source_key: str, reason: str, now: datetime) -> None:
    """Give back all that is still reserved. NotFound for an unknown reservation."""
    held = _held(connection, source_key)
    if held["left_usd"] > 0:
        _give_back(connection, held, source_key, held["left_usd"], "closed", now, reason)


def _held(connection: Connection, source_key: str) -> RowMapping:
    """The reservation as it stands, its month's total held."""
    found = SQL["reservation"].first(connection, key=source_key)
    if found is None:
        raise NotFound(f"There is no reservation {source_key!r}.")
    SQL["lock_month"].one(connection, scope=found["scope"], month=found["month"])
    return SQL["reservation"].one(connection, key=source_key)


def _give_back(
    connection: Connection,
    held: RowMapping,
    source_key: str,
    amount: Decimal,
    name: str,
    now: datetime,
    reason: str | None = None,
) -> None:
    values = _line("release", {"provider": "studio-ops", "service": "reservation"}, now)
    values |= _of(held, source_key) | {"amount_usd": -amount, "note": reason}
    if SQL["append"].run(connection, **values | {"source_key": f"{source_key}:release:{name}"}):
        _add(connection, held["scope"], held["month"], reserved=-amount)


def _of(held: RowMapping, source_key: str) -> dict[str, Any]:
    """What a line has in common with its reservation."""
    names = ("scope", "month", "user_id", "lora_model_id", "run_id")
    return {name: held[name] for name in names} | {"reservation_key": source_key}


def _line(kind: str, given: dict[str, Any], at: datetime) -> dict[str, Any]:
    return {name: given.get(name) for name in _COLUMNS} | {"kind": kind, "occurred_at": at}


def _add(
    connection: Connection,
    scope: str,
    month: object,
    settled: Decimal = Decimal(0),
    reserved: Decimal = Decimal(0),
) -> None:
    SQL["add_to_month"].run(connection, scope=scope, month=month, settled=settled, reserved=reserved)
