"""`health`: what Delivery health's numbers cost in the database, and whether ten times the rows are felt.

A throw-away Postgres with sixty days of generations, counted by the job's own code. The queries are those
that the views run, recorded on their way, explained and analysed again; a figure is the median of their time
in the database, planning included. Two sizes are filled first and then measured in turn, so that whatever
else the machine does meets both. The baseline is what one would write first: three queries over all rows.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, event

from core import access, database
from core.deliveries import health, health_rows
from core.deliveries.windows import WINDOWS, Filter
from tests.bench import history
from tests.bench.figures import Figure, line

VIEWER = access.command_line("the measurement")
REPEATS = 20
ROUNDS = 10
PROMISED_MS = 50.0
# Ten times the rows may cost so many times as much, or so much more.
RATIO, SLACK_MS = 1.3, 5.0
FELT = 10
RECENT = "FROM generations WHERE created_at > now() - interval '30 days'"
ENDED = "delivery_state IN ('delivered', 'failed', 'lost')"
TOOK = "extract(epoch FROM delivered_at - created_at)"
NAIVE = (
    f"SELECT delivery_state, count(*) {RECENT} GROUP BY 1",
    f"SELECT avg((delivery_state = 'delivered')::int) {RECENT} AND {ENDED}",
    f"SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY {TOOK}) {RECENT} AND delivered_at IS NOT NULL",
)


@dataclass(frozen=True)
class Statement:
    """One statement as it went to the database."""

    sql: str
    values: Any


@dataclass(frozen=True)
class Cost:
    """Medians in milliseconds, in the database and for the caller; queries that read the whole table."""

    database_ms: float
    caller_ms: float
    whole_table: int


@dataclass(frozen=True)
class Measured:
    """What was asked for, and its cost, at one size."""

    rows: int
    costs: Mapping[str, Cost]
    naive_ms: float


@dataclass
class Samples:
    """The single times of what a `Cost` is made of."""

    database_ms: list[float] = field(default_factory=list)
    caller_ms: list[float] = field(default_factory=list)
    whole_table: int = 0

    def take(self, work: Callable[[], Any], repeats: int) -> None:
        """Do the work so many times more; the first time isn't counted."""
        with recorded() as statements:
            work()
        plans = [explain(statements) for _ in range(repeats)]
        self.database_ms += [sum(map(time_of, plan)) for plan in plans]
        self.whole_table = max(self.whole_table, sum(_reads_whole_table(plan["Plan"]) for plan in plans[0]))
        for _ in range(repeats):
            begun = time.perf_counter()
            work()
            self.caller_ms.append((time.perf_counter() - begun) * 1000)

    def cost(self) -> Cost:
        """Their medians."""
        return Cost(statistics.median(self.database_ms), statistics.median(self.caller_ms), self.whole_table)


def cost(work: Callable[[], Any]) -> Cost:
    """What `work` costs."""
    found = Samples()
    found.take(work, REPEATS)
    return found.cost()


@dataclass
class Sized:
    """A database of one size and what was measured in it."""

    rows: int
    url: str
    now: datetime
    samples: dict[str, Samples] = field(default_factory=dict)

    def take(self, what: str, work: Callable[[], Any]) -> None:
        """Measure it some times more, by a connection that has seen it before."""
        with history.connected(self.url):
            self.samples.setdefault(what, Samples()).take(work, REPEATS // ROUNDS)

    def looks(self) -> dict[str, Callable[[], Any]]:
        """All numbers of the page, by window."""
        return {
            f"all numbers, {name}": partial(health.look, VIEWER, Filter(name), self.now) for name in WINDOWS
        }

    def counted(self) -> dict[str, Callable[[], Any]]:
        """All numbers, and first pages of rows, by filter."""
        failures = health.look(VIEWER, Filter("30d"), self.now).failures
        signature = failures[len(failures) // 2].signature
        filters = {
            "delivered": Filter("30d", state="delivered"),
            "failed": Filter("30d", state="failed"),
            "a rare model": Filter("30d", model=history.RARE_MODEL),
            "a failure's signature": Filter("30d", signature=signature),
            "stuck": Filter("30d", state="stuck"),
        }
        return self.looks() | {
            f"first page of rows, {name}": partial(health_rows.rows, VIEWER, wanted, self.now)
            for name, wanted in filters.items()
        }

    def changed(self) -> dict[str, Callable[[], Any]]:
        """All numbers, with changes that nobody has counted yet."""
        return {
            f"{what}, {history.CHANGED} changed since they were counted": work
            for what, work in self.looks().items()
        }


def measure(*sizes: int) -> list[Measured]:
    """Everything at each size: as it is counted, then with changes that nobody has counted yet."""
    with ExitStack() as kept:
        sized = [Sized(rows, *kept.enter_context(history.counted(rows))) for rows in sizes]
        _in_turn(sized, Sized.counted)
        for one in sized:
            history.change(one.url, one.now)
        _in_turn(sized, Sized.changed)
        return [_measured(one) for one in sized]


def _in_turn(sized: Sequence[Sized], asked_of: Callable[[Sized], Mapping[str, Callable[[], Any]]]) -> None:
    asked = []
    for one in sized:
        with history.connected(one.url):
            asked.append((one, asked_of(one)))
    for what in asked[0][1]:
        for _ in range(ROUNDS):
            for one, works in asked:
                one.take(what, works[what])


def _measured(one: Sized) -> Measured:
    with history.connected(one.url):
        return Measured(one.rows, {what: found.cost() for what, found in one.samples.items()}, _naive())


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """The queries that this process sends within the block."""
    found: list[Statement] = []

    def note(_: Connection, __: Any, statement: str, values: Any, *___: Any) -> None:
        if statement.lstrip("- \n").startswith(("SELECT", "WITH")):
            found.append(Statement(statement, values))

    engine = database.engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def explain(statements: Sequence[Statement]) -> list[Mapping[str, Any]]:
    """The plan of each, as it ran."""
    with database.reading() as connection:
        return [_plan(connection, statement) for statement in statements]


def _plan(connection: Connection, statement: Statement) -> Mapping[str, Any]:
    asked = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.sql}"
    found = connection.exec_driver_sql(asked, statement.values).scalar_one()
    [plan] = json.loads(found) if isinstance(found, str) else found
    return dict(plan)


def time_of(plan: Mapping[str, Any]) -> float:
    """Planning and execution, milliseconds."""
    return float(plan["Planning Time"]) + float(plan["Execution Time"])


def _reads_whole_table(node: Mapping[str, Any]) -> int:
    here = node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "generations"
    return here + sum(_reads_whole_table(child) for child in node.get("Plans", ()))


def _naive() -> float:
    statements = [Statement(sql, ()) for sql in NAIVE]
    return statistics.median(sum(map(time_of, explain(statements))) for _ in range(3))


def figures(found: Measured) -> Iterator[Figure]:
    """What is promised of every size."""
    for what, price in found.costs.items():
        numbers = what.startswith("all numbers")
        yield Figure(
            input=f"{found.rows} generations: {what}; the caller waits {price.caller_ms:.1f} ms",
            figure=price.database_ms,
            unit="ms",
            wanted=f"under {PROMISED_MS:g} ms",
            holds=price.database_ms < PROMISED_MS,
            baseline=found.naive_ms if numbers else None,
            baseline_is="counts by state, success rate and p95 of 30 days from the rows" if numbers else "",
        )
    yield Figure(
        input=f"{found.rows} generations: queries that read the whole table",
        figure=float(sum(price.whole_table for price in found.costs.values())),
        unit="queries",
        wanted="none",
        holds=not any(price.whole_table for price in found.costs.values()),
    )


def compared(smaller: Measured, larger: Measured) -> Iterator[Figure]:
    """Whether the larger size is felt."""
    for what, price in larger.costs.items():
        before = smaller.costs[what].database_ms
        yield Figure(
            input=f"{larger.rows} against {smaller.rows} generations: {what}",
            figure=price.database_ms,
            unit="ms",
            wanted=f"at most {RATIO:g} times as long, or {SLACK_MS:g} ms longer",
            holds=price.database_ms <= max(before * RATIO, before + SLACK_MS),
            baseline=before,
            baseline_is=f"the same at {smaller.rows}",
        )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. From ten million on against a tenth."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench health")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, help="a smaller size, for comparison")
    given = parser.parse_args(argv)
    against = given.against or (given.rows // FELT if given.rows >= FELT * 1_000_000 else None)
    missed = 0

    def put(found: Iterator[Figure]) -> None:
        nonlocal missed
        for figure in found:
            print(line("health", figure), flush=True)
            missed += not figure.holds

    found = measure(*filter(None, (against, given.rows)))
    for one in found:
        put(figures(one))
    if against:
        put(compared(*found))
    return int(missed > 0)
