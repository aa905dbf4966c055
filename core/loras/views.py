"""What pages and the API show of the library: read only, and of private and hidden LoRAs only what each
viewer may see."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from core import access, database
from core.access import Action, Actor
from core.budget import prices
from core.errors import InvalidInput, NotFound
from core.loras import accounts, policy, repository
from core.loras.models import (
    Found,
    Lora,
    OffsetTooLarge,
    Page,
    Place,
    Quality,
    Reported,
    Search,
    Standing,
    Use,
    Version,
)
from core.loras.repository import SQL, find, sight_values, statuses
from core.loras.repository import counted_in as find_counted
from core.loras.repository import wrong_weights as find_wrong

MAX_PAGE = 100
DAYS = 90


def search(
    actor: Actor | None, wanted: Search, *, limit: int = 50, after: Place | None = None, offset: int = 0
) -> Page:
    """A page of the library: by `after`, a place in the same list, to any depth, or by `offset` up to 10,000.

    Raises InvalidInput that names the field, OffsetTooLarge.
    """
    with _searched(actor, wanted, limit, after, offset) as (connection, found):
        shown = repository.cards(connection, found.ids)
    return Page(shown, found.total, found.total_is_exact, found.next)


def told(
    actor: Actor | None, wanted: Search, *, limit: int = 50, after: Place | None = None, offset: int = 0
) -> tuple[str, Found]:
    """`search` as the API tells it: its LoRAs as a JSON array, and what was found."""
    with _searched(actor, wanted, limit, after, offset) as (connection, found):
        return repository.told(connection, found.ids), found


@contextmanager
def _searched(
    actor: Actor | None, wanted: Search, limit: int, after: Place | None, offset: int
) -> Iterator[tuple[Connection, Found]]:
    actor = access.check(actor, Action.BROWSE_LORAS)
    wanted = policy.check_search(wanted)
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput("limit", f"limit is 1 to {MAX_PAGE}, not {limit}.")
    if offset < 0:
        raise InvalidInput("offset", "offset is 0 or more.")
    if offset > policy.MAX_OFFSET:
        raise OffsetTooLarge(
            f"offset is at most {policy.MAX_OFFSET:,}. Go on with next_cursor of the page before, as cursor."
        )
    with database.statement() as connection:
        sight = accounts.sight_of(connection, actor)
        yield connection, repository.search(connection, sight, wanted, limit, after, offset)


def wrong_weights(actor: Actor | None) -> int:
    """How many LoRAs have weights that are missing or not what they were, also those that the actor may not
    see: as many as the alert counts."""
    access.check(actor, Action.BROWSE_LORAS)
    with database.statement() as connection:
        return len(find_wrong(connection))


def counted_in(actor: Actor | None, month: date) -> int:
    """How many LoRAs count in the quotas of the month with this first day, also those that the actor may not
    see."""
    access.check(actor, Action.BROWSE_LORAS)
    with database.statement() as connection:
        return len(find_counted(connection, month))


def get(actor: Actor | None, lora_id: UUID) -> Lora:
    """One LoRA. NotFound also for one that the actor may not see."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    with database.reading() as connection:
        found = find(connection, lora_id, accounts.sight_of(connection, actor))
    if found is None:
        raise NotFound(f"There is no LoRA {lora_id}.")
    return found


def status(actor: Actor | None, lora_id: UUID) -> Standing:
    """How far a LoRA is. NotFound also for one that the actor may not see."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    with database.statement() as connection:
        found = statuses(connection, [lora_id]).get(lora_id)
        sight = accounts.sight_of(connection, actor)
    if found is None or not found.is_seen_by(sight):
        raise NotFound(f"There is no LoRA {lora_id}.")
    return found


def standings(ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """How far these LoRAs are, whoever may know it: for telling those that `may_see` allows."""
    with database.statement() as connection:
        return statuses(connection, ids)


def may_see(customer: Actor, standing: Standing) -> bool:
    """Whether the customer may know of the LoRA at all."""
    return standing.is_seen_by(policy.sight_of(customer))


def owns(actor: Actor, lora: Lora) -> bool:
    """Whether the LoRA is the actor's own."""
    with database.statement() as connection:
        return accounts.sight_of(connection, actor).owns(lora.user_id, lora.creator_key)


def is_ready(actor: Actor, lora: Lora) -> bool:
    """Whether the actor can have its weights used: it is completed, or their own and waits to be judged."""
    if lora.training_status != "validating":
        return lora.training_status == "completed"
    return policy.has_usable_weights(lora.training_status, own=owns(actor, lora))


def own_rating(actor: Actor | None, lora_id: UUID) -> int | None:
    """The actor's own stars; None while they have given none."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    with database.statement() as connection:
        row = SQL["own_rating"].first(connection, id=lora_id, by=policy.sight_of(actor).viewer_key)
    return row["stars"] if row else None


def open_reports(actor: Actor | None, lora_id: UUID) -> tuple[int, bool]:
    """How many reports of a LoRA wait for a decision, and whether one is the actor's own."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    with database.statement() as connection:
        row = SQL["waiting_reports"].one(connection, id=lora_id, by=policy.sight_of(actor).viewer_key)
    return row["n"], row["own"] > 0


def queue(actor: Actor | None, limit: int = 50) -> tuple[Reported, ...]:
    """LoRAs whose reports wait for a decision, the oldest first."""
    access.check(actor, Action.MODERATE_LORA)
    with database.reading() as connection:
        return tuple(Reported(**row) for row in SQL["queue"].all(connection, limit=limit))


def reported(actor: Actor | None, lora_id: UUID) -> Reported | None:
    """The reports of one LoRA that wait for a decision; None when none does."""
    access.check(actor, Action.MODERATE_LORA)
    with database.reading() as connection:
        row = SQL["reports_of"].first(connection, id=lora_id)
    return Reported(**row) if row else None


def versions(actor: Actor | None, character_id: UUID) -> tuple[Version, ...]:
    """The LoRAs of one character that the actor may see, the first one first."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    with database.reading() as connection:
        rows = SQL["versions"].all(
            connection, character_id=character_id, **sight_values(accounts.sight_of(connection, actor))
        )
    return tuple(Version(**row) for row in rows)


def quality(actor: Actor | None, lora_id: UUID, now: datetime, newest: int = 8) -> Quality:
    """A LoRA's uses: by the day, the newest ones, and how they ended. NotFound where it may not be seen."""
    get(actor, lora_id)
    with database.reading() as connection:
        days = SQL["uses_by_day"].all(connection, id=lora_id, since=now.date() - policy.DAY * (DAYS - 1))
        uses = SQL["newest_uses"].all(connection, id=lora_id, limit=newest)
        ended = SQL["success_of_uses"].one(connection, id=lora_id, newest=policy.SUCCESS_OF)
    return Quality(
        tuple((row["day"], row["uses"]) for row in days),
        tuple(Use(**row) for row in uses),
        ended["succeeded"],
        ended["failed"],
    )


def of_generation(actor: Actor | None, generation_id: UUID) -> Sequence[tuple[UUID, str]]:
    """The LoRAs that a generation was made with, by id and name."""
    access.check(actor, Action.VIEW)
    with database.statement() as connection:
        rows = SQL["of_generation"].all(connection, generation_id=generation_id)
    return [(row["id"], f"{row['name']} (by {row['creator_name'] or 'unknown'})") for row in rows]


def base_models(actor: Actor | None) -> tuple[str, ...]:
    """The base models that LoRAs of the library are for."""
    access.check(actor, Action.BROWSE_LORAS)
    with database.statement() as connection:
        return tuple(row["base_model"] for row in SQL["base_models"].all(connection))


def gigabyte_price(actor: Actor | None, now: datetime) -> Decimal:
    """What a gigabyte of the library costs a month, in USD, by the table of prices."""
    access.check(actor, Action.VIEW)
    with database.statement() as connection:
        return prices.current(connection, "storage", "library", now).unit_usd
