"""`zip`: twelve photographs fetched, zipped and uploaded, against the way of the company's application, which
fetches one after the other and deflates, and against the least that can be done: fetch and upload alone.

Source: a separate process that waits 30 ms before each file. Sink: a folder's storage, the same for all.
Each run is a process of its own, so that its peak memory is its own; rounds alternate and the median counts.
"""

import argparse
import io
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from core.providers.fetch import Fetcher
from core.providers.fetch_rules import rules_for
from core.settings import ROOT
from core.storage.buckets import BUCKETS
from core.storage.objects import LocalStorage
from core.trainings import archive, zips
from core.trainings.fetching import AT_ONCE, fetch_all
from tests.bench.figures import Figure, line
from tests.bench.move import _source

ROUNDS = 5
MB = 1024 * 1024
MEMORY_BOUND_MB = 100
FASTER, NEAR = 4.0, 1.5
RUN_SECONDS = 120
BUCKET = "character-references"


@dataclass(frozen=True)
class Run:
    """One measured run: seconds for all photographs, and peak memory above idle in MB."""

    seconds: float
    memory_mb: float


def _sizes(photographs: int) -> list[int]:
    """2 to 4 MB each."""
    return [2_000_000 + n * 2_000_000 // max(photographs - 1, 1) for n in range(photographs)]


def _ours(urls: list[str], storage: LocalStorage, folder: Path, fetcher: Fetcher) -> None:
    fetched = fetch_all(urls, folder, fetcher, time.sleep)
    made = archive.write([image.path for image in fetched if image.path], folder / "training.zip")
    assert zips.store(made, len(fetched), "measured", storage).images == len(urls)


def _seeds(urls: list[str], storage: LocalStorage, _: Path, __: Fetcher) -> None:
    """As the documents describe it: sequential, whole in memory, DEFLATE level 6."""
    packed = io.BytesIO()
    with (
        httpx.Client(trust_env=False) as client,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as opened,
    ):
        for n, url in enumerate(urls, start=1):
            opened.writestr(f"image_{n:03}.jpg", client.get(url).content)
    _upload(storage, [packed.getvalue()])


def _bare(urls: list[str], storage: LocalStorage, _: Path, fetcher: Fetcher) -> None:
    """The bytes in and out again, as many at once as ours, and nothing done to them."""

    def fetch(url: str) -> bytes:
        with fetcher.open_stream(url) as stream:
            return b"".join(stream.chunks)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        _upload(storage, list(pool.map(fetch, urls)))


def _upload(storage: LocalStorage, contents: list[bytes]) -> None:
    with storage.upload(BUCKET) as upload:
        for content in contents:
            upload.write(content)
        upload.commit("measured/training.zip", "application/zip")


WAYS: dict[str, Callable[[list[str], LocalStorage, Path, Fetcher], None]] = {
    "ours": _ours,
    "seeds": _seeds,
    "bare": _bare,
}


def _peak_mb() -> float:
    """This process's peak memory; Linux counts the parent's into ru_maxrss, so its own status is read."""
    status = Path("/proc/self/status")
    if status.exists():
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024


def _measure(way: str, base: str, photographs: int) -> None:
    """Carry out one run in this process and print it."""
    address = urlsplit(base)
    fetcher = Fetcher(rules_for((), (address.hostname or "", address.port or 0)))
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        folder = Path(name)
        storage = LocalStorage(folder / "files", b"measured", {bucket.name: bucket for bucket in BUCKETS})
        scratch = folder / "scratch"
        scratch.mkdir()
        WAYS[way]([f"{base}/1000/warm-{n}.jpg" for n in range(photographs)], storage, scratch, fetcher)
        idle, begun = _peak_mb(), time.perf_counter()
        urls = [f"{base}/{size}/{n}.jpg" for n, size in enumerate(_sizes(photographs))]
        WAYS[way](urls, storage, scratch, fetcher)
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "memory_mb": _peak_mb() - idle}))
    fetcher.close()


def _run(way: str, base: str, photographs: int) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.zip", "--way", way, "--base", base, "--files", str(photographs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the run {way} failed: {done.stderr[-2000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _figures(photographs: int) -> Iterator[Figure]:
    with _source() as base:
        rounds = [{way: _run(way, base, photographs) for way in WAYS} for _ in range(ROUNDS)]
    ours, seeds, bare = (statistics.median(one[way].seconds for one in rounds) for way in WAYS)
    what = f"{photographs} photographs of 2 to 4 MB, 30 ms latency, fetched, zipped and uploaded"
    yield Figure(
        input=what,
        figure=1 / ours,
        unit="ZIPs/s",
        baseline=1 / seeds,
        baseline_is="one after the other, deflate level 6, then uploaded",
        wanted=f"at least {FASTER:g} times as fast",
        holds=ours * FASTER <= seeds,
    )
    yield Figure(
        input=what,
        figure=ours * 1000,
        unit="ms",
        baseline=bare * 1000,
        baseline_is="fetched as many at once and uploaded, no ZIP",
        wanted=f"at most {NEAR:g} times as long",
        holds=ours <= bare * NEAR,
    )
    most = max(one["ours"].memory_mb for one in rounds)
    yield Figure(
        input=f"{what}, peak memory above idle",
        figure=most,
        unit="MB",
        baseline=max(one["seeds"].memory_mb for one in rounds),
        baseline_is="one after the other, whole in memory",
        wanted=f"under {MEMORY_BOUND_MB} MB",
        holds=most < MEMORY_BOUND_MB,
    )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed. `--rows` is the number of photographs."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench zip")
    parser.add_argument("--rows", type=int, default=12)
    missed = 0
    for figure in _figures(parser.parse_args(argv).rows):
        print(line("zip", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)


if __name__ == "__main__":
    child = argparse.ArgumentParser()
    for name, kind in (("--way", str), ("--base", str), ("--files", int)):
        child.add_argument(name, type=kind, required=True)
    given = child.parse_args()
    _measure(given.way, given.base, given.files)
