"""Large files go through every backend in little memory, measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT
from tests.storage.addresses import KINDS, environment
from tests.storage.fake_supabase import FakeSupabase

# `python -m tests.bench move --storage` does the same with 300 MB, and needs no more memory.
SIZE = 60 * 1024 * 1024
# R2's two parts and their copies take 24 MB; the others next to nothing.
MEMORY_BOUND_MB = 40


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_file_takes_little_memory(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = request.getfixturevalue({"local": "tmp_path", "supabase": "supabase", "r2": "s3"}[kind])
    address = found.url if isinstance(found, FakeSupabase) else str(found)
    run = subprocess.run(
        [sys.executable, "-m", "tests.storage.large_file", str(SIZE)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment(kind, address, tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    told = json.loads(run.stdout)
    assert told["bytes"] == SIZE
    assert told["grown_mb"] < MEMORY_BOUND_MB, told
