"""What trainings of a rehearsal have cost: ledger lines alone, because a LoRA can never be taken away."""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core import database
from core.budget.policy import month_of
from core.rehearsal.models import CUSTOMER, TRAINING, numbered_id
from core.rehearsal.repository import SQL

# Trainings a day: fewer at the weekend. Together they stay well below what a month may cost.
_A_DAY = {True: (0, 0, 1), False: (1, 2, 2, 3)}
_TRAINERS = (
    ("fal", "flux-lora-fast-training"),
    ("fal", "flux-lora-fast-training"),
    ("replicate", "flux-dev-lora-trainer"),
)
_STEPS = (800, 1_000, 1_000, 1_000, 1_200)
_STEP, _PICTURE = Decimal("0.002"), Decimal("0.035")
FAILS = 0.06
PEOPLE = 9


def fill(now: datetime, *, seed: int, days: int) -> None:
    """Write what the history's trainings have cost; the same seed and time give the same lines."""
    drawn = random.Random(f"{seed} trainings")  # noqa: S311 - a rehearsal is no secret
    first = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    lines, number = list[dict[str, Any]](), 0
    for n in range(days + 1):
        day = first + timedelta(days=n)
        for _ in range(drawn.choice(_A_DAY[day.weekday() >= 5])):
            at = day + timedelta(hours=drawn.uniform(8, 19))
            fails = drawn.random() < FAILS
            if at < now - timedelta(hours=1):
                lines += _training(number, at, drawn, fails=fails)
                number += 1
    with database.transaction() as connection:
        SQL["fill_trainings"].run(connection, lines=json.dumps(lines))


def _training(number: int, at: datetime, drawn: random.Random, *, fails: bool) -> Iterator[dict[str, Any]]:
    """Reserved, settled, and the rest given back; one that failed was paid in part."""
    provider, service = drawn.choice(_TRAINERS)
    steps = drawn.choice(_STEPS)
    done = drawn.choice((0, 0, steps // 2)) if fails else steps
    run_id = str(numbered_id(TRAINING, number))
    common = {
        "run_id": run_id,
        "user_id": str(numbered_id(CUSTOMER, drawn.randrange(PEOPLE))),
        "month": month_of(at).isoformat(),
        "reservation_key": f"training:{run_id}",
        "provider": provider,
        "service": service,
        "stage": "training",
    }
    reserved = steps * _STEP + 3 * _PICTURE

    def line(kind: str, after: timedelta, usd: Decimal, key: str, **more: object) -> dict[str, Any]:
        given = {"kind": kind, "amount_usd": str(usd), "occurred_at": (at + after).isoformat()}
        return {**common, **given, "source_key": f"training:{run_id}{key}", **more}

    yield line("reserve", timedelta(), reserved, "")
    trained = done * _STEP
    if done:
        counted = {"quantity": done, "unit": "step", "unit_price": str(_STEP), "price_version": "rehearsal"}
        yield line("settle", timedelta(minutes=14), trained, ":training", **counted)
    pictures = Decimal(0)
    if not fails:
        pictures = 3 * _PICTURE
        counted = {
            "quantity": 3,
            "unit": "megapixel",
            "unit_price": str(_PICTURE),
            "price_version": "rehearsal",
        }
        more = {"provider": "fal", "service": "flux-lora", "stage": "validation", **counted}
        yield line("settle", timedelta(minutes=16), pictures, ":pictures", **more)
    yield line("release", timedelta(minutes=17), -reserved, ":release:closed")
