"""What a generation of ours cost: one ledger line when the provider has finished it."""

import json
from decimal import Decimal

from core.deliveries.models import Generation
from core.providers import kie_models
from core.providers.contract import TaskRecord


def cost_json(generation: Generation, record: TaskRecord) -> str:
    """The cost line of a finished task as a list for the statement that writes it, once by its source key,
    which is the provider's task id; an empty list for a generation that another system paid for.

    KIE's own credits count where its record names them, else the model table's price.
    """
    if not generation.ours:
        return "[]"
    if record.credits_consumed is not None:
        quantity, unit, price = record.credits_consumed, "credit", kie_models.USD_PER_CREDIT
    else:
        quantity, unit = Decimal(1), "generation"
        price = kie_models.estimate_usd(generation.model or "", generation.input)
    line = {
        "quantity": str(quantity),
        "unit": unit,
        "unit_price": str(price),
        "price_version": kie_models.PRICE_VERSION,
        "amount_usd": str((quantity * price).quantize(Decimal("0.0001"))),
        "source_key": f"kie:{generation.task_id}",
    }
    return json.dumps([line])
