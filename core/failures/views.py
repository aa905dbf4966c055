"""What pages show of failure groups: read only, never from the generations themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core import access, database
from core.access import Action, Actor
from core.deliveries.rollups import KEPT
from core.deliveries.windows import day_of
from core.failures import policy
from core.failures.models import FailureGroup, GroupState
from core.failures.repository import SQL, find, to_group

PAGE = 25
# A group's place in the list: whether it is new, its numbers, and its signature.
Place = tuple[bool, int, int, str]


@dataclass(frozen=True)
class Page:
    """Groups, new ones first, then those that fail most; `next_before` continues it, None at the end."""

    groups: tuple[FailureGroup, ...]
    next_before: Place | None


def group(actor: Actor | None, signature: str) -> FailureGroup:
    """One group. Raises NotFound."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return find(connection, signature)


def groups(
    actor: Actor | None,
    now: datetime,
    states: Sequence[GroupState],
    *,
    model: str | None = None,
    before: Place | None = None,
    limit: int = PAGE,
) -> Page:
    """A page of the groups at one of these states."""
    access.check(actor, Action.VIEW)
    new, day, n, signature = before or (None, None, None, None)
    with database.reading() as connection:
        rows = SQL["list"].all(
            connection,
            states=list(states),
            model=model,
            new_since=now - policy.NEW_FOR,
            before_new=new,
            before_day=day,
            before_n=n,
            before_signature=signature,
            limit=max(1, min(limit, 100)) + 1,
        )
    page = tuple(to_group(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(page, None)
    last = page[-1]
    return Page(page, (policy.is_new(last, now), last.n_day, last.n, last.signature))


def counts(actor: Actor | None) -> Mapping[GroupState, int]:
    """How many groups stand where."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return {GroupState(row["state"]): row["n"] for row in SQL["counts"].all(connection)}


@dataclass(frozen=True)
class Counting:
    """When failures were last sorted into their groups, None: not yet; `more`: some have come since."""

    at: datetime | None
    more: bool


def counting(actor: Actor | None, now: datetime) -> Counting:
    """Of when the groups' numbers are, and whether there are failures that stand in none of them yet."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        row = SQL["counting"].one(connection, since=day_of(now) - KEPT)
    return Counting(row["at"], row["more"])


def models(actor: Actor | None) -> Sequence[str]:
    """The models that groups are of."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [row["model"] for row in SQL["models"].all(connection)]
