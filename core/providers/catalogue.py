"""Every model of generations that we offer, whoever makes it: one table, one way to find a row."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.errors import InvalidInput
from core.providers import fal_models, kie_models, model_inputs
from core.providers.model_inputs import Kind, Model

MODELS: tuple[Model, ...] = (*kie_models.MODELS, *fal_models.MODELS)


@dataclass(frozen=True)
class Timing:
    """When to look at a task first, and from when on it is stuck."""

    p50_seconds: int
    stuck_minutes: int


# Also for models that only the company's own application knows.
TIMING_BY_KIND: dict[Kind, Timing] = {"image": Timing(20, 10), "video": Timing(120, 20)}

_BY_NAME = {name: model for model in MODELS for name in (model.id, *model.aliases)}


def find(model: str) -> Model | None:
    """The model of that id or alias, or None for one that we do not offer."""
    return _BY_NAME.get(model)


def require(model: str) -> Model:
    """The model of that id or alias. Raises InvalidInput that names those that exist."""
    found = find(model)
    if found is None:
        raise InvalidInput(
            "model",
            f"There is no model {model[:80]!r}. Choose one of: {', '.join(entry.id for entry in MODELS)}.",
        )
    return found


def timing(model: str, kind: str | None) -> Timing:
    """The times for a model, by its kind when the model is not ours; an image's when neither is known."""
    found = find(model)
    if found is not None:
        return Timing(found.p50_seconds, found.stuck_minutes)
    return TIMING_BY_KIND["video" if kind == "video" else "image"]


def estimate_usd(model: str, model_input: Mapping[str, Any]) -> Decimal:
    """What one generation of a model with a price of its own is expected to cost, in USD. The input is
    validated on the way."""
    found = require(model)
    return found.usd(model_inputs.validate(found, model_input), {})


def validate(model: str, model_input: Mapping[str, Any]) -> dict[str, Any]:
    """The input as the model of that id or alias is sent it; see `model_inputs.validate`."""
    return model_inputs.validate(require(model), model_input)


def family_usd(model: str, kind: str | None, provider: str) -> tuple[Decimal, str]:
    """The dearest generation of a model's family, and whose it is: for one whose own price is not known.

    A family are the provider's models whose names begin alike, else those of the same kind.
    """
    priced = [one for one in MODELS if one.unit is None]
    there = [one for one in priced if one.provider == provider] or priced
    family = [one for one in there if _stem(one.id) == _stem(model)]
    family = family or [one for one in there if one.kind == kind] or there
    return max((_dearest(one), one.label) for one in family)


def _stem(model: str) -> str:
    return model.split("/")[0].split("-")[0].lower()


def _dearest(model: Model) -> Decimal:
    options = [
        [(field.name, value) for value in (field.choices or (True, False))]
        for field in model.fields
        if field.type in {"choice", "flag"}
    ]
    return max(model.usd(dict(chosen), {}) for chosen in itertools.product(*options))
