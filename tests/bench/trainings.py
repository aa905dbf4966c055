"""`trainings`: what it costs to follow hundreds of trainings at once, and whether deliveries feel it.

Web, clock and `python -m jobs worker` as shipped, a durable Postgres and the sandbox, each a process of its
own on this machine. The runs are really under way at fal, at Replicate and on pods, whose answers take a
fifth of a second; each has to be looked at every 30 s. First nothing is in flight: that is the baseline of
the CPU, and of the deliveries, which come on a fixed schedule. Then all runs are due, and as many deliveries
come again. How often a run was looked at is told by the sandbox's log.
"""

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from tests.bench import deliver, seeding, training_rows
from tests.bench.figures import Figure, line
from tests.bench.load import percentile
from tests.bench.rig import Rig, rig
from tests.bench.seeding import Finished

ROWS = 500
EVERY_S = 30.0
# The clock's tick and the round of reads come on top.
LONGEST_S = 40.0
CORES = 0.5
IDLE_S, SETTLE_S, MEASURED_S = 15.0, 5.0, 75.0
DELIVERIES, WARM_UP, OFFERED = 900, 200, 30.0
FILE_BYTES = 250_000
# Nobody feels less than this; on two cores that the provider and the customers share, no rule is finer.
FELT_S, FELT_PART = 0.05, 1.25
ANSWER_S = 0.2
READS = ("fal_status", "replicate_read", "runpod_read")


@dataclass(frozen=True)
class Cores:
    """Cores used in a while, by who used them."""

    worker: float
    clock: float
    postgres: float

    @property
    def product(self) -> float:
        return self.worker + self.clock


@dataclass(frozen=True)
class Delivered:
    """Deliveries a second, the seconds each took from its callback's due time, and what went wrong."""

    rate: float
    waited_s: tuple[float, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Cores without and with the runs; deliveries without and beside them; every gap between two looks."""

    idle: Cores
    busy: Cores
    alone: Delivered
    beside: Delivered
    gaps_s: tuple[float, ...]
    looks: int
    never: int
    unlike: tuple[str, ...]


def _seconds_used() -> Mapping[str, float]:
    """CPU seconds so far of worker, clock and Postgres; ended connections count with their parent."""
    used: dict[str, float] = defaultdict(float)
    for child in psutil.Process().children(recursive=True):
        try:
            name, words, times = child.name(), child.cmdline(), child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        if name == "postgres":
            used["postgres"] += times.user + times.system + times.children_user + times.children_system
        elif words[-2:-1] == ["jobs"]:
            used[words[-1]] += times.user + times.system
    return used


def _cores(seconds: float) -> Cores:
    before, began = _seconds_used(), time.monotonic()
    time.sleep(seconds)
    after, passed = _seconds_used(), time.monotonic() - began
    return Cores(*((after[who] - before[who]) / passed for who in ("worker", "clock", "postgres")))


def _deliver(of: Rig, made: Sequence[Finished]) -> Delivered:
    return Delivered(*deliver.run(of, made, OFFERED))


def _looks(of: Rig, since: float) -> dict[str, list[float]]:
    """When each training was read since then, in Unix seconds."""
    found: dict[str, list[float]] = defaultdict(list)
    for kind in READS:
        after: int | None = 0
        while after is not None:
            page = of.sandbox("GET", f"log?kind={kind}&after={after}&limit=10000")
            for row in page["rows"]:
                if row["at"] >= since * 1000:
                    found[row["task"]].append(row["at"] / 1000)
            after = page["next"]
    return {task: sorted(times) for task, times in found.items()}


def _measure(of: Rig, rows: int) -> Found:
    seeding.prepare(of, FILE_BYTES)
    warm, first, second = (seeding.finished(of, count) for count in (WARM_UP, DELIVERIES, DELIVERIES))
    with of.web(), of.jobs("worker", "clock"):
        training_rows.seed(of, rows, ANSWER_S)
        deliver.run(of, warm, OFFERED)
        alone = _deliver(of, first)
        idle = _cores(IDLE_S)
        since = time.time()
        of.sql(
            "UPDATE lora_training_jobs SET next_attempt_at = now() + random() * interval '1 s' * %s", EVERY_S
        )
        time.sleep(SETTLE_S)
        busy = _cores(MEASURED_S)
        beside = _deliver(of, second)
        until = time.time()
    looks = _looks(of, since)
    gaps = [gap for times in looks.values() for gap in _gaps(times, since, until)]
    unlike = of.sql("SELECT id::text FROM lora_training_jobs WHERE state <> 'running' OR stage <> 'training'")
    return Found(
        idle,
        busy,
        alone,
        beside,
        tuple(gaps),
        sum(map(len, looks.values())),
        rows - len(looks),
        tuple(row[0] for row in unlike),
    )


def _gaps(times: Sequence[float], since: float, until: float) -> list[float]:
    """Between two looks; before the first and after the last where that is longer than it may be."""
    inside = [b - a for a, b in itertools.pairwise(times)]
    return [*inside, *(edge for edge in (times[0] - since, until - times[-1]) if edge > LONGEST_S)]


def _figures(found: Found, rows: int) -> Iterator[Figure]:
    asked = f"{rows} runs in flight at three trainers that answer in {ANSWER_S:g} s"
    for part in (0.5, 0.99, 1.0):
        gap = percentile(found.gaps_s, part)
        name = "longest" if part == 1.0 else f"p{part * 100:g}"
        yield Figure(
            input=f"{asked}: {name} time between two looks at a run, of {found.looks} looks, {found.never}"
            " runs never looked at",
            figure=gap,
            unit="s",
            wanted=f"at most {LONGEST_S:g} s, none never looked at" if part == 0.99 else "printed",
            holds=(gap <= LONGEST_S and not found.never) or part != 0.99,
            baseline=EVERY_S,
            baseline_is="the interval that is asked for",
        )
    yield Figure(
        input=f"{asked}: cores used by worker and clock in {MEASURED_S:g} s",
        figure=found.busy.product,
        unit="cores",
        wanted=f"under {CORES:g}",
        holds=found.busy.product < CORES,
        baseline=found.idle.product,
        baseline_is="the same two with nothing in flight",
    )
    yield Figure(
        input=f"{asked}: cores used by Postgres meanwhile",
        figure=found.busy.postgres,
        unit="cores",
        wanted="printed",
        holds=True,
        baseline=found.idle.postgres,
        baseline_is="the same with nothing in flight",
    )
    yield from _delivery_figures(found, asked)
    wrong = [
        *found.alone.wrong,
        *found.beside.wrong,
        *(f"run {one} left its training" for one in found.unlike),
    ]
    yield Figure(
        input=f"{asked}: deliveries lost or done twice, runs that left their training",
        figure=float(len(wrong)),
        unit="findings",
        wanted="; ".join(wrong) or "none",
        holds=not wrong,
    )


def _delivery_figures(found: Found, asked: str) -> Iterator[Figure]:
    beside = (
        f"{len(found.beside.waited_s)} deliveries of {FILE_BYTES // 1000} KB at {OFFERED:g}/s beside {asked}"
    )
    for part in (0.5, 0.99):
        took, before = percentile(found.beside.waited_s, part), percentile(found.alone.waited_s, part)
        yield Figure(
            input=f"{beside}: p{part * 100:g} from a callback's due time to the recorded file",
            figure=took,
            unit="s",
            wanted=f"at most {FELT_PART:g} times as long, or {FELT_S * 1000:g} ms longer"
            if part == 0.5
            else "printed",
            holds=took <= max(before * FELT_PART, before + FELT_S) or part != 0.5,
            baseline=before,
            baseline_is="the same without a run in flight",
        )
    yield Figure(
        input=f"{beside}: rate",
        figure=found.beside.rate,
        unit="deliveries/s",
        wanted="at least 0.95 of the rate without a run in flight",
        holds=found.beside.rate >= 0.95 * found.alone.rate,
        baseline=found.alone.rate,
        baseline_is="the same without a run in flight",
    )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is how many runs are in flight."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench trainings")
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args(argv).rows
    with rig() as everything:
        found = _measure(everything, rows)
    missed = 0
    for figure in _figures(found, rows):
        print(line("trainings", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)
