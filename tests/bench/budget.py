"""`budget`: what position and page cost in the database, and whether ten times the lines are felt.

A throw-away Postgres with sixty days of ledger lines, counted by the job. The queries are those that
the views run, explained and analysed again; a figure is the median of their time in the database, planning
included. The baseline is what one would write first: sums over the month's lines.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from core import access, database
from core.budget import ledger as lines
from core.budget import views
from core.budget.ledger import Filter
from core.budget.models import DELIVERIES, EVERYTHING, TRAININGS
from core.budget.policy import month_of
from core.trainings import spending
from tests.bench import ledger
from tests.bench.figures import Figure, line
from tests.bench.health import FELT, RATIO, SLACK_MS, Cost, Statement, cost, explain, time_of

VIEWER = access.command_line("the measurement")
POSITION_MS, PAGE_MS = 5.0, 50.0
NAIVE = (
    (
        "SELECT kind, sum(amount_usd) FROM job_costs"
        " WHERE scope = 'deliveries' AND month = date_trunc('month', now())::date GROUP BY 1"
    ),
)


@dataclass(frozen=True)
class Measured:
    """What was asked for, and its cost, at one size."""

    rows: int
    costs: Mapping[str, Cost]
    naive_ms: float


def measure(rows: int) -> Measured:
    """Everything at one size."""
    with ledger.counted(rows):
        now = database.now()
        month = month_of(now)
        asked: dict[str, Callable[[], Any]] = {
            f"position, {scope}": partial(views.position, VIEWER, now, scope)
            for scope in (TRAININGS, DELIVERIES, EVERYTHING)
        }
        asked |= {
            f"the page's numbers, {scope}": partial(views.board, VIEWER, now, scope)
            for scope in (TRAININGS, DELIVERIES, EVERYTHING)
        }
        asked["cost per completed LoRA"] = partial(spending.worth, VIEWER, month)
        filters = {
            "trainings": Filter(month),
            "everything": Filter(month, EVERYTHING),
            "corrections": Filter(month, EVERYTHING, kind="correct"),
            "a rare provider": Filter(month, EVERYTHING, provider="runpod"),
            "a rare provider of generations": Filter(month, DELIVERIES, provider="fal"),
            "flagged": Filter(month, DELIVERIES, flagged=True),
            "a rare model": Filter(month, EVERYTHING, model=ledger.RARE_MODEL),
            "a person": Filter(month, EVERYTHING, user=UUID(ledger.PERSON)),
            "a stage": Filter(month, EVERYTHING, stage="validation"),
            "failures": Filter(month, runs=lines.FAILURES),
        }
        asked |= {f"first page of lines, {name}": partial(_page, wanted) for name, wanted in filters.items()}
        naive = statistics.median(
            sum(map(time_of, explain([Statement(sql, ()) for sql in NAIVE]))) for _ in range(3)
        )
        return Measured(rows, {what: cost(work) for what, work in asked.items()}, naive)


def _page(wanted: Filter) -> None:
    lines.lines(VIEWER, wanted)
    lines.counted(VIEWER, wanted)


def figures(found: Measured) -> Iterator[Figure]:
    """What is promised of every size."""
    for what, price in found.costs.items():
        promised = POSITION_MS if what.startswith("position") else PAGE_MS
        yield Figure(
            input=f"{found.rows} ledger lines: {what}; the caller waits {price.caller_ms:.1f} ms",
            figure=price.database_ms,
            unit="ms",
            wanted=f"under {promised:g} ms",
            holds=price.database_ms < promised,
            baseline=found.naive_ms if what == f"position, {DELIVERIES}" else None,
            baseline_is="the sum over the month's lines" if what == f"position, {DELIVERIES}" else "",
        )


def compared(smaller: Measured, larger: Measured) -> Iterator[Figure]:
    """Whether the larger size is felt."""
    for what, price in larger.costs.items():
        before = smaller.costs[what].database_ms
        yield Figure(
            input=f"{larger.rows} against {smaller.rows} ledger lines: {what}",
            figure=price.database_ms,
            unit="ms",
            wanted=f"at most {RATIO:g} times as long, or {SLACK_MS:g} ms longer",
            holds=price.database_ms <= max(before * RATIO, before + SLACK_MS),
            baseline=before,
            baseline_is=f"the same at {smaller.rows}",
        )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. From ten million on against a tenth."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench budget")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, help="a smaller size, for comparison")
    given = parser.parse_args(argv)
    against = given.against or (given.rows // FELT if given.rows >= FELT * 1_000_000 else None)
    smaller = measure(against) if against else None
    larger = measure(given.rows)
    found = [*(figures(smaller) if smaller else ()), *figures(larger)]
    found += compared(smaller, larger) if smaller else ()
    for figure in found:
        print(line("budget", figure), flush=True)
    return int(not all(figure.holds for figure in found))
