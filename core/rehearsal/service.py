"""Beginning and clearing a rehearsal; the only writer of its row."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from core import access, audit, database, settings
from core.access import Action, Actor
from core.alerts.models import Kind
from core.budget import fold, rates
from core.deliveries.rollups import KEPT
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput
from core.loras import popularity
from core.rehearsal import control, history, pictures, present, traffic, training_files, trainings
from core.rehearsal.control import Control
from core.rehearsal.models import (
    MARK,
    MOST,
    MOST_DAYS,
    SHORTEST_DAYS,
    SMALLEST,
    TASK,
    Progress,
    Sizes,
    Standing,
    State,
)
from core.rehearsal.repository import MARKED, SQL, alone, sizes, standing
from core.work import queue

DEFAULT_DAYS, DEFAULT_GENERATIONS, DEFAULT_SEED = 60, 6_000, 7
CLEAR_BATCH = 20_000
# So long a step that a worker has in hand may take before clearing gives up and says so.
STEP_PATIENCE = timedelta(seconds=20)
_CLEARED = (
    "clear_events",
    "clear_callbacks",
    "clear_costs",
    "clear_training_costs",
    "clear_files",
    "clear_images",
    "clear_zips",
    "clear_drawings",
    "clear_trainings",
    "clear_generations",
)
# Alerts that a rehearsal's rows raise and do not name.
_RAISED = (
    Kind.SUCCESS_RATE,
    Kind.VIDEO_SUCCESS,
    Kind.BUDGET_HALF,
    Kind.BUDGET_ALERT,
    Kind.BUDGET_FULL,
    Kind.BUDGET_FORECAST,
    Kind.FAILURE_COST,
    Kind.LOW_CREDITS,
)


def begin(
    actor: Actor | None,
    tools: Tools,
    *,
    generations: int = DEFAULT_GENERATIONS,
    days: int = DEFAULT_DAYS,
    seed: int = DEFAULT_SEED,
) -> Iterator[Progress]:
    """Fill a history of `days` and begin what is under way now, saying how far it is.

    Raises Conflict outside of the local profile or when a rehearsal stands, InvalidInput, NotAllowed.
    """
    _record_begin(actor, tools, generations=generations, days=days, seed=seed, later=False)
    yield from _fill(tools)


def begin_later(
    actor: Actor | None,
    tools: Tools,
    *,
    generations: int = DEFAULT_GENERATIONS,
    days: int = DEFAULT_DAYS,
    seed: int = DEFAULT_SEED,
) -> None:
    """Have a worker fill it; `what_stands` says how far it is. Raises as `begin` does."""
    _record_begin(actor, tools, generations=generations, days=days, seed=seed, later=True)


def _record_begin(
    actor: Actor | None, tools: Tools, *, generations: int, days: int, seed: int, later: bool
) -> None:
    actor = access.check(actor, Action.REHEARSE)
    control.of(settings.current())
    if not SMALLEST <= generations <= MOST:
        raise InvalidInput("generations", f"A rehearsal has {SMALLEST:,} to {MOST:,} generations.")
    if not SHORTEST_DAYS <= days <= MOST_DAYS:
        raise InvalidInput("days", f"A rehearsal covers {SHORTEST_DAYS} to {MOST_DAYS} days.")
    wanted = {"generations": generations, "days": days, "seed": seed}
    with database.transaction() as connection:
        begun = SQL["begin"].first(connection, now=tools.clock(), begun_by=actor.name, **wanted)
        if begun is None:
            raise Conflict("A rehearsal stands here already. Clear it before you begin another.")
        audit.record(connection, actor, "rehearsal.begin", "rehearsal", str(seed), after=wanted)
        if later:
            queue.enqueue(connection, TASK, queue="housekeeping", once=TASK)


def _fill(tools: Tools) -> Iterator[Progress]:
    """Fill the rehearsal whose row stands, from its beginning, whatever an earlier try has left.

    Steps: 1. pictures; 2. the history in batches; 3. files for the newest, tasks at the sandbox for
    what is under way; 4. the row says ready.
    """
    sandbox = control.of(settings.current())
    with alone():
        with database.reading() as connection:
            stands = standing(connection)
        if stands is None:
            return
        for _ in _remove(tools, sandbox, 0):
            pass
        now = stands.begun_at
        yield Progress("pictures", 0, stands.generations)
        samples = pictures.pool(sandbox, tools)
        yield from history.fill(
            now,
            seed=stands.seed,
            days=stands.days,
            generations=stands.generations,
            pictures=pictures.urls(samples),
        )
        trainings.fill(
            now,
            seed=stands.seed,
            days=stands.days,
            generations=stands.generations,
            samples=samples,
            tools=tools,
        )
        pictures.give_own(samples, tools, stands.generations)
        _fill_moments(now, stands.days)
        pictures.draw_usage(stands.days, now, tools)
        present.plant(tools.clock(), sandbox, tools)
        _set_state(State.READY, tools)


def clear(actor: Actor | None, tools: Tools) -> Iterator[Progress]:
    """Take every row, file and task of the rehearsal away, in batches, saying how far it is.

    Raises Conflict when there is none, when somebody else is at it, or while a worker's step does not end.
    """
    with alone():
        _record_clear(actor, tools, later=False)
        yield from _clear(tools)


def clear_later(actor: Actor | None, tools: Tools) -> None:
    """Have a worker clear it; `what_stands` says how far it is. Raises Conflict when there is none."""
    _record_clear(actor, tools, later=True)


def _record_clear(actor: Actor | None, tools: Tools, *, later: bool) -> None:
    actor = access.check(actor, Action.REHEARSE)
    control.of(settings.current())
    with database.transaction() as connection:
        stands = standing(connection)
        if stands is None:
            raise Conflict("There is no rehearsal here, so there is nothing to clear.")
        before = sizes(connection)
        SQL["set_state"].run(connection, state=State.CLEARING, now=tools.clock(), total=before.total)
        audit.record(
            connection,
            actor,
            "rehearsal.clear",
            "rehearsal",
            str(stands.seed),
            before={"generations": before.generations, "rows": before.total},
        )
        if later:
            queue.enqueue(connection, TASK, queue="housekeeping", once=TASK)


def _clear(tools: Tools) -> Iterator[Progress]:
    """Clear the rehearsal whose row says so; only the audit log still knows of it.

    Steps: 1. faults off, nothing of it due any more; 2. what workers have in hand is waited for;
    3. rows in batches, generations last, so that clearing again finds what is left; 4. files, tasks at
    the sandbox, plans that nothing is left of, counts of storage; 5. the row.
    """
    sandbox = control.of(settings.current())
    with database.reading() as connection:
        stands = standing(connection)
    if stands is None:
        return
    sandbox.put("faults", {})
    sandbox.put("settings", {"status_style": "body"})
    yield from _remove(tools, sandbox, stands.total)
    while fold.run(tools.clock()):
        pass
    with database.transaction() as connection:
        SQL["clear_sums"].run(connection)
        SQL["clear_usage"].run(connection, taken=list(stands.usage_taken_at), since=stands.begun_at)
        SQL["clear_moments"].run(connection, mark=MARK, since=stands.begun_at)
        SQL["clear_alerts"].run(connection, mark=MARK, kinds=list(_RAISED), since=stands.begun_at)
        SQL["clear_failure_groups"].run(connection, since=stands.begun_at)
        SQL["clear_rates"].run(connection, since=stands.begun_at)
        SQL["end"].run(connection)
        counted = SQL["library_counted"].one(connection)["counted"]
    rates.forget()
    if counted:
        popularity.count(tools.clock())


def _fill_moments(now: datetime, days: int) -> None:
    """What was on its way at the full hours of the history, up to the one that has begun."""
    since = max(now - timedelta(days=days), now - KEPT)
    with database.transaction() as connection:
        SQL["fill_moments"].run(connection, mark=MARK, since=since, until=now, **MARKED)


def _remove(tools: Tools, sandbox: Control, total: int) -> Iterator[Progress]:
    """Take away what there is of it but its own row."""
    with database.transaction() as connection:
        SQL["clear_jobs"].run(connection, mark=MARK)
        SQL["hold_plans_still"].run(connection, **MARKED)
        SQL["hold_still"].run(connection, **MARKED)
        SQL["hold_trainings_still"].run(connection, never=trainings.NEVER, **MARKED)
    sandbox.forget(MARK)
    _wait_for_workers(tools)
    done = 0
    yield Progress("rows", done, total)
    for name in _CLEARED:
        while removed := _clear_batch(name):
            done += removed
            yield Progress("rows", done, total)
    pictures.remove_all(tools)
    training_files.remove_all(tools)
    sandbox.forget(MARK)
    with database.transaction() as connection:
        SQL["clear_plan_items"].run(connection, **MARKED)
        SQL["clear_plans"].run(connection)
        SQL["recount_plans"].run(connection)
        SQL["clear_loras"].one(connection)
        SQL["clear_limits"].run(connection, **MARKED)
        SQL["clear_customers"].run(connection, **MARKED)
        SQL["clear_jobs"].run(connection, mark=MARK)


def bring_on(tools: Tools) -> int:
    """A worker's step for the rehearsal: fill it, clear it, or make the live traffic that is due."""
    with database.reading() as connection:
        stands = standing(connection)
    if stands is None:
        return 0
    if stands.state is State.READY:
        return traffic.tick(tools)
    if stands.state is State.FILLING:
        return _note_each(_fill(tools))
    with alone():
        return _note_each(_clear(tools))


def _note_each(steps: Iterator[Progress]) -> int:
    done = 0
    for step in steps:
        done = step.done
        with database.statement() as connection:
            SQL["note_progress"].run(connection, done=step.done, total=step.total)
    return done


def _set_state(state: State, tools: Tools) -> None:
    with database.transaction() as connection:
        SQL["set_state"].run(connection, state=state, now=tools.clock(), total=0)


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
