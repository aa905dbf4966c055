"""What the trainings of a rehearsal have cost: reserved, settled, and the rest given back."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from core.budget.policy import month_of
from core.rehearsal.repository import SQL
from core.rehearsal.trainings_course import PICTURE_USD, PICTURES, STEP_USD, Training


def fill(connection: Connection, trainings: Sequence[Training]) -> None:
    """Write the lines of these trainings, with the running totals."""
    lines = [line for one in trainings for line in _lines(one)]
    SQL["fill_trainings"].run(connection, lines=json.dumps(lines))


def key_of(one: Training) -> str:
    """The name of its reservation."""
    return f"training:{one.run_id}"


def spent(one: Training) -> Decimal:
    """What it has cost so far."""
    return sum((Decimal(line["amount_usd"]) for line in _lines(one) if line["kind"] == "settle"), Decimal(0))


def _lines(one: Training) -> Iterator[dict[str, Any]]:
    common = {
        "run_id": str(one.run_id),
        "lora_model_id": str(one.lora_id),
        "user_id": str(one.user_id),
        "month": month_of(one.launched_at).isoformat(),
        "reservation_key": key_of(one),
        "provider": one.trainer,
        "service": one.service,
        "stage": "training",
    }

    def line(kind: str, after: timedelta, usd: Decimal, key: str, **more: object) -> dict[str, Any]:
        at = (one.launched_at + after).isoformat()
        given = {"kind": kind, "amount_usd": str(usd), "occurred_at": at, "source_key": f"{key_of(one)}{key}"}
        return {**common, **given, **more}

    yield line("reserve", timedelta(), one.reserved_usd, "")
    if one.trained_usd:
        counted = _counted(one.trained_usd / STEP_USD, "step", STEP_USD)
        yield line("settle", 0.8 * one.takes, one.trained_usd, ":training", **counted)
    if one.has_pictures:
        counted = _counted(Decimal(PICTURES), "megapixel", PICTURE_USD)
        of = {"provider": "fal", "service": "flux-lora", "stage": "validation", **counted}
        yield line("settle", one.takes, PICTURES * PICTURE_USD, ":pictures", **of)
    if one.ended_at is not None or one.has_pictures:
        yield line("release", one.takes, -one.reserved_usd, ":release:closed")
    elif one.trained_usd:
        yield line("release", 0.8 * one.takes, -one.trained_usd, ":release:training")


def _counted(quantity: Decimal, unit: str, each: Decimal) -> dict[str, str]:
    return {
        "quantity": str(quantity),
        "unit": unit,
        "unit_price": str(each),
        "price_version": "rehearsal",
    }
