"""The rows of a new generation: itself, the first frame that it waits for, and its use of a LoRA."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from core import database
from core.access import Actor
from core.deliveries import costs, frames, with_lora
from core.deliveries import repository as rows
from core.deliveries.models import Generation
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput
from core.loras import service as loras
from core.loras import views as library
from core.loras.models import Lora, Way
from core.providers import catalogue, model_inputs
from core.providers.model_inputs import Model


@dataclass(frozen=True)
class NewGeneration:
    """What somebody wants made; the same `request_key`, the form's nonce, twice makes one generation.

    `lora_id`: made with this LoRA, whichever way the model takes; `frame_size` the first frame's, where the
    input does not tell it.
    """

    model: str
    input: Mapping[str, Any]
    request_key: str
    user_id: UUID | None = None
    lora_id: UUID | None = None
    frame_size: str | None = None


def again(generation: Generation, request_key: str) -> NewGeneration:
    """The same once more, with the LoRA that it was made with."""
    return NewGeneration(
        generation.model or "",
        with_lora.asked_input(generation),
        request_key,
        user_id=generation.user_id,
        lora_id=generation.lora_id,
        frame_size=generation.frame_size,
    )


@dataclass(frozen=True)
class Recipe:
    """What is made of a wish: the model and the input that are sent in the end, what all of it will cost, and
    the LoRA's part in it."""

    model: Model
    input: Mapping[str, Any]
    total_usd: Decimal
    lora: Lora | None = None
    way: Way | None = None
    frame_input: Mapping[str, Any] | None = None
    frame_id: UUID | None = None
    frame_size: str | None = None


def recipe_of(actor: Actor, wanted: NewGeneration) -> Recipe:
    """The wish, checked. Raises InvalidInput, NotFound or Conflict."""
    model = catalogue.require(wanted.model)
    if wanted.lora_id is None:
        checked = model_inputs.validate(model, wanted.input)
        return Recipe(model, checked, model.usd(checked, costs.prices_for(model)))
    lora = library.get(actor, wanted.lora_id)
    with database.statement() as connection:
        references = len(with_lora.references_of(connection, lora.id))
    own = library.owns(actor, lora) or (wanted.user_id is not None and wanted.user_id == lora.user_id)
    plan = with_lora.plan(model, wanted.input, lora, references, wanted.frame_size, by_creator=own)
    return Recipe(
        plan.model,
        plan.input,
        with_lora.quote(
            plan, costs.prices_for(plan.model, catalogue.require(with_lora.FRAME_MODEL))
        ).total_usd,
        lora,
        plan.way,
        plan.frame_input,
        uuid.uuid4() if plan.frame_input is not None else None,
        plan.frame_size,
    )


def check_providers(made: Recipe, tools: Tools) -> None:
    """Raise Conflict when a provider that is needed has no key here."""
    tools.provider_named(made.model.provider)
    if made.frame_input is not None:
        tools.provider_named(catalogue.require(with_lora.FRAME_MODEL).provider)


def insert(
    connection: Connection, wanted: NewGeneration, made: Recipe, *, now: datetime, due: datetime
) -> RowMapping | None:
    """The new row, due at `due`, later when it waits for a frame; None when its request key is known."""
    try:
        return rows.insert(
            connection,
            made.model,
            made.input,
            user_id=wanted.user_id,
            request_key=wanted.request_key,
            next_attempt_at=now + frames.LOOK_AGAIN if made.frame_id else due,
            now=now,
            lora_id=made.lora.id if made.lora else None,
            lora_way=made.way,
            frame_id=made.frame_id,
            frame_size=made.frame_size,
        )
    except IntegrityError as error:
        if isinstance(error.orig, ForeignKeyViolation):
            raise InvalidInput("userId", f"There is no user {wanted.user_id}.") from None
        raise


def begin_with_lora(
    connection: Connection, actor: Actor, generation: Generation, made: Recipe, now: datetime
) -> UUID:
    """Count the use of its LoRA, and write its first frame where it needs one; the id of what is to be sent
    first."""
    if made.lora is None or made.way is None:
        return generation.id
    loras.use(connection, actor, made.lora.id, generation.id, made.way, now, user_id=generation.user_id)
    if made.frame_input is None:
        return generation.id
    assert made.frame_id is not None
    frames.begin(connection, generation, made.frame_id, made.frame_input, by=actor.name, now=now)
    return made.frame_id


def same_request(known: Generation, wanted: NewGeneration, made: Recipe) -> Generation:
    """The generation that a request key made, when it was for the very same thing."""
    before = (known.model, known.user_id, known.lora_id, with_lora.asked_input(known))
    if before != (made.model.id, wanted.user_id, wanted.lora_id, dict(made.input)):
        raise Conflict("This request key has made another generation already. Use a new one.")
    return known
