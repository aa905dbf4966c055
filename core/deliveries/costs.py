"""What a generation of ours cost: one ledger line when the provider has finished it."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.deliveries.models import Generation
from core.deliveries.repository import SQL
from core.providers import kie_models
from core.providers.contract import TaskRecord


def add_cost(connection: Connection, generation: Generation, record: TaskRecord, now: datetime) -> None:
    """Write the cost line of a finished task, once: its source key is the provider's task id.

    KIE's own credits count where its record names them, else the model table's price.
    """
    if record.credits_consumed is not None:
        quantity, unit, price = record.credits_consumed, "credit", kie_models.USD_PER_CREDIT
    else:
        quantity, unit = Decimal(1), "generation"
        price = kie_models.estimate_usd(generation.model or "", generation.input)
    SQL["add_cost"].run(
        connection,
        model=generation.model,
        user_id=generation.user_id,
        generation_id=generation.id,
        quantity=quantity,
        unit=unit,
        unit_price=price,
        price_version=kie_models.PRICE_VERSION,
        amount_usd=(quantity * price).quantize(Decimal("0.0001")),
        now=now,
        source_key=f"kie:{generation.task_id}",
    )
