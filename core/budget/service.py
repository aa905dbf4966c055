"""The only writer of the ledger's lines: reserve, settle, release, correct."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import access, audit, database
from core.access import Action, Actor
from core.budget import policy
from core.budget.models import EVERYTHING, CostLine, Kind, Reservation
from core.budget.repository import SQL, position
from core.errors import Conflict, InvalidInput, NotFound

_COLUMNS = (
    "scope", "provider", "service", "model", "user_id", "lora_model_id", "run_id", "generation_id", "stage",
    "quantity", "unit", "unit_price", "price_version", "source_key", "note", "corrects",
)  # fmt: skip


MAX_REQUEST_KEY = 200


def reserve(connection: Connection, wanted: Reservation, now: datetime) -> None:
    """Promise the money in this month's budget; the same source key again changes nothing.

    Until the transaction ends whoever else reserves in this scope waits, so that together nobody
    overshoots. Raises BudgetExceeded with the sentence for people, InvalidInput for what is no amount.
    """
    amount, month = policy.amount("amount_usd", wanted.amount_usd), policy.month_of(now)
    SQL["open_month"].run(connection, scope=wanted.scope, month=month)
    SQL["lock_month"].one(connection, scope=wanted.scope, month=month)
    if SQL["reservation"].first(connection, key=wanted.source_key) is not None:
        return
    check_fits(connection, wanted.scope, amount, now)
    line = _line(Kind.RESERVE, vars(wanted), now) | {
        "amount_usd": amount,
        "month": month,
        "reservation_key": wanted.source_key,
    }
    SQL["append"].run(connection, **line)
    _add(connection, wanted.scope, month, reserved=amount)


def check_fits(connection: Connection, scope: str, amount: Decimal, now: datetime) -> None:
    """Raise BudgetExceeded when this month's budget of the scope, or of everything, has no room for it.

    Nothing is held: of what is paid without a reservation, as many as are under way may pass together.
    """
    for one in (scope, EVERYTHING):
        policy.check_affordable(position(connection, one, policy.month_of(now), now), amount)


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
        policy.amount("amount_usd", line.amount_usd, zero=True)
        values = _line(Kind.SETTLE, vars(line), line.occurred_at or now) | _of(held, source_key)
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


def pay(connection: Connection, scope: str, line: CostLine, now: datetime) -> bool:
    """Write what was paid without a reservation, in the month of its time; whether it was not there yet.

    The running total has it when the job has counted it.
    """
    policy.amount("amount_usd", line.amount_usd, zero=True)
    at = line.occurred_at or now
    values = _line(Kind.SETTLE, vars(line), at) | {
        "scope": scope,
        "month": policy.month_of(at),
        "reservation_key": None,
        "amount_usd": line.amount_usd,
    }
    return SQL["append"].run(connection, **values) > 0


def correct(
    actor: Actor | None, line_id: UUID, should_be: Decimal, reason: str, now: datetime, request_key: str
) -> Decimal:
    """Put right what a line says was paid, by a further line in the same month; what that one adds.

    Once a request key. Raises NotFound for a line that is not there, Conflict for one that is no cost or is
    right already, InvalidInput for what is no amount.
    """
    actor = access.check(actor, Action.MANAGE_BUDGET)
    wanted, why = policy.amount("should_be", should_be, zero=True), policy.reason(reason)
    if not 8 <= len(request_key) <= MAX_REQUEST_KEY:
        raise InvalidInput("request_key", f"request_key must have 8 to {MAX_REQUEST_KEY} characters.")
    with database.transaction() as connection:
        SQL["hold_line"].run(connection, id=str(line_id))
        line = SQL["line"].first(connection, id=line_id)
        if line is None:
            raise NotFound(f"There is no line {line_id} in the ledger.")
        _check_correctable(line)
        known = SQL["written"].first(connection, key=f"correct:{request_key}")
        if known is not None:
            return Decimal(known["amount_usd"])
        was: Decimal = (line["amount_usd"] or Decimal(0)) + SQL["corrections"].one(
            connection, id=str(line_id)
        )["usd"]
        more: Decimal = wanted - was
        if more == 0:
            raise Conflict(f"The line stands at ${was:.4f} already; there is nothing to correct.")
        _write_correction(connection, line, more, why, now, f"correct:{request_key}")
        audit.record(
            connection,
            actor,
            "budget.correct",
            "ledger line",
            str(line_id),
            before={"amount_usd": str(was)},
            after={"amount_usd": str(wanted)},
            reason=why,
        )
    return more


def _check_correctable(line: RowMapping) -> None:
    if line["kind"] in {Kind.RESERVE, Kind.RELEASE}:
        raise Conflict("This line is a promise, not a cost. It ends by itself with the run that it is for.")
    if line["kind"] == Kind.CORRECT:
        raise Conflict("This line is a correction. Correct the line that it corrects.")
    if line["month"] is None:
        raise Conflict("This line has no month, so nothing can be put right in it.")


def _write_correction(
    connection: Connection, line: RowMapping, more: Decimal, why: str, now: datetime, key: str
) -> None:
    """The further line; a scope that reserves has its running total written with it."""
    values = _line(Kind.CORRECT, dict(line), now) | {
        "month": line["month"],
        "reservation_key": line["reservation_key"],
        "quantity": None,
        "unit": None,
        "unit_price": None,
        "price_version": None,
        "source_key": key,
        "corrects": str(line["id"]),
        "note": why,
        "amount_usd": more,
        "flagged": False,
    }
    if line["reservation_key"] is not None:
        SQL["lock_month"].one(connection, scope=line["scope"], month=line["month"])
    if not SQL["append"].run(connection, **values):
        raise Conflict("This correction is written already.")
    if line["reservation_key"] is not None:
        _add(connection, line["scope"], line["month"], settled=more)
    if line["lora_model_id"] is not None:
        SQL["add_training_cost"].run(connection, lora_model_id=line["lora_model_id"], amount=more)


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
    values = _line(Kind.RELEASE, dict(held), now)
    values |= _of(held, source_key) | {"amount_usd": -amount, "note": reason}
    if SQL["append"].run(connection, **values | {"source_key": f"{source_key}:release:{name}"}):
        _add(connection, held["scope"], held["month"], reserved=-amount)


def _of(held: RowMapping, source_key: str) -> dict[str, Any]:
    """What a line has in common with its reservation."""
    names = ("scope", "month", "user_id", "lora_model_id", "run_id")
    return {name: held[name] for name in names} | {"reservation_key": source_key}


def _line(kind: str, given: dict[str, Any], at: datetime) -> dict[str, Any]:
    known = {name: given.get(name) for name in _COLUMNS}
    return known | {"kind": kind, "occurred_at": at, "flagged": bool(given.get("flagged"))}


def _add(
    connection: Connection,
    scope: str,
    month: object,
    settled: Decimal = Decimal(0),
    reserved: Decimal = Decimal(0),
) -> None:
    SQL["add_to_month"].run(connection, scope=scope, month=month, settled=settled, reserved=reserved)
