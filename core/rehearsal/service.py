"""Beginning and clearing a rehearsal; the only writer of its row."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from core import access, audit, database, settings
from core.access import Action, Actor
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput
from core.rehearsal import control, history, pictures, present
from core.rehearsal.models import (
    MARK,
    MOST,
    MOST_DAYS,
    SHORTEST_DAYS,
    SMALLEST,
    Progress,
    Sizes,
    Standing,
    State,
)
from core.rehearsal.repository import MARKED, SQL, alone, sizes, standing

DEFAULT_DAYS, DEFAULT_GENERATIONS, DEFAULT_SEED = 60, 6_000, 7
CLEAR_BATCH = 20_000
# So long a step that a worker has in hand may take before clearing gives up and says so.
STEP_PATIENCE = timedelta(seconds=20)
_CLEARED = ("clear_events", "clear_callbacks", "clear_costs", "clear_files", "clear_generations")


def begin(
    actor: Actor | None,
    tools: Tools,
    *,
    generations: int = DEFAULT_GENERATIONS,
    days: int = DEFAULT_DAYS,
    seed: int = DEFAULT_SEED,
) -> Iterator[Progress]:
    """Fill a history of `days` and begin what is under way now, saying how far it is.

    Steps: 1. the rehearsal's row, so that a second one is refused and a broken-off one can be cleared;
    2. pictures; 3. the history in batches; 4. files for the newest, tasks at the sandbox for what is
    under way; 5. the row says ready. Raises Conflict outside of the local profile or when one stands.
    """
    actor = access.check(actor, Action.REHEARSE)
    sandbox = control.of(settings.current())
    _check_size(generations, days)
    with alone():
        now = tools.clock()
        _record_begin(actor, now, generations=generations, days=days, seed=seed)
        yield Progress("pictures", 0, generations)
        samples = pictures.pool(sandbox, tools)
        yield from history.fill(
            now, seed=seed, days=days, generations=generations, pictures=pictures.urls(samples)
        )
        pictures.give_own(samples, tools, generations)
        pictures.draw_usage(days, now, tools)
        present.plant(tools.clock(), sandbox, tools)
        with database.transaction() as connection:
            SQL["set_state"].run(connection, state=State.READY, now=tools.clock())


def _check_size(generations: int, days: int) -> None:
    if not SMALLEST <= generations <= MOST:
        raise InvalidInput("generations", f"A rehearsal has {SMALLEST:,} to {MOST:,} generations.")
    if not SHORTEST_DAYS <= days <= MOST_DAYS:
        raise InvalidInput("days", f"A rehearsal covers {SHORTEST_DAYS} to {MOST_DAYS} days.")


def _record_begin(actor: Actor, now: datetime, *, generations: int, days: int, seed: int) -> None:
    with database.transaction() as connection:
        begun = SQL["begin"].first(connection, seed=seed, days=days, now=now, begun_by=actor.name)
        if begun is None:
            raise Conflict("A rehearsal stands here already. Clear it before you begin another.")
        audit.record(
            connection,
            actor,
            "rehearsal.begin",
            "rehearsal",
            str(seed),
            after={"generations": generations, "days": days, "seed": seed},
        )


def clear(actor: Actor | None, tools: Tools) -> Iterator[Progress]:
    """Take every row, file and task of the rehearsal away, in batches, saying how far it is.

    Steps: 1. faults off, traffic ended, nothing of it due any more; 2. what workers have in hand is
    waited for; 3. rows in batches, generations last, so that clearing again finds what is left;
    4. files, tasks at the sandbox, counts of storage; 5. the row. Only the audit log still knows of it.
    Raises Conflict when there is none, when somebody else is at it, or while a step does not end.
    """
    actor = access.check(actor, Action.REHEARSE)
    sandbox = control.of(settings.current())
    with alone():
        stands, before = _stop(tools)
        sandbox.put("faults", {})
        sandbox.forget(MARK)
        _wait_for_workers(tools)
        done = 0
        yield Progress("rows", done, before.total)
        for name in _CLEARED:
            while removed := _clear_batch(name):
                done += removed
                yield Progress("rows", done, before.total)
        pictures.remove_all(tools)
        with database.transaction() as connection:
            SQL["clear_customers"].run(connection, **MARKED)
            SQL["clear_jobs"].run(connection, mark=MARK)
            SQL["clear_usage"].run(connection, taken=list(stands.usage_taken_at), since=stands.begun_at)
            SQL["end"].run(connection)
            audit.record(
                connection,
                actor,
                "rehearsal.clear",
                "rehearsal",
                str(stands.seed),
                before={"generations": before.generations, "rows": before.total},
            )


def _stop(tools: Tools) -> tuple[Standing, Sizes]:
    with database.transaction() as connection:
        stands = standing(connection)
        if stands is None:
            raise Conflict("There is no rehearsal here, so there is nothing to clear.")
        SQL["set_state"].run(connection, state=State.CLEARING, now=tools.clock())
        SQL["clear_jobs"].run(connection, mark=MARK)
        SQL["hold_still"].run(connection, **MARKED)
    with database.reading() as connection:
        return stands, sizes(connection)


def _wait_for_workers(tools: Tools) -> None:
    """A file that a worker still stores would be left behind."""
    until = tools.clock() + STEP_PATIENCE
    while True:
        with database.reading() as connection:
            working = SQL["working"].one(connection, now=tools.clock(), **MARKED)["n"]
        if not working:
            return
        if tools.clock() > until:
            raise Conflict(
                f"Workers still have {working} of its deliveries in hand. Nothing new is begun; clear it"
                " again in a minute."
            )
        tools.sleep(0.2)


def _clear_batch(name: str) -> int:
    with database.transaction() as connection:
        return SQL[name].run(connection, limit=CLEAR_BATCH, **MARKED)


def what_stands(actor: Actor | None) -> Standing | None:
    """The rehearsal as it is; None when there is none."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return standing(connection)


def how_much(actor: Actor | None) -> Sizes:
    """What clearing would take away."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return sizes(connection)
