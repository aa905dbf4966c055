"""A process that is killed while a file travels leaves nothing of it, here or there."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT, load
from core.storage.backend import from_settings
from tests.storage.addresses import environment
from tests.storage.fake_supabase import FakeSupabase
from tests.storage.test_contract import JPEG, PATH, content, put

_WRITER = """
import sys, time
from core.settings import load
from core.storage.backend import from_settings

def wait():
    global told
    told += 1
    if told == 3:
        print("on its way", flush=True)
        time.sleep(60)

told = 0
with from_settings(load()).upload("generations") as upload:
    for _ in range(40):
        upload.write(bytes(1024 * 1024))
    upload.commit(sys.argv[1], "image/jpeg", wait)
"""


@pytest.mark.parametrize("kind", ["supabase", "r2"])
def test_killed_on_the_way(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = request.getfixturevalue({"supabase": "supabase", "r2": "s3"}[kind])
    address = found.url if isinstance(found, FakeSupabase) else found
    settings = environment(kind, address, tmp_path)
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, PATH],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "on its way\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    writer.stdout.close()
    storage = from_settings(load(settings))
    assert list(storage.walk("generations")) == []
    assert list((tmp_path / "spool").iterdir()) == []
    put(storage)
    assert content(storage) == JPEG
    storage.close()
