"""What a generation of ours cost: one ledger line when the provider has finished it."""

import json
from decimal import Decimal

from core import log
from core.deliveries.models import Generation
from core.errors import InvalidInput
from core.providers import kie_models
from core.providers.contract import TaskRecord

_log = log.get(__name__)


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
        try:
            price = kie_models.estimate_usd(generation.model or "", generation.input)
        except InvalidInput:
            # The table has changed since it was sent; a paid result is not held up by its price.
            _log.exception("delivery.no_price", generation_id=str(generation.id), model=generation.model)
            return "[]"
        quantity, unit = Decimal(1), "generation"
    line = {
        "quantity": str(quantity),
        "unit": unit,
        "unit_price": str(price),
        "price_version": kie_models.PRICE_VERSION,
        "amount_usd": str((quantity * price).quantize(Decimal("0.0001"))),
        "source_key": f"kie:{generation.task_id}",
    }
    return json.dumps([line])
