"""`move`: the streaming mover against a loop that downloads each file whole and then uploads it.

Source: a separate process that waits 30 ms before each file. Sink: the local storage, the same for both.
Each run is a process of its own, so that its peak memory is its own; rounds alternate and the median
counts.
"""

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from core.providers.fetch import Fetcher
from core.providers.fetch_rules import rules_for
from core.settings import ROOT
from core.storage.buckets import BUCKETS
from core.storage.mover import store_stream
from core.storage.objects import LocalStorage
from tests.bench import move_storage
from tests.bench.figures import Figure, line

WORKERS = 16
ROUNDS = 3
MB = 1024 * 1024
MEMORY_BOUND_MB = 100
RUN_SECONDS = 300


@dataclass(frozen=True)
class Load:
    """`files` files of `size` bytes each; the mover must reach `wanted` times the loop's rate."""

    files: int
    size: int
    wanted: float | None

    @property
    def name(self) -> str:
        return f"{self.files} file{'s' * (self.files > 1)} of {self.size / 1e6:g} MB"


@dataclass(frozen=True)
class Run:
    """One measured run: seconds for all files, and peak memory above idle in MB."""

    seconds: float
    memory_mb: float


def _peak_mb() -> float:
    """This process's peak memory; Linux counts the parent's into ru_maxrss, so its own status is read."""
    status = Path("/proc/self/status")
    if status.exists():
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024


def _storage(folder: Path) -> LocalStorage:
    return LocalStorage(folder, b"measured", {bucket.name: bucket for bucket in BUCKETS})


def _by_mover(base: str, storage: LocalStorage) -> tuple[Callable[[str], None], int]:
    address = urlsplit(base)
    fetcher = Fetcher(rules_for((), (address.hostname or "", address.port or 0)))

    def move(path: str) -> None:
        with fetcher.open_stream(base + path) as stream:
            store_stream(
                stream.chunks, stream.content_length, storage, "generations", lambda _: path.lstrip("/")
            )

    return move, WORKERS


def _by_loop(base: str, storage: LocalStorage) -> tuple[Callable[[str], None], int]:
    client = httpx.Client(trust_env=False, timeout=60)

    def move(path: str) -> None:
        content = client.get(base + path).content
        with storage.upload("generations") as upload:
            upload.write(content)
            upload.commit(path.lstrip("/"), "image/jpeg")

    return move, 1


WAYS = {"mover": _by_mover, "loop": _by_loop}


def _measure(way: str, base: str, files: int, size: int) -> None:
    """Carry out one run in this process and print it."""
    with tempfile.TemporaryDirectory() as folder:
        storage = _storage(Path(folder))
        move, workers = WAYS[way](base, storage)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(move, [f"/1000/warm-{n}.jpg" for n in range(workers)]))
            idle, begun = _peak_mb(), time.perf_counter()
            list(pool.map(move, [f"/{size}/{n}.jpg" for n in range(files)]))
            seconds = time.perf_counter() - begun
        stored = storage.find("generations", f"{size}/")
        assert len(stored) == files
        assert {info.bytes for info in stored} == {size}
        print(json.dumps({"seconds": seconds, "memory_mb": _peak_mb() - idle}))


def _run(way: str, base: str, load: Load) -> Run:
    arguments = ["--way", way, "--base", base, "--files", str(load.files), "--size", str(load.size)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.move", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the run {way} of {load.name} failed: {done.stderr[-2000:]}")
    return Run(**json.loads(done.stdout))


@contextmanager
def _source() -> Iterator[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.move_source"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def _compare(base: str, load: Load) -> Iterator[Figure]:
    rounds = [(_run("mover", base, load), _run("loop", base, load)) for _ in range(ROUNDS)]
    mover = load.files / statistics.median(run.seconds for run, _ in rounds)
    loop = load.files / statistics.median(run.seconds for _, run in rounds)
    wanted = load.wanted or 0.0
    unit, scale = ("files/s", 1.0) if load.size < MB else ("MB/s", load.size / 1e6)
    yield Figure(
        input=f"{load.name}, 30 ms latency, {WORKERS} at once",
        figure=mover * scale,
        unit=unit,
        baseline=loop * scale,
        baseline_is="sequential loop: download whole, then upload",
        wanted=f"at least {wanted:g} times the loop's rate",
        holds=mover >= wanted * loop,
    )
    yield _memory(load, max(run.memory_mb for run, _ in rounds), max(run.memory_mb for _, run in rounds))


def _memory(load: Load, mover: float, loop: float) -> Figure:
    return Figure(
        input=f"{load.name}, peak memory above idle",
        figure=mover,
        unit="MB",
        baseline=loop,
        baseline_is="sequential loop: download whole, then upload",
        wanted=f"under {MEMORY_BOUND_MB} MB",
        holds=mover < MEMORY_BOUND_MB,
    )


def _figures(small_files: int) -> Iterator[Figure]:
    with _source() as base:
        yield from _compare(base, Load(small_files, 250_000, 6.0))
        yield from _compare(base, Load(20, 20_000_000, 1.0))
        one = Load(1, 300_000_000, None)
        yield _memory(one, _run("mover", base, one).memory_mb, _run("loop", base, one).memory_mb)


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is the number of small files;
    with `--storage` one large file goes to that backend alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench move")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--storage", choices=move_storage.KINDS)
    given = parser.parse_args(argv)
    missed = 0
    for figure in move_storage.figures(given.storage) if given.storage else _figures(given.rows):
        print(line("move", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)


if __name__ == "__main__":
    child = argparse.ArgumentParser()
    for name, kind in (("--way", str), ("--base", str), ("--files", int), ("--size", int)):
        child.add_argument(name, type=kind, required=True)
    given = child.parse_args()
    _measure(given.way, given.base, given.files, given.size)
