"""What a generation of ours cost: one ledger line when the provider has finished it."""

import json
from decimal import Decimal

from core import log
from core.budget.models import CENT_PART
from core.budget.rates import Rate
from core.deliveries.models import Generation
from core.errors import InvalidInput
from core.providers import catalogue, kie_models
from core.providers.contract import TaskRecord

# Where the table of prices has none for KIE's credits.
USUAL_RATE = Rate(kie_models.USD_PER_CREDIT, kie_models.PRICE_VERSION)
_log = log.get(__name__)


def wants_price(generation: Generation, record: TaskRecord) -> bool:
    """Whether only the table of prices can tell what it cost: without credits, and by no model of ours."""
    return record.credits_consumed is None and catalogue.find(generation.model or "") is None


def cost_json(
    generation: Generation, record: TaskRecord, rate: Rate = USUAL_RATE, own: Rate | None = None
) -> str:
    """The cost line of a finished task as a list for the statement that writes it, once by its source key,
    which is the provider's task id; an empty list for a generation that another system paid for.

    KIE's own credits count by the day's `rate` where its record names them, else the model table's price; for
    a model that is not in it its `own` of the table of prices, else the dearest of its family, flagged.
    """
    if not generation.ours:
        return "[]"
    note = None
    if record.credits_consumed is not None:
        quantity, unit, price, version = record.credits_consumed, "credit", rate.unit_usd, rate.version
    else:
        price, version, note = (own.unit_usd, own.version, None) if own else _by_table(generation)
        quantity, unit = Decimal(1), "generation"
    line = {
        "quantity": str(quantity),
        "unit": unit,
        "unit_price": str(price),
        "price_version": version,
        "amount_usd": str((quantity * price).quantize(CENT_PART)),
        "source_key": f"{generation.provider.lower()}:{generation.task_id}",
        "flagged": note is not None,
        "note": note,
    }
    return json.dumps([line])


def _by_table(generation: Generation) -> tuple[Decimal, str, str | None]:
    """Price, its version, and what to say of it."""
    model = generation.model or ""
    try:
        found = catalogue.require(model)
        return found.price(generation.input), found.price_version, None
    except InvalidInput:
        # The table has changed since it was sent; a paid result is not held up by its price.
        _log.exception("delivery.no_price", generation_id=str(generation.id), model=generation.model)
    named, provider = model[:80] or "a model without a name", generation.provider.lower()
    price, dearest = catalogue.family_usd(model, generation.kind, provider)
    note = f"No price for {named} at {provider}: that of {dearest}, the highest of its family, is taken."
    return price, kie_models.PRICE_VERSION, note
