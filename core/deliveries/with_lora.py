"""Making a generation with a LoRA: which way a model takes, what is paid for it, and what is sent in the end.

The hybrid: a model that takes weights gets them; for any other a first frame is made with the LoRA and handed
to the model that starts from a picture; while a LoRA is not completed its reference pictures take its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from core import database
from core.deliveries import costs
from core.deliveries.models import Generation
from core.deliveries.repository import SQL
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput
from core.loras import policy as library
from core.loras.models import WEIGHTS_BUCKET, Lora, Way
from core.providers import catalogue, fal_models, model_inputs
from core.providers.model_inputs import Field, Model

FRAME_MODEL = fal_models.FLUX_LORA
USUAL_SIZE = "landscape_16_9"
# The size of a first frame for the aspect ratio that is wanted of the result.
SIZES = {
    "1:1": "square_hd",
    "4:3": "landscape_4_3",
    "3:2": "landscape_4_3",
    "3:4": "portrait_4_3",
    "2:3": "portrait_4_3",
    "16:9": "landscape_16_9",
    "9:16": "portrait_16_9",
}
# A provider may begin to fetch what it was given hours after it took the request.
LINKS_LAST = timedelta(hours=24)


@dataclass(frozen=True)
class Plan:
    """How a generation is made with a LoRA. `model` and `input` are what is sent in the end, without what is
    added when it is sent; `frame_input` is that of the first frame, None where none is made. `frame_size` is
    that of the frame that is made, or would be: for references it is kept until the LoRA is completed."""

    way: Way
    model: Model
    input: Mapping[str, Any]
    frame_input: Mapping[str, Any] | None = None
    frame_size: str | None = None


@dataclass(frozen=True)
class Quote:
    """What a plan is expected to cost, each part for itself."""

    plan: Plan
    model_usd: Decimal
    frame_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        return self.model_usd + self.frame_usd


def quote(of: Plan, unit_prices: Mapping[str, Decimal]) -> Quote:
    """What a plan costs; `unit_prices` as in `Model.usd`."""
    frame = catalogue.require(FRAME_MODEL)
    frame_usd = frame.usd(of.frame_input, unit_prices) if of.frame_input is not None else Decimal(0)
    return Quote(of, of.model.usd(of.input, unit_prices), frame_usd)


def way_of(model: Model, lora: Lora, *, by_creator: bool = False) -> Way:
    """The way that the model takes with this LoRA, `by_creator` also while it waits to be judged.

    Raises Conflict with the reason when there is none.
    """
    if model.lora is None:
        raise Conflict(f"{model.label} makes no use of a LoRA. Choose another model.")
    if lora.training_status == "failed":
        raise Conflict(f"The training of “{lora.name}” failed, so it cannot be used. Choose another LoRA.")
    library.check_usable(
        lora.name, "completed", hidden=lora.hidden_at is not None, archived=lora.archived_at is not None
    )
    if not library.has_usable_weights(lora.training_status, own=by_creator):
        if model.lora.direct:
            raise Conflict(
                f"“{lora.name}” is still {lora.training_status}, and {model.label} needs its finished"
                " weights. Wait for it, or choose a model that can work from its reference images."
            )
        return Way.REFERENCES
    if not lora.storage_path and not lora.storage_url:
        raise Conflict(f"“{lora.name}” has no stored weights, so it cannot be used.")
    if lora.base_model and "flux" not in lora.base_model.lower():
        raise Conflict(
            f"“{lora.name}” was trained for {lora.base_model[:60]}; only LoRAs of FLUX.1 can be used here."
        )
    return Way.DIRECT if model.lora.direct else Way.FIRST_FRAME


def plan(
    model: Model,
    given: Mapping[str, Any],
    lora: Lora,
    references: int,
    size: str | None = None,
    *,
    by_creator: bool = False,
) -> Plan:
    """What is made of an input with a LoRA; `references` is how many reference pictures it has, `size` the
    first frame's where the aspect ratio does not tell it, `by_creator` whether it is made by the LoRA's.

    Raises InvalidInput that names the field, or Conflict with the reason.
    """
    way = way_of(model, lora, by_creator=by_creator)
    if way is Way.DIRECT:
        return Plan(way, model, model_inputs.validate(model, given))
    assert model.lora is not None
    by = catalogue.require(model.lora.by)
    pictures = by.picture_field
    assert pictures is not None
    own = _own_pictures(by, pictures, given)
    asked = model.picture_field
    checked = model_inputs.validate(model, given, later=asked.name if asked else None)
    kept = {name: value for name, value in checked.items() if by.field(name) is not None}
    if not own:
        kept.pop(pictures.name, None)
    sent = model_inputs.validate(by, kept, later=pictures.name)
    frame_size = size or _size_of(checked)
    if way is Way.REFERENCES:
        if not references:
            raise Conflict(
                f"“{lora.name}” is still {lora.training_status} and has no reference images that could take"
                " its place. Wait for it, or choose no LoRA."
            )
        return Plan(way, by, sent, frame_size=frame_size)
    frame = {"prompt": checked["prompt"], "image_size": frame_size}
    return Plan(way, by, sent, model_inputs.validate(catalogue.require(FRAME_MODEL), frame), frame_size)


def _own_pictures(by: Model, pictures: Field, given: Mapping[str, Any]) -> Sequence[str]:
    """The pictures that the person gives beside the LoRA: none where the model takes a first frame alone."""
    own = given.get(pictures.name) or ()
    if own and (pictures.type == "url" or pictures.maximum == 1):
        raise InvalidInput(
            pictures.name, "The first frame is made with the LoRA. Leave it empty, or choose no LoRA."
        )
    if len(own) >= pictures.maximum > 1:
        raise InvalidInput(
            pictures.name,
            f"{by.label} takes {pictures.maximum} pictures, and one of them is made with the LoRA.",
        )
    return own if isinstance(own, list | tuple) else ()


def _size_of(values: Mapping[str, Any]) -> str:
    return SIZES.get(str(values.get("aspect_ratio")), USUAL_SIZE)


def with_pictures(model: Model, values: Mapping[str, Any], urls: Sequence[str]) -> dict[str, Any]:
    """The part of an input that takes pictures, with these before the person's own."""
    field = model.picture_field
    assert field is not None
    if field.type == "url":
        return {field.name: urls[0]}
    return {field.name: [*urls, *(values.get(field.name) or ())][: field.maximum]}


def asked_input(generation: Generation) -> dict[str, Any]:
    """A generation's input as it was asked for: without the first frame that was handed to it."""
    model = catalogue.find(generation.model or "")
    field = model.picture_field if model else None
    asked = dict(generation.input)
    if field is None or generation.frame_ready_at is None:
        return asked
    given = asked.pop(field.name, None)
    if isinstance(given, list) and len(given) > 1:
        asked[field.name] = given[1:]
    return asked


def again_usd(generation: Generation) -> Decimal | None:
    """What the same once more is expected to cost, its first frame included; None when nobody knows."""
    model = catalogue.find(generation.model or "")
    if model is None or not generation.input:
        return None
    framed = generation.frame_id is not None
    unit_prices = costs.unit_prices(database.now()) if framed or model.unit else {}
    size = {"image_size": generation.frame_size or USUAL_SIZE}
    frame = catalogue.require(FRAME_MODEL).usd(size, unit_prices) if framed else Decimal(0)
    return model.usd(generation.input, unit_prices) + frame


def references_of(connection: Connection, lora_id: Any) -> list[str]:
    """The reference pictures of a LoRA: `bucket/path` of ours, or addresses."""
    row = SQL["lora_references"].first(connection, id=lora_id)
    if row is None:
        return []
    return [*row["ours"], *(url for url in row["named"] if isinstance(url, str) and "://" in url)]


def outgoing(generation: Generation, tools: Tools) -> Mapping[str, Any]:
    """The input as it is sent now: with links to what lies in our storage, which are good for a day.

    Raises StorageError or NotFound when storage gives none.
    """
    if generation.lora_id is None or generation.lora_way is None:
        return generation.input
    if generation.lora_way is Way.DIRECT:
        return {**generation.input, "loras": [{"path": _weights(generation, tools), "scale": 1.0}]}
    if generation.lora_way is Way.FIRST_FRAME:
        return generation.input
    with database.statement() as connection:
        found = references_of(connection, generation.lora_id)
    urls = [_address(one, tools) for one in found[: model_inputs.MAX_PICTURES]]
    model = catalogue.require(generation.model or "")
    return {**generation.input, **with_pictures(model, generation.input, urls)}


def _weights(generation: Generation, tools: Tools) -> str:
    with database.statement() as connection:
        row = SQL["lora_weights"].one(connection, id=generation.lora_id)
    if not row["storage_path"]:
        return str(row["storage_url"])
    return tools.absolute(tools.storage.signed_url(WEIGHTS_BUCKET, row["storage_path"], LINKS_LAST))


def _address(reference: str, tools: Tools) -> str:
    if "://" in reference:
        return reference
    bucket, _, path = reference.partition("/")
    return tools.absolute(tools.storage.signed_url(bucket, path, LINKS_LAST))
