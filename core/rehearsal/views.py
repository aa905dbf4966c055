"""What the page shows of a rehearsal: what must never be, and where the live traffic stands."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from core import access, database, settings
from core.access import Action, Actor
from core.deliveries.models import ACTIVE, DeliveryState
from core.rehearsal import control
from core.rehearsal.models import LIVE, MARK, PRESENT, Standing
from core.rehearsal.repository import SQL

# A step that is due for longer than that was forgotten; the sweep comes every 5 seconds.
OVERDUE = timedelta(minutes=2)


@dataclass(frozen=True)
class Invariant:
    """Something that must never be: how often it is, among how many; `examples` are the first of them."""

    name: str
    sentence: str
    definition: str
    broken: int
    checked: int
    examples: tuple[UUID, ...]


INVARIANTS_SQL = SQL["invariants"].sql
_TEXTS: dict[str, tuple[str, str]] = {
    "no_file": (
        "success without a file",
        (
            "Generations that are delivered, or whose status is success, and that have no permanent address"
            " or no stored file."
        ),
    ),
    "paid_twice": (
        "paid twice",
        (
            "Generations for which the sandbox has accepted more than one task, by its own books, or for"
            " which the ledger has more than one line of costs."
        ),
    ),
    "delivered_twice": ("delivered twice", "Generations with more than one “delivered” on their timelines."),
    "forgotten": (
        "forgotten",
        (
            "Generations under way that nobody works on and whose next step is missing or was due more than"
            " two minutes ago, and tasks that were paid for and have no generation here."
        ),
    ),
}


@dataclass(frozen=True)
class Live:
    """How many live generations were made, and where they stand."""

    made: int
    delivered: int
    under_way: int
    ended_otherwise: int


def invariants(actor: Actor | None, stands: Standing, now: datetime) -> Sequence[Invariant]:
    """What must never be, measured now over everything since the rehearsal began."""
    access.check(actor, Action.VIEW)
    books = control.of(settings.current()).get("stats")
    paid = [one for name in books["paid_by_generation"] if (one := _as_id(name)) is not None]
    marked = [one for one in paid if str(one).startswith(MARK)]
    twice = [one for name in books["paid_more_than_once"] if (one := _as_id(name)) is not None]
    with database.reading() as connection:
        rows = SQL["invariants"].all(
            connection,
            first_live=f"{MARK}{PRESENT}00-0000-000000000000",
            last_live=f"{MARK}{LIVE}ff-ffff-ffffffffffff",
            since=stands.begun_at,
            now=now,
            overdue=now - OVERDUE,
            paid=marked,
        )
    found = [
        Invariant(row["name"], *_TEXTS[row["name"]], row["broken"], row["checked"], tuple(row["examples"]))
        for row in rows
    ]
    return [_with_books(one, twice, len(paid)) if one.name == "paid_twice" else one for one in found]


def _with_books(one: Invariant, twice: Sequence[UUID], paid: int) -> Invariant:
    """The sandbox's books say what the ledger cannot know."""
    examples = tuple(dict.fromkeys([*twice, *one.examples]))
    return replace(
        one, broken=max(one.broken, len(twice)), checked=max(one.checked, paid), examples=examples[:5]
    )


def _as_id(text: str) -> UUID | None:
    with contextlib.suppress(ValueError):
        return UUID(text)
    return None


def live(actor: Actor | None) -> Live:
    """Where the live generations stand."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["live"].all(
            connection,
            first_live=f"{MARK}{LIVE}00-0000-000000000000",
            last_live=f"{MARK}{LIVE}ff-ffff-ffffffffffff",
        )
    by_state = {row["delivery_state"]: row["n"] for row in rows}
    under_way = sum(by_state.get(state, 0) for state in ACTIVE)
    delivered = by_state.get(DeliveryState.DELIVERED, 0)
    made = sum(by_state.values())
    return Live(made, delivered, under_way, made - delivered - under_way)
