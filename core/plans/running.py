"""A run of a plan by a worker: short, within the providers' limits, and begun anew by another when it dies.

Steps of an item: 1. it is taken by a guarded update, for this run alone; 2. its row is judged again, held by
a short transaction, and leased; 3. the provider is asked and the file fetched, as for any delivery; 4. what
became of it is recorded, only by whoever holds it. A worker that is killed between any two of them leaves an
item whose lease ends, which another run takes up; nothing in it is paid.
"""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from core import database, log
from core.deliveries.tools import Tools
from core.plans import items, policy, service
from core.plans.models import ItemState, Plan, PlanState, Taken
from core.plans.repository import SQL, find
from core.work import limiter
from core.work.limiter import Priority

# A run stays a short job; the next one goes on.
RUN_FOR_S = 8.0
# Items in hand at once: some wait for their place under the limit, some for their file.
THREADS = 12
# So many places are asked for at a time; the limiter grants no more ahead than half a second.
PLACES_AT_ONCE = 5
RENEW_EVERY_S = 2.0
_IDLE_S = 0.1
_log = log.get(__name__)


@dataclass
class _Run:
    """One run: its token, the items in hand, and what went wrong in them."""

    plan: Plan
    token: UUID
    tools: Tools
    pool: ThreadPoolExecutor
    threads: int
    hands: set[Future[None]] = field(default_factory=set)
    done: int = 0
    faults: list[BaseException] = field(default_factory=list)
    renewed: float = 0.0

    def collect(self) -> None:
        """Count what is over; a fault waits for the run's end."""
        for hand in [hand for hand in self.hands if hand.done()]:
            self.hands.discard(hand)
            self.done += 1
            if (fault := hand.exception()) is not None:
                _log.error("plan.item_crashed", plan=str(self.plan.id), exc_info=fault)
                self.faults.append(fault)


def run(plan_id: UUID, tools: Tools, *, run_for_s: float = RUN_FOR_S, threads: int = THREADS) -> int:
    """Work on a plan for some seconds; how many items were brought to an end.

    Nothing while another run works on it, or when it is not running. Raises the first fault that an item met,
    after all others had their turn; the next run goes on all the same.
    """
    now, token = tools.clock(), uuid.uuid4()
    with database.transaction() as connection:
        until = now + policy.PLAN_LEASE
        if SQL["lease_plan"].first(connection, id=plan_id, now=now, lease_until=until, token=token) is None:
            return 0
        plan = find(connection, plan_id)
    with ThreadPoolExecutor(threads, thread_name_prefix="plan") as pool:
        current = _Run(plan, token, tools, pool, threads)
        try:
            _until_over(current, time.monotonic() + run_for_s)
        finally:
            _finish_hands(current)
    _leave(current)
    if current.faults:
        raise current.faults[0]
    return current.done


def _until_over(run: _Run, ends: float) -> None:
    while time.monotonic() < ends and _kept(run):
        run.collect()
        if run.faults:
            return
        begun = _begin_some(run)
        if begun == 0 and not run.hands and not _anything_left(run):
            return
        if begun == 0:
            _pause(run)


def _kept(run: _Run) -> bool:
    """Whether the plan still runs and is this run's; asked before each round, so that a pause or an abort is
    heard at once."""
    now = run.tools.clock()
    with database.statement() as connection:
        kept = SQL["keep_lease"].first(
            connection,
            id=run.plan.id,
            token=run.token,
            lease_until=now + policy.PLAN_LEASE,
            items_until=now + policy.ITEM_LEASE,
        )
    run.renewed = time.monotonic()
    return kept is not None


def _pause(run: _Run) -> None:
    if run.hands:
        wait(run.hands, timeout=_IDLE_S, return_when=FIRST_COMPLETED)
    else:
        run.tools.sleep(_IDLE_S)


def _anything_left(run: _Run) -> bool:
    with database.statement() as connection:
        return bool(SQL["anything_left"].one(connection, id=run.plan.id)["found"])


def _begin_some(run: _Run) -> int:
    """Begin as many items as there are places under the limits and hands free; how many."""
    begun = 0
    with database.statement() as connection:
        waiting = SQL["waiting"].all(connection, id=run.plan.id, now=run.tools.clock(), limit=PLACES_AT_ONCE)
    for row in waiting:
        wanted = min(row["n"], run.threads - len(run.hands))
        places = limiter.reserve(limiter.READS[row["provider"]], wanted, Priority.PLAN)
        if not places:
            continue
        for item, delay_s in zip(_take(run, row["provider"], len(places)), places.delays_s, strict=False):
            run.hands.add(run.pool.submit(_one, run, item, delay_s))
            begun += 1
    return begun


def _take(run: _Run, provider: str, most: int) -> Sequence[Taken]:
    now = run.tools.clock()
    try:
        with database.statement() as connection:
            rows = SQL["take_items"].all(
                connection,
                id=run.plan.id,
                provider=provider,
                now=now,
                token=run.token,
                lease_until=now + policy.ITEM_LEASE,
                limit=most,
            )
    except IntegrityError:
        # Another plan has begun one of them in this very moment; the next round leaves it out.
        return ()
    return [Taken(**row) for row in rows]


def _one(run: _Run, item: Taken, delay_s: float) -> None:
    """Bring one item to its end; a fault of ours is recorded with it and raised."""
    log.new_request_id()
    try:
        _settle(run, item, *items.bring_to_end(run.plan, item, delay_s, run.tools))
    except Exception as error:
        words = log.redact(f"{type(error).__name__}: {error}")[:200]
        said = f"Something went wrong on our side ({words}). The log knows it as {log.request_id()}."
        _settle(run, item, ItemState.FAILED, said)
        raise


def _settle(run: _Run, item: Taken, state: ItemState, sentence: str) -> None:
    with database.statement() as connection:
        SQL["settle"].run(
            connection,
            plan_id=item.plan_id,
            n=item.n,
            token=run.token,
            state=state,
            sentence=log.redact(sentence)[:500],
            now=run.tools.clock(),
        )


def _finish_hands(run: _Run) -> None:
    """Wait for what is in hand; it stays this run's meanwhile, also when the plan was paused or aborted."""
    while run.hands:
        wait(run.hands, timeout=RENEW_EVERY_S, return_when=FIRST_COMPLETED)
        run.collect()
        if run.hands and time.monotonic() - run.renewed > RENEW_EVERY_S:
            _kept(run)


def _leave(run: _Run) -> None:
    """Give the plan back: finished, or for the next run."""
    now = run.tools.clock()
    with database.transaction() as connection:
        SQL["release_plan"].run(connection, id=run.plan.id, token=run.token)
        state = find(connection, run.plan.id).state
        if state is PlanState.ABORTED:
            service.keep_results(connection, run.plan.id, now)
        elif state is PlanState.RUNNING and SQL["anything_left"].one(connection, id=run.plan.id)["found"]:
            if not run.faults:
                service.enqueue(connection, run.plan.id)
        elif state is PlanState.RUNNING:
            _finish(connection, run)


def _finish(connection: Connection, run: _Run) -> None:
    now = run.tools.clock()
    finished = SQL["change"].first(
        connection,
        id=run.plan.id,
        state=PlanState.FINISHED,
        by=run.plan.started_by,
        by_id=run.plan.started_by_id,
        now=now,
        from_states=[PlanState.RUNNING],
    )
    if finished is not None:
        service.keep_results(connection, run.plan.id, now)


def sweep(tools: Tools) -> int:
    """Have plans go on whose job has vanished, and put away what dead workers held; how many plans."""
    now = tools.clock()
    with database.transaction() as connection:
        SQL["put_back"].run(connection, now=now)
        for row in SQL["unfinished"].all(connection):
            dropped = SQL["drop_waiting"].run(
                connection, id=row["id"], now=now, sentence="Its worker was stopped, and the plan aborted."
            )
            if dropped:
                service.keep_results(connection, row["id"], now)
        to_run = SQL["to_run"].all(connection, now=now)
        for row in to_run:
            service.enqueue(connection, row["id"])
    return len(to_run)


def prune(before: datetime, drafts_before: datetime) -> int:
    """Forget plans that have been over for so long, and dry runs that nobody started; how many."""
    with database.statement() as connection:
        return SQL["prune"].run(connection, before=before) + SQL["drop_drafts"].run(
            connection, before=drafts_before
        )
