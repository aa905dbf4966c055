"""Finds generations by whatever a person has in hand; every way has an index, at any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection

from core import access, database, settings
from core.access import Action, Actor
from core.deliveries import views
from core.deliveries.models import Generation
from core.deliveries.repository import to_generation
from core.deliveries.tools import BUCKET
from core.diagnosis import places
from core.diagnosis.places import Wanted
from core.diagnosis.snapshot import SQL

MOST = 24
NEWEST = 10


class By(StrEnum):
    """By what a generation was found."""

    NEWEST = "newest"
    GENERATION = "generation"
    TASK = "task"
    CUSTOMER = "customer"
    ADDRESS = "address"


@dataclass(frozen=True)
class Found:
    """What was found, newest first, and by what; `sentence` says what was looked for where nothing was.

    `more` says that there are further ones.
    """

    by: By
    generations: tuple[Generation, ...]
    sentence: str | None = None
    more: bool = False

    @property
    def only(self) -> Generation | None:
        """The one that was meant, when it is plain."""
        listed = self.by in {By.NEWEST, By.CUSTOMER}
        return self.generations[0] if len(self.generations) == 1 and not listed else None


def find(actor: Actor | None, pasted: str) -> Found:
    """The generations that a pasted text names; nothing pasted: the newest ten.

    Raises InvalidInput with a sentence for what can be no id and no address.
    """
    actor = access.check(actor, Action.DEBUG_GENERATION)
    wanted = places.read(pasted)
    if wanted is None:
        return Found(By.NEWEST, views.recent(actor, limit=NEWEST).generations)
    with database.reading() as connection:
        if wanted.is_address:
            return _by_address(connection, wanted)
        return _by_id(connection, wanted)


def _by_id(connection: Connection, wanted: Wanted) -> Found:
    rows = SQL["by_ids"].all(connection, ids=list(wanted.ids), task_id=wanted.text, limit=MOST)
    found = tuple(to_generation(row) for row in rows)
    if found:
        own = [generation for generation in found if generation.id in wanted.ids]
        return Found(By.GENERATION, tuple(own)) if own else Found(By.TASK, found)
    if wanted.ids:
        return _of_user(connection, wanted.ids[0])
    return Found(
        By.TASK,
        (),
        f"No task has the id {wanted.text[:80]}. Check that it was copied whole; ids of fal, Replicate and"
        " other services are known here only where a generation of ours carries them. The customer's id"
        " lists their latest tasks.",
    )


def of_user(actor: Actor | None, user_id: UUID) -> Found:
    """A customer's latest generations."""
    access.check(actor, Action.DEBUG_GENERATION)
    with database.reading() as connection:
        return _of_user(connection, user_id)


def _of_user(connection: Connection, user_id: UUID) -> Found:
    rows = SQL["of_user"].all(connection, user_id=user_id, limit=MOST + 1)
    if rows:
        return Found(By.CUSTOMER, tuple(to_generation(row) for row in rows[:MOST]), more=len(rows) > MOST)
    return Found(
        By.CUSTOMER,
        (),
        f"No generation, no task and no customer with a generation has the id {user_id}. Check that it was"
        " copied whole; ids of other services are unknown here.",
    )


def _by_address(connection: Connection, wanted: Wanted) -> Found:
    urls = places.addresses(wanted.text, settings.current().public_base_url)
    rows = SQL["by_address"].all(
        connection,
        urls=list(urls),
        ids=list(wanted.ids),
        bucket=BUCKET,
        paths=list(places.paths_of(wanted.text, BUCKET)),
        limit=MOST,
    )
    found = tuple(to_generation(row) for row in rows)
    # Keys of temporary addresses are numbers, and two addresses may share one.
    sure = tuple(one for one in found if _has(one, urls, wanted))
    if sure or found:
        return Found(By.ADDRESS, sure or found)
    return Found(
        By.ADDRESS,
        (),
        "No generation has a file at this address. Looked for as a customer's file, as a file of our storage"
        " and as KIE's temporary file. Paste the task id or the customer's id instead.",
    )


def _has(generation: Generation, urls: Sequence[str], wanted: Wanted) -> bool:
    known = {generation.asset_url, *generation.result_urls}
    return generation.id in wanted.ids or any(url in known for url in urls)
