"""`trainings`: what it costs to follow hundreds of trainings at once, and whether deliveries feel it.

Web, clock and `python -m jobs worker` as shipped, a durable Postgres and the sandbox, each a process of its
own on this machine. The runs are really under way at fal, at Replicate and on pods, whose answers take a
fifth of a second; each has to be looked at every 30 s, and how often it was is told by the sandbox's log. The
baseline of the CPU is the same two processes with nothing in flight. Deliveries come on a fixed schedule, in
turn with the runs in flight and, as their baseline, without; the median of the rounds counts.
"""

import argparse
import itertools
import statistics
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
ROUNDS, DELIVERIES, WARM_UP, OFFERED = 3, 300, 200, 30.0
FILE_BYTES = 250_000
# Nobody feels less than this; on two cores that the provider and the customers share, no rule is finer.
FELT_S, FELT_PART, SAME_RATE = 0.05, 1.25, 0.95
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
    """Cores without and with the runs; rounds of deliveries without and beside them; every gap between two
    looks at a run."""

    idle: Cores
    busy: Cores
    alone: tuple[Delivered, ...]
    beside: tuple[Delivered, ...]
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
    warm = seeding.finished(of, WARM_UP)
    made = [seeding.finished(of, DELIVERIES) for _ in range(2 * ROUNDS)]
    beside, alone = [], []
    with of.web(), of.jobs("worker", "clock"):
        training_rows.seed(of, rows, ANSWER_S)
        deliver.run(of, warm, OFFERED)
        idle = _cores(IDLE_S)
        since = _begin(of)
        time.sleep(SETTLE_S)
        busy = _cores(MEASURED_S)
        beside.append(_deliver(of, made.pop()))
        until = time.time()
        while True:
            _rest(of)
            alone.append(_deliver(of, made.pop()))
            if not made:
                break
            _begin(of)
            beside.append(_deliver(of, made.pop()))
    looks = {task: seen for task, times in _looks(of, since).items() if (seen := _within(times, until))}
    gaps = [gap for times in looks.values() for gap in _gaps(times, since, until)]
    unlike = of.sql("SELECT id::text FROM lora_training_jobs WHERE state <> 'running' OR stage <> 'training'")
    return Found(
        idle,
        busy,
        tuple(alone),
        tuple(beside),
        tuple(gaps),
        sum(map(len, looks.values())),
        rows - len(looks),
        tuple(row[0] for row in unlike),
    )


def _begin(of: Rig) -> float:
    """All runs are due within the next 30 s; the moment from which that holds."""
    due = "UPDATE lora_training_jobs SET next_attempt_at = now() + random() * interval '1 s' * %s"
    since = time.time()
    of.sql(due, EVERY_S)
    return since


def _rest(of: Rig) -> None:
    """No run is due any more, those neither that are just being looked at."""
    for _ in range(2):
        of.sql("UPDATE lora_training_jobs SET next_attempt_at = now() + interval '1 day'")
        time.sleep(SETTLE_S / 2)


def _within(times: Sequence[float], until: float) -> list[float]:
    return [at for at in times if at <= until]


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
    rounds = [*found.alone, *found.beside]
    wrong = [sentence for one in rounds for sentence in one.wrong]
    wrong += [f"run {one} left its training" for one in found.unlike]
    yield Figure(
        input=f"{asked}: deliveries lost or done twice, runs that left their training",
        figure=float(len(wrong)),
        unit="findings",
        wanted="; ".join(wrong) or "none",
        holds=not wrong,
    )


def _delivery_figures(found: Found, asked: str) -> Iterator[Figure]:
    given = f"{DELIVERIES} deliveries of {FILE_BYTES // 1000} KB at {OFFERED:g}/s, median of {ROUNDS} rounds"
    beside = f"{given}, beside {asked}"
    for part in (0.5, 0.99):
        took, before = (
            statistics.median(percentile(one.waited_s, part) for one in rounds)
            for rounds in (found.beside, found.alone)
        )
        yield Figure(
            input=f"{beside}: p{part * 100:g} from a callback's due time to the recorded file",
            figure=took,
            unit="s",
            wanted=f"at most {FELT_PART:g} times as long, or {FELT_S * 1000:g} ms longer"
            if part == 0.5
            else "printed",
            holds=took <= max(before * FELT_PART, before + FELT_S) or part != 0.5,
            baseline=before,
            baseline_is="the same in turn without a run in flight",
        )
    rate, before = (statistics.median(one.rate for one in rounds) for rounds in (found.beside, found.alone))
    yield Figure(
        input=f"{beside}: rate",
        figure=rate,
        unit="deliveries/s",
        wanted=f"at least {SAME_RATE:g} of the rate without a run in flight",
        holds=rate >= SAME_RATE * before,
        baseline=before,
        baseline_is="the same in turn without a run in flight",
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
