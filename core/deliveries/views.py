"""What pages and the API show of deliveries: read only, one consistent snapshot a call."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from core import access, database
from core.access import Action, Actor
from core.deliveries import costs, health, policy, with_lora
from core.deliveries.cells import counts_of
from core.deliveries.models import ACTIVE, DeliveryState, EventKind, Generation, StoredFile
from core.deliveries.repository import SQL, find, to_generation
from core.deliveries.windows import Filter
from core.deliveries.with_lora import Quote
from core.errors import Conflict, NotFound
from core.loras import views as loras
from core.loras.models import Lora
from core.providers import catalogue
from core.providers.model_inputs import Model

MAX_PAGE = 100
# So many deliveries of a model make its own median worth more than its table's figure.
OWN_SAMPLES = 20
# For so long a generation from references is offered again with its LoRA.
OFFERED_FOR = timedelta(days=60)


@dataclass(frozen=True)
class TimelineStep:
    """One step that happened: when, what, how long it took, how many bytes, the provider's words."""

    at: datetime
    kind: EventKind
    attempt: int | None
    duration_ms: int | None
    bytes: int | None
    error_category: str | None
    words: str | None
    detail: dict[str, Any]
    request_id: str | None


@dataclass(frozen=True)
class SeenCallback:
    """A callback as it was recorded; its body was masked on the way in."""

    task_id: str | None
    received_at: datetime
    signed: bool
    handled_at: datetime | None
    outcome: str | None
    duplicates: int
    body: dict[str, Any]


@dataclass(frozen=True)
class CostLine:
    """A ledger line of a generation; amounts in USD."""

    kind: str
    quantity: Decimal | None
    unit: str | None
    unit_price: Decimal | None
    amount_usd: Decimal | None
    occurred_at: datetime | None
    price_version: str | None


@dataclass(frozen=True)
class Detail:
    """Everything known of one generation."""

    generation: Generation
    files: tuple[StoredFile, ...]
    timeline: tuple[TimelineStep, ...]
    callbacks: tuple[SeenCallback, ...]
    costs: tuple[CostLine, ...]


@dataclass(frozen=True)
class Page:
    """A keyset page, newest first; `next_before` continues it, None at the end."""

    generations: tuple[Generation, ...]
    next_before: tuple[datetime, UUID] | None


@dataclass(frozen=True)
class Counts:
    """Generations begun since the full hour 24 hours ago by where they stand, as of `as_of`."""

    as_of: datetime
    delivered: int
    failed: int
    lost: int
    needs_attention: int
    in_flight: int
    total: int

    @property
    def success_rate(self) -> float | None:
        """Delivered ÷ (delivered + failed + lost), 0 to 1; None when none has finished."""
        finished = self.delivered + self.failed + self.lost
        return self.delivered / finished if finished else None


def detail(actor: Actor | None, generation_id: UUID) -> Detail:
    """Everything known of one generation; NotFound when there is none."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        generation = find(connection, generation_id)
        if generation is None:
            raise NotFound(f"There is no generation {generation_id}.")
        rows = {
            name: SQL[name].all(connection, generation_id=generation_id)
            for name in ("files", "callbacks", "costs")
        }
        steps = SQL["timeline"].all(connection, generation_id=generation_id, limit=500)
    return Detail(
        generation=generation,
        files=tuple(StoredFile(**_only(StoredFile, row)) for row in rows["files"]),
        timeline=tuple(TimelineStep(**{**row, "kind": EventKind(row["kind"])}) for row in steps),
        callbacks=tuple(SeenCallback(**row) for row in rows["callbacks"]),
        costs=tuple(CostLine(**row) for row in rows["costs"]),
    )


def _only(kind: Any, row: Any) -> dict[str, Any]:
    return {name: row[name] for name in kind.__match_args__}


def recent(
    actor: Actor | None,
    *,
    limit: int = 24,
    kind: str | None = None,
    tests_only: bool = False,
    before: tuple[datetime, UUID] | None = None,
) -> Page:
    """The newest generations; `tests_only` leaves out those of the company's application."""
    access.check(actor, Action.VIEW)
    limit = max(1, min(limit, MAX_PAGE))
    with database.reading() as connection:
        rows = SQL["recent"].all(
            connection,
            kind=kind,
            test_only=tests_only,
            before_at=before[0] if before else None,
            before_id=before[1] if before else None,
            limit=limit + 1,
        )
    generations = tuple(to_generation(row) for row in rows[:limit])
    more = len(rows) > limit
    last = generations[-1] if generations else None
    return Page(generations, (last.created_at, last.id) if more and last else None)


def needs_person(actor: Actor | None, limit: int = 10) -> Sequence[Generation]:
    """Deliveries that no rule can finish and a person must decide about, newest first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [to_generation(row) for row in SQL["needs_person"].all(connection, limit=limit)]


def counts(actor: Actor | None, now: datetime) -> Counts:
    """The last 24 hours, counted; rows that are not followed here (another provider's) are left out."""
    access.check(actor, Action.VIEW)
    found, _ = health.last_day(actor, now)
    if found is None:
        with database.reading() as connection:
            since, until = Filter().span(now)
            rows = SQL["overview"].all(connection, since=since, until=until)
        found = counts_of({row["stand"]: row["n"] for row in rows})
    return Counts(as_of=now, **asdict(found), total=found.total)


def usual_seconds(actor: Actor | None, model: str | None, kind: str) -> float:
    """How long the model usually takes: its own median once enough deliveries say so, else its table's."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        own = SQL["own_p50"].one(connection, model=model)
    if own["samples"] >= OWN_SAMPLES:
        return float(own["p50_s"])
    return float(catalogue.timing(model or "", kind).p50_seconds)


@dataclass(frozen=True)
class FrameTimes:
    """What first frames added to the last generations, in seconds, and how much of it was our own; of so many
    `samples`."""

    samples: int
    p50_s: float | None
    p95_s: float | None
    ours_p50_s: float | None
    ours_p95_s: float | None


def frame_times(actor: Actor | None) -> FrameTimes:
    """How long the last hundred first frames held their generations up."""
    access.check(actor, Action.VIEW)
    with database.statement() as connection:
        return FrameTimes(**SQL["frame_times"].one(connection))


def to_make_with_lora(actor: Actor | None, now: datetime, limit: int = 5) -> Sequence[Generation]:
    """The newest generations of two months that were made from the references of a LoRA that is completed by
    now, and not made with it yet."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [
            to_generation(row)
            for row in SQL["to_make_with_lora"].all(connection, since=now - OFFERED_FOR, limit=limit)
        ]


def price(actor: Actor | None, model: Model, values: Mapping[str, Any]) -> Decimal:
    """What an input without a LoRA of the library is expected to cost, in USD."""
    access.check(actor, Action.VIEW)
    return model.usd(values, costs.prices_for(model))


def quote(actor: Actor | None, model: str, model_input: Mapping[str, Any], lora: Lora) -> Quote:
    """What an input would become with a LoRA, and what its parts cost. Raises InvalidInput or Conflict."""
    actor = access.check(actor, Action.VIEW)
    with database.statement() as connection:
        references = len(with_lora.references_of(connection, lora.id))
    own = loras.owns(actor, lora)
    plan = with_lora.plan(catalogue.require(model), model_input, lora, references, by_creator=own)
    return with_lora.quote(plan, costs.unit_prices(database.now()))


def asked_input(generation: Generation) -> dict[str, Any]:
    """A generation's input as it was asked for: without the first frame that was handed to it."""
    return with_lora.asked_input(generation)


def again_usd(generation: Generation) -> Decimal | None:
    """What the same once more is expected to cost, its first frame included; None when nobody knows."""
    return with_lora.again_usd(generation)


def is_stuck(generation: Generation, now: datetime) -> bool:
    """Whether it is on its way for longer than one of its model and kind may be."""
    return generation.delivery_state in ACTIVE and now - generation.begun_at > policy.stuck_after(generation)


def is_moving(generation: Generation, now: datetime) -> bool:
    """Whether it may change by itself within seconds: it is on its way, or an attempt works on it."""
    leased = generation.lease_until is not None and generation.lease_until > now
    return generation.delivery_state in ACTIVE or leased


def why_not_check(generation: Generation, now: datetime) -> str | None:
    """Why `service.request_sync` would change nothing now, as a sentence; None when it may help."""
    if generation.delivery_state is DeliveryState.DELIVERED:
        return "It is delivered; there is nothing left to check."
    if generation.delivery_state in {DeliveryState.FAILED, None} and generation.task_id is None:
        return "It has no task at its provider, so there is nothing to check. Make it again instead."
    try:
        policy.check_can_sync(generation, now)
    except Conflict as conflict:
        return conflict.message
    return None


def any_generation() -> bool:
    """Whether the product has ever seen a generation."""
    with database.reading() as connection:
        return bool(SQL["any"].one(connection)["found"])
