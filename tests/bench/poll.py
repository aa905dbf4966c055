"""`poll`: what it costs to follow thousands of generations that KIE is still working on.

Clock and `python -m jobs worker` as shipped, a durable Postgres and the sandbox, each a process of its own on
this machine. First the provider's limit is lifted in the database: every row has to be read every minute, and
a core of the machine has to be left over, all processes counted, as `/proc/stat` tells. Then the limit is
KIE's own and everything is overdue: nobody may be read twice before everybody else was read once. The
baseline is what one would write first: one row after the other, read and updated.
"""

import argparse
import itertools
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import psutil  # type: ignore[import-untyped]
import psycopg

from core.work import limiter
from tests.bench import load
from tests.bench.figures import Figure, line
from tests.bench.rig import KIE_KEY, Rig, rig

MODEL = "kling-2.6/text-to-video"
EVERY_S = 60.0
# A row is due on the minute; the clock's slot and the round of reads come on top.
SLACK_S = 6.0
SETTLE_S = 10.0
MEASURED_S = 150.0
LIMITED_S = 60.0
NAIVE = 300

# Old enough for a read a minute, and not yet stuck.
_ROWS = """
INSERT INTO generations (id, provider, kind, model, prompt, input, status, delivery_state, request_key,
                         task_id, submitted_at, created_at, updated_at, next_attempt_at)
SELECT id, 'kie', 'video', %s, 'a boat', '{}', 'generating', 'awaiting_provider', 'bench:' || id, task_id,
       now() - interval '5 min', now() - interval '5 min', now(), now() + random() * interval '60 s'
FROM unnest(%s::uuid[], %s::text[]) AS made(id, task_id)
"""


@dataclass(frozen=True)
class Lifted:
    """The reads of each task, as gaps in seconds; the cores used by the product and left on the machine."""

    reads: int
    never: int
    gaps_s: tuple[float, ...]
    product_cores: float
    idle_cores: float
    naive_rate: float


@dataclass(frozen=True)
class Limited:
    """Reads under KIE's limit: how many, the most in any second, the most of one row, what still waits."""

    reads: int
    peak: int
    most_of_one: int
    waiting: int
    out_of_turn: int


def _tasks(of: Rig, rows: int) -> list[str]:
    """Tasks that KIE works on for a day, and a row for each."""
    of.sandbox("PUT", "settings", {"video_seconds": 86_400, "creates_per_window": 0})
    headers = {"Authorization": f"Bearer {KIE_KEY}"}
    given = {"prompt": "a boat", "sound": False, "aspect_ratio": "1:1", "duration": "5"}
    with httpx.Client(base_url=of.sandbox_url, headers=headers, timeout=30) as client:

        def create(_: int) -> str:
            body = {"model": MODEL, "input": given}
            answer = client.post("/api/v1/jobs/createTask", json=body).json()
            return str(answer["data"]["taskId"])

        with ThreadPoolExecutor(4) as pool:
            tasks = list(pool.map(create, range(rows)))
    of.sql(_ROWS, MODEL, [str(uuid.uuid4()) for _ in tasks], tasks)
    of.sql("ANALYZE generations")
    return tasks


def _reads(of: Rig, since_ms: int) -> dict[str, list[float]]:
    """When each task was read since then, in Unix seconds, as the sandbox's log tells."""
    found: dict[str, list[float]] = defaultdict(list)
    after: int | None = 0
    while after is not None:
        page = of.sandbox("GET", f"log?kind=read&after={after}&limit=10000")
        for row in page["rows"]:
            if row["at"] >= since_ms:
                found[row["task"]].append(row["at"] / 1000)
        after = page["next"]
    return found


def _product_cpu() -> float:
    """The CPU seconds so far of everything that this process has started, the sandbox left out.

    Postgres' ended connections count with their parent.
    """
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            if "core.sandbox" in child.cmdline():
                continue
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
        if child.name() == "postgres":
            seconds += times.children_user + times.children_system
    return seconds


def _idle() -> float:
    """The seconds that all cores of the machine have been idle."""
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))


def _lifted(of: Rig, tasks: Sequence[str]) -> Lifted:
    of.sql(
        "INSERT INTO provider_limits (key, per_second) VALUES (%s, 100000)"
        " ON CONFLICT (key) DO UPDATE SET per_second = EXCLUDED.per_second",
        limiter.READS["kie"].key,
    )
    naive = _naive_rate(of, tasks[:NAIVE])
    of.sql("UPDATE generations SET next_attempt_at = now() + random() * interval '60 s'")
    with of.jobs("worker", "clock"):
        time.sleep(SETTLE_S)
        since, cpu, idle = time.time(), _product_cpu(), _idle()
        time.sleep(MEASURED_S)
        elapsed = time.time() - since
        product, left = (_product_cpu() - cpu) / elapsed, (_idle() - idle) / elapsed
    reads = _reads(of, int(since * 1000))
    gaps = [b - a for at in reads.values() for a, b in itertools.pairwise(at)]
    never = len(tasks) - len(reads)
    return Lifted(sum(map(len, reads.values())), never, tuple(gaps), product, left, naive)


def _naive_rate(of: Rig, tasks: Sequence[str]) -> float:
    headers = {"Authorization": f"Bearer {KIE_KEY}"}
    with (
        httpx.Client(base_url=of.sandbox_url, headers=headers) as client,
        psycopg.connect(of.database_url) as connection,
    ):
        begun = time.perf_counter()
        for task in tasks:
            record = client.get("/api/v1/jobs/recordInfo", params={"taskId": task}).json()
            connection.execute(
                "UPDATE generations SET provider_state = %s, updated_at = now() WHERE task_id = %s",
                (record["data"]["state"], task),
            )
            connection.commit()
        return len(tasks) / (time.perf_counter() - begun)


def _limited(of: Rig, tasks: Sequence[str]) -> Limited:
    of.sql("DELETE FROM provider_limits")
    # All overdue, each by another time, so that there is a turn to keep.
    of.sql(
        "UPDATE generations g SET lease_until = NULL, lease_token = NULL,"
        " next_attempt_at = now() - interval '1 h' + n.place * interval '100 ms'"
        " FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM generations) n WHERE n.id = g.id"
    )
    turn = [row[0] for row in of.sql("SELECT task_id FROM generations ORDER BY next_attempt_at")]
    since = time.time()
    with of.jobs("worker", "clock"):
        time.sleep(LIMITED_S)
    reads = _reads(of, int(since * 1000))
    a_second = Counter(int(at) for times in reads.values() for at in times)
    waiting = of.sql(
        "SELECT count(*) FROM generations"
        " WHERE delivery_state = 'awaiting_provider' AND next_attempt_at <= now()"
    )[0][0]
    out_of_turn = len(set(reads) - set(turn[: len(reads)]))
    return Limited(
        sum(map(len, reads.values())),
        max(a_second.values(), default=0),
        max(map(len, reads.values()), default=0),
        waiting,
        out_of_turn,
    )


def _figures(lifted: Lifted, limited: Limited, rows: int) -> Iterator[Figure]:
    cores = os.cpu_count() or 0
    asked = f"{rows} in flight, limit lifted, {MEASURED_S:g} s"
    worst = load.percentile(lifted.gaps_s, 1.0) if lifted.gaps_s else float("inf")
    yield Figure(
        input=f"{asked}: the longest pause between two reads of one row; {lifted.never} rows never read",
        figure=worst,
        unit="s",
        wanted=f"at most {EVERY_S:g} s and the clock's slot, none never read",
        holds=worst <= EVERY_S + SLACK_S and not lifted.never,
    )
    yield Figure(
        input=f"{asked}: reads",
        figure=lifted.reads / MEASURED_S,
        unit="reads/s",
        wanted="printed",
        holds=True,
        baseline=lifted.naive_rate,
        baseline_is="one after the other: recordInfo, update; as fast as it can",
    )
    yield Figure(
        input=f"{asked}: cores idle on the whole machine, the sandbox's work included, of {cores}",
        figure=lifted.idle_cores,
        unit="cores",
        wanted="at least 1",
        holds=lifted.idle_cores >= 1.0,
    )
    yield Figure(
        input=f"{asked}: cores used by worker, clock and Postgres",
        figure=lifted.product_cores,
        unit="cores",
        wanted="printed",
        holds=True,
    )
    asked = f"{rows} overdue, KIE's own limit, {LIMITED_S:g} s"
    yield Figure(
        input=f"{asked}: most reads in any second of the sandbox's clock",
        figure=float(limited.peak),
        unit="reads/s",
        wanted="at most 10",
        holds=limited.peak <= 10,
    )
    yield Figure(
        input=f"{asked}: most reads of one row, while others wait; {limited.out_of_turn} read out of turn",
        figure=float(limited.most_of_one),
        unit="reads",
        wanted="1, none out of turn",
        holds=limited.most_of_one == 1 and not limited.out_of_turn,
    )
    yield Figure(
        input=f"{asked}: {limited.waiting} still wait; until the last of them is read",
        figure=limited.waiting / limiter.READS["kie"].per_second / 60,
        unit="min",
        wanted="printed",
        holds=True,
    )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is how many are in flight."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench poll")
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args(argv).rows
    with rig() as everything:
        tasks = _tasks(everything, rows)
        lifted, limited = _lifted(everything, tasks), _limited(everything, tasks)
    missed = 0
    for figure in _figures(lifted, limited, rows):
        print(line("poll", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)
