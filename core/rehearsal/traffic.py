"""Live generations through the sandbox: so many a minute, until a stated time, made by the worker."""

import json
import random
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from core import access, audit, database, settings
from core.access import Action, Actor
from core.deliveries.models import Event, EventKind
from core.deliveries.repository import SQL as DELIVERIES
from core.deliveries.repository import add_event
from core.deliveries.service import enqueue_delivery
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput
from core.providers import catalogue
from core.rehearsal import control, course
from core.rehearsal.models import CUSTOMER, LIVE, MOST_MINUTES, MOST_PER_MINUTE, TASK, numbered_id, random_id
from core.rehearsal.repository import SQL
from core.work import queue

TICK = timedelta(seconds=2)
# After a pause of the worker, no more than this at once: what was missed is not made up for.
MOST_AT_ONCE = 10


def start(actor: Actor | None, tools: Tools, *, per_minute: int, minutes: int) -> datetime:
    """Make `per_minute` generations a minute for so many minutes; when that ends.

    Raises Conflict without a rehearsal that is ready. Started again, it goes by the new figures.
    """
    actor = access.check(actor, Action.REHEARSE)
    control.of(settings.current())
    if not 1 <= per_minute <= MOST_PER_MINUTE:
        raise InvalidInput("per_minute", f"Live traffic is 1 to {MOST_PER_MINUTE} generations a minute.")
    if not 1 <= minutes <= MOST_MINUTES:
        raise InvalidInput("minutes", f"Live traffic runs for 1 to {MOST_MINUTES} minutes.")
    now = tools.clock()
    until = now + timedelta(minutes=minutes)
    _set(actor, now, per_minute, until)
    return until


def stop(actor: Actor | None, tools: Tools) -> None:
    """Make no further ones; what is under way is delivered."""
    actor = access.check(actor, Action.REHEARSE)
    _set(actor, tools.clock(), 0, None)


def _set(actor: Actor, now: datetime, per_minute: int, until: datetime | None) -> None:
    with database.transaction() as connection:
        kept = SQL["set_traffic"].first(connection, per_minute=per_minute, until=until, now=now)
        if kept is None:
            raise Conflict("There is no rehearsal that is ready. Begin one first.")
        after = {"per_minute": per_minute, "until": until}
        audit.record(connection, actor, "rehearsal.traffic", "rehearsal", "traffic", after=after)
        if per_minute:
            queue.enqueue(connection, TASK, queue="housekeeping", once=TASK)


def tick(tools: Tools) -> int:
    """Make what is due, and come again in a moment while there is more to make; how many were made."""
    control.of(settings.current())
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["claim_traffic"].first(connection, now=now, most=MOST_AT_ONCE)
        made = row["made"] if row else 0
        for _ in range(made):
            _make_one(connection, now)
        if SQL["traffic_goes_on"].one(connection, now=now)["goes_on"]:
            queue.enqueue(connection, TASK, queue="housekeeping", once=TASK, at=now + TICK)
    return int(made)


def _make_one(connection: Connection, now: datetime) -> UUID:
    """A row as a customer's request leaves it; from there on it is a delivery like any other."""
    shares, variants = zip(*course.variants(), strict=True)
    variant = random.choices(variants, shares)[0]  # noqa: S311 - a rehearsal is no secret
    prompt = random.choice(course.PROMPTS)  # noqa: S311
    new = random_id(LIVE)
    DELIVERIES["insert"].first(
        connection,
        id=new,
        user_id=numbered_id(CUSTOMER, random.randrange(10)),  # noqa: S311
        provider="kie",
        kind=variant.kind,
        model=variant.model,
        prompt=prompt,
        input=json.dumps(catalogue.validate(variant.model, {"prompt": prompt, **variant.input})),
        request_key=f"rehearsal:{new}",
        next_attempt_at=now,
        now=now,
        lora_id=None,
        lora_way=None,
        frame_id=None,
        frame_for=None,
        frame_size=None,
    )
    add_event(connection, new, now, Event(EventKind.CREATED, detail={"by": "live traffic"}))
    enqueue_delivery(connection, new, queue.NORMAL)
    return new
