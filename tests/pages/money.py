"""Money in the ledger, as its services leave it, for pages that have to show it."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core import access, database
from core.budget import fold, service
from core.budget.models import CostLine, Reservation

OPERATOR = access.command_line("ada")


def spend(amount: str, *, reserved: str | None = None, at: datetime | None = None, **more: Any) -> str:
    """A training that cost so much, and has still reserved what is left of `reserved`; its key."""
    now, key = at or datetime.now(UTC), f"run:{uuid.uuid4()}"
    name = "flux-lora-fast-training"
    line = CostLine(f"call:{key}", "fal", name, Decimal(amount), "dollar", Decimal(1), "test", "training")
    with database.transaction() as connection:
        wanted = Reservation(key, Decimal(reserved or amount), "fal", name, **more)
        service.reserve(connection, wanted, now)
        service.settle(connection, key, [line], now, close=reserved is None)
    fold.run(now)
    return line.source_key


def month_of_days(usd: str, days: int) -> None:
    """So much on each of the days before today, into its own month."""
    now = datetime.now(UTC)
    for n in range(1, days + 1):
        spend(usd, at=now - timedelta(days=n))
