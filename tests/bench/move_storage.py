"""One large file to each storage backend: `python -m tests.bench move --storage supabase`.

Supabase is the fake of the tests and R2 is moto's S3, both on loopback, so that only memory counts.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from moto.server import ThreadedMotoServer

from core.settings import ROOT
from core.storage.buckets import BUCKETS
from tests.bench.figures import Figure
from tests.storage.addresses import KINDS, R2_BUCKET, environment
from tests.storage.fake_supabase import serving

SIZE = 300 * 1024 * 1024
MEMORY_BOUND_MB = 40

__all__ = ["KINDS", "figures"]


def figures(kind: str) -> Iterator[Figure]:
    """Peak memory above idle for one file, and its rate."""
    with tempfile.TemporaryDirectory() as folder, _address(kind) as address:
        begun = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-m", "tests.storage.large_file", str(SIZE)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), **environment(kind, address, Path(folder))},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - begun
    grown = float(json.loads(run.stdout)["grown_mb"])
    whole = SIZE / 1024 / 1024
    yield Figure(
        input=f"1 file of {whole:g} MB to {kind}, {seconds:.1f} s with the start of the process",
        figure=grown,
        unit="MB",
        baseline=whole,
        baseline_is="the file itself, as a loop that holds it whole would need",
        wanted=f"under {MEMORY_BOUND_MB} MB",
        holds=grown < MEMORY_BOUND_MB,
    )


@contextmanager
def _address(kind: str) -> Iterator[str]:
    if kind == "supabase":
        with serving() as project:
            for bucket in BUCKETS:
                project.buckets[bucket.name] = {
                    "public": bucket.public,
                    "file_size_limit": None,
                    "allowed_mime_types": None,
                }
            yield project.url
    elif kind == "r2":
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        httpx.put(f"http://{host}:{port}/{R2_BUCKET}").raise_for_status()
        yield f"http://{host}:{port}"
        server.stop()
    else:
        yield ""
