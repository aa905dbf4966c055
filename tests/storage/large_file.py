"""Stores a film of so many bytes in the storage of the settings and reads a part: prints size and memory."""

import json
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from core.settings import load
from core.storage.backend import from_settings
from core.storage.mover import store_stream

BLOCK = bytes(range(256)) * 1024
HEAD = b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00" + b"\x00\x00\x00\x08moov"


def film(size: int) -> Iterator[bytes]:
    """An MP4 of exactly `size` bytes, made as it is read."""
    rest = size - len(HEAD)
    yield HEAD + rest.to_bytes(4, "big") + b"mdat"
    rest -= 8
    while rest:
        block = BLOCK[:rest]
        rest -= len(block)
        yield block


def peak_mb() -> float:
    """The most memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)


def main(size: int) -> None:
    """Warm up with a small film, then store the large one."""
    storage = from_settings(load())
    store_stream(film(100_000), 100_000, storage, "generations", lambda _: "warm.mp4")
    before = peak_mb()
    stored = store_stream(film(size), size, storage, "generations", lambda _: "u/video/large.mp4")
    reader = storage.open("generations", stored.path)
    begins = size - 1000 - len(HEAD) - 8
    assert b"".join(reader.chunks(size - 1000)) == bytes((begins + n) % 256 for n in range(1000))
    reader.close()
    sys.stdout.write(json.dumps({"bytes": stored.bytes, "grown_mb": peak_mb() - before}))
    storage.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
