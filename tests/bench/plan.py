"""`plan`: a bulk resync of thousands: its dry run, its pace at KIE's limit, and its abort.

Clock and `python -m jobs worker` as shipped, a durable Postgres and the sandbox, each a process of its own
on this machine; KIE's limit is the product's own. The rows have failed here and are ready at KIE. The dry
run's baseline is what one would write first: every row read whole, judged, and written by a statement of its
own.
"""

import argparse
import os
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from core import access, database, settings
from core.deliveries import tools
from core.deliveries.repository import to_generation
from core.deliveries.windows import Filter
from core.plans import policy, service
from core.plans.models import Source
from core.work import limiter
from tests.bench import seeding
from tests.bench.figures import Figure, line
from tests.bench.rig import Rig, rig, until

ACTOR = access.command_line("measurement")
FAILED = Source(Filter(state="failed"))
READY = 400
PREVIEWS = 5
PREVIEW_WITHIN_S, ABORT_WITHIN_S = 2.0, 5.0
MEASURED_S = 20.0
# KIE takes at most ten queries a second; the product's places lie 1/9 s apart.
SHARE_OF_LIMIT = 0.9

_FAIL = (
    "UPDATE generations SET delivery_state = 'failed', status = 'failed', next_attempt_at = NULL,"
    " lease_until = NULL, failure_category = 'service_error', failure_message = 'Internal error'"
)
_MORE = (
    "INSERT INTO generations (id, provider, kind, model, prompt, input, status, delivery_state, request_key,"
    " task_id, submitted_at, created_at, updated_at, failure_category, failure_message)"
    " SELECT i.id, g.provider, g.kind, g.model, g.prompt, g.input, 'failed', 'failed', 'bench-plan:' || i.id,"
    " g.task_id, g.submitted_at, now() - i.n * interval '5 ms', now(), 'service_error', 'Internal error'"
    " FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, %s) n) i"
    " JOIN (SELECT *, row_number() OVER (ORDER BY id) AS place FROM generations) g"
    "   ON g.place = 1 + i.n %% (SELECT count(*) FROM generations)"
)


@dataclass(frozen=True)
class Measured:
    """Seconds of each dry run and of the naive one; reads of KIE a second and the most in any second; seconds
    from the abort to the last read; how many items were done, and those that were done twice."""

    previews_s: tuple[float, ...]
    naive_s: float
    rate: float
    peak: int
    abort_s: float
    done: int
    twice: int


def _previews(rows: int) -> tuple[float, ...]:
    taken = []
    for _ in range(PREVIEWS):
        begun = time.perf_counter()
        plan = service.prepare(ACTOR, FAILED, tools.current(), request_key=uuid.uuid4().hex)
        taken.append(time.perf_counter() - begun)
        assert plan.eligible == rows, plan.counts
    return tuple(taken)


def _naive(of: Rig) -> float:
    with psycopg.connect(of.database_url) as connection:
        connection.execute("CREATE TABLE naive_items (generation_id uuid, sorted text, sentence text)")
        begun = time.perf_counter()
        with database.reading() as reading:
            found = reading.exec_driver_sql("SELECT * FROM generations WHERE delivery_state = 'failed'")
            generations = [to_generation(row) for row in found.mappings()]
        for generation in generations:
            judged = policy.judge(generation, tools.utc_now(), {"kie"})
            connection.execute(
                "INSERT INTO naive_items VALUES (%s, %s, %s)", (generation.id, judged.group, judged.sentence)
            )
        connection.commit()
        return time.perf_counter() - begun


def _run(of: Rig, rows: int) -> tuple[float, int, float, int, int]:
    plan = service.prepare(ACTOR, FAILED, tools.current(), request_key=uuid.uuid4().hex)
    with of.jobs("worker", "clock"):
        service.start(ACTOR, plan.id, tools.current(), typed=rows)
        until(lambda: _over(of, plan.id) > 0, 30, "the first item")
        since = time.time()
        time.sleep(MEASURED_S)
        elapsed, reads = time.time() - since, _reads(of, since)
        aborted = time.time()
        service.abort(ACTOR, plan.id, tools.current())
        time.sleep(2 * ABORT_WITHIN_S)
        last = max((at for at in _reads(of, since)), default=aborted)
    a_second = Counter(int(at) for at in reads)
    twice = of.sql(
        "SELECT count(*) FROM (SELECT 1 FROM delivery_events WHERE kind = 'delivered'"
        " GROUP BY generation_id HAVING count(*) > 1) t"
    )[0][0]
    inner = [n for second, n in a_second.items() if since + 1 < second < since + elapsed - 1]
    return len(reads) / elapsed, max(inner, default=0), max(0.0, last - aborted), _over(of, plan.id), twice


def _over(of: Rig, plan_id: uuid.UUID) -> int:
    return int(
        of.sql(
            "SELECT count(*) FROM resync_items"
            " WHERE plan_id = %s AND state IN ('delivered', 'answered', 'failed')",
            plan_id,
        )[0][0]
    )


def _reads(of: Rig, since: float) -> list[float]:
    """When KIE was asked since then, in Unix seconds, as the sandbox's log tells."""
    found: list[float] = []
    after: int | None = 0
    while after is not None:
        page = of.sandbox("GET", f"log?kind=read&after={after}&limit=10000")
        found += [row["at"] / 1000 for row in page["rows"] if row["at"] >= since * 1000]
        after = page["next"]
    return found


def _measure(rows: int) -> Measured:
    with rig() as everything:
        seeding.prepare(everything, 60_000)
        seeding.finished(everything, READY)
        everything.sql(_FAIL)
        everything.sql(_MORE, rows - READY)
        everything.sql("DELETE FROM provider_limits")
        everything.sql("ANALYZE generations")
        for name, value in everything.environment.items():
            os.environ[name] = value
        settings.current.cache_clear()
        database.connect(everything.database_url)
        previews, naive = _previews(rows), _naive(everything)
        rate, peak, abort_s, done, twice = _run(everything, rows)
        database.close()
    return Measured(previews, naive, rate, peak, abort_s, done, twice)


def _figures(found: Measured, rows: int) -> Iterator[Figure]:
    asked, limit = f"plan of {rows:,} failed generations", limiter.KIE_READ.per_second
    preview = statistics.median(found.previews_s)
    yield Figure(
        input=f"{asked}: dry run, median of {PREVIEWS}",
        figure=preview,
        unit="s",
        baseline=found.naive_s,
        baseline_is="every row read whole, judged, and written by a statement of its own",
        wanted=f"under {PREVIEW_WITHIN_S:g} s",
        holds=preview < PREVIEW_WITHIN_S,
    )
    yield Figure(
        input=f"{asked}: queries of KIE while it runs, {MEASURED_S:g} s",
        figure=found.rate,
        unit="queries/s",
        baseline=limit,
        baseline_is="the places that the limiter gives a second",
        wanted=f"at least {SHARE_OF_LIMIT:.0%} of the limit, never more than 10 in a second",
        holds=found.rate >= SHARE_OF_LIMIT * limit and found.peak <= 10,
    )
    yield Figure(
        input=f"{asked}: from its abort to the last query",
        figure=found.abort_s,
        unit="s",
        wanted=f"under {ABORT_WITHIN_S:g} s",
        holds=found.abort_s < ABORT_WITHIN_S,
    )
    yield Figure(
        input=f"{asked}: delivered twice, of {found.done} items done",
        figure=float(found.twice),
        unit="generations",
        wanted="none",
        holds=found.twice == 0 and found.done > 0,
    )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is how many the plan has."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench plan")
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args(argv).rows
    missed = 0
    for figure in _figures(_measure(rows), rows):
        print(line("plan", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)
