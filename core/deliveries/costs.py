"""What a generation of ours cost: one ledger line when the provider has finished it."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from core import database, log
from core.budget import rates
from core.budget.models import CENT_PART
from core.budget.rates import Rate
from core.deliveries.models import Generation
from core.errors import NotFound
from core.providers import catalogue, kie_models
from core.providers.contract import TaskRecord
from core.providers.model_inputs import Model

# Where the table of prices has none for KIE's credits.
USUAL_RATE = Rate(kie_models.USD_PER_CREDIT, kie_models.PRICE_VERSION)
_log = log.get(__name__)


def unit_prices(now: datetime) -> Mapping[str, Decimal]:
    """USD a unit, by service, of every model that is paid by the table of prices. Raises NotFound that says
    which price is missing."""
    found = {}
    for model in catalogue.MODELS:
        if model.unit is not None:
            rate = rates.of_unit(model.provider, model.unit.service, now)
            if rate is None:
                raise NotFound(
                    f"There is no price for {model.unit.service} at {model.provider}. Add it to the prices."
                )
            found[model.unit.service] = rate.unit_usd
    return found


def prices_for(*models: Model) -> Mapping[str, Decimal]:
    """`unit_prices` as of now where one of these models needs them; none otherwise."""
    return unit_prices(database.now()) if any(model.unit for model in models) else {}


def own_rate(generation: Generation, record: TaskRecord, now: datetime) -> Rate | None:
    """The rate by the table of prices where only that can tell what it cost: without credits, by a model that
    is paid by a unit, or by none of ours."""
    model = catalogue.find(generation.model or "")
    if record.credits_consumed is not None or (model is not None and model.unit is None):
        return None
    if model is not None and model.unit is not None:
        return rates.of_unit(model.provider, model.unit.service, now)
    return rates.of_model(generation.model or "", now)


def cost_json(
    generation: Generation, record: TaskRecord, rate: Rate = USUAL_RATE, own: Rate | None = None
) -> str:
    """The cost line of a finished task as a list for the statement that writes it, once by its source key,
    which is the provider's task id; an empty list for a generation that another system paid for.

    KIE's own credits count by the day's `rate` where its record names them, else the model table's price; for
    a model that has none there its `own` of the table of prices, else the dearest of its family, flagged.
    """
    if not generation.ours:
        return "[]"
    note = None
    if record.credits_consumed is not None:
        quantity, unit, price, version = record.credits_consumed, "credit", rate.unit_usd, rate.version
    elif own is not None:
        price, version = own.unit_usd, own.version
        quantity, unit = _units(generation)
    else:
        price, version, note = _by_table(generation)
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


def _units(generation: Generation) -> tuple[Decimal, str]:
    """How many units the table of prices counts for it, and what they are called."""
    model = catalogue.find(generation.model or "")
    if model is None or model.unit is None:
        return Decimal(1), "generation"
    return model.unit.count(generation.input), model.unit.name


def _by_table(generation: Generation) -> tuple[Decimal, str, str | None]:
    """Price, its version, and what to say of it."""
    model = generation.model or ""
    found = catalogue.find(model)
    if found is not None and found.unit is None:
        return found.usd(generation.input, {}), found.price_version, None
    if found is None:
        # The table has changed since it was sent; a paid result is not held up by its price.
        _log.error("delivery.no_price", generation_id=str(generation.id), model=generation.model)
    named, provider = model[:80] or "a model without a name", generation.provider.lower()
    price, dearest = catalogue.family_usd(model, generation.kind, provider)
    note = f"No price for {named} at {provider}: that of {dearest}, the highest of its family, is taken."
    return price, kie_models.PRICE_VERSION, note
