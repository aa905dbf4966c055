"""`loras`: how fast `uvicorn app:app` lists LoRAs and tells their status, and what its listeners weigh.

First 1,000 listeners of events, through two pings, in a web process of their own that has done nothing but
warm up: after a load a process holds memory that is free again, and what listeners take of it shows nowhere.
What they add is the most that it held less what it held before. Then lists and statuses at 200 requests a
second for 20 seconds, by 40 users, with the worker stopped and a static page open, and again with the worker
busy and a page that refreshes. Times count from the moment at which a request was due. The baseline is a bare
Starlette route that only answers, by the same generator.
"""

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import jwt

from core import database
from tests.bench import library_rows, load, seeding
from tests.bench.browser import hold_still, open_page
from tests.bench.figures import Figure, line
from tests.bench.load import Plan, Post, Result
from tests.bench.rig import Rig, rig

RATE = 200.0
SECONDS = 20
USERS = 40
LORAS = 20_000
PROMISED_P99_MS = 50.0
LISTENERS = 1_000
LISTENERS_MB = 60.0
# Listeners that come and go beforehand, so that what the first ones make the process load is not counted.
FIRST_LISTENERS = 20
HEARD_WITHIN_S = 36.0
SECRET = "jwt-secret-of-the-measurement-0123456789"
PATH = "/api/v1/lora-models"


def tokens(count: int) -> list[str]:
    """Tokens of so many users."""
    claims = {"aud": "authenticated", "exp": time.time() + 3_600}
    return [jwt.encode({**claims, "sub": str(uuid.uuid4())}, SECRET, "HS256") for _ in range(count)]


def requests(ids: Sequence[str], users: Sequence[str]) -> list[Post]:
    """A list and a status in turn, the lists of several kinds."""
    lists = ("", "?search=ada", "?sort=popular&status=completed", "?sort=rating&limit=100", "?tag=portrait")
    found = []
    for n in range(int(RATE * SECONDS)):
        path = f"{PATH}{lists[n // 2 % len(lists)]}" if n % 2 else f"{PATH}/{ids[n % len(ids)]}/status"
        found.append(Post(path, method="GET", bearer=users[n % len(users)]))
    return found


def measure(of: Rig) -> Iterator[Figure]:
    """Every figure."""
    of.environment["SUPABASE_JWT_SECRET"] = SECRET
    library_rows.fill(of.database_url, LORAS, database.now())
    ids = [str(row[0]) for row in of.sql("SELECT lora_model_id FROM lora_library WHERE is_listed LIMIT 200")]
    users = tokens(USERS)
    asked = requests(ids, users)
    with of.web("tests.bench.bare:app"):
        bare = load.run(Plan(of.web_port, RATE, [Post("/api/health", method="GET")] * (len(asked) // 4)))
    yield _listening(of, ids, tokens(LISTENERS // 50))
    with of.web():
        load.run(Plan(of.web_port, RATE / 4, asked[:100]))
        with open_page(f"{of.web_url}/") as page:
            hold_still(page)
            quiet = load.run(Plan(of.web_port, RATE, asked))
        seeding.prepare(of, 20_000)
        posts = [one.callback() for one in seeding.finished(of, 1_000)]
        with of.jobs("clock", "worker"), open_page(f"{of.web_url}/test_generation"):
            load.run(Plan(of.web_port, RATE, posts))
            busy = load.run(Plan(of.web_port, RATE, asked))
        yield from _times(quiet, busy, bare)


def _times(quiet: Result, busy: Result, bare: Result) -> Iterator[Figure]:
    for name, result, promised in (
        ("worker stopped, static page open", quiet, True),
        ("worker busy, refreshing page open", busy, False),
    ):
        p99 = result.percentile(0.99)
        yield Figure(
            input=f"{len(result.statuses)} lists and statuses of {LORAS} LoRAs at {RATE:g}/s, {name}: p99",
            figure=p99,
            unit="ms",
            wanted=f"under {PROMISED_P99_MS:g} ms" if promised else "printed",
            holds=p99 < PROMISED_P99_MS or not promised,
            baseline=bare.percentile(0.99),
            baseline_is="bare Starlette route under uvicorn, same generator",
        )
        lost = len(result.statuses) - result.count(200)
        yield Figure(
            input=f"the same: not answered with 200, {name}",
            figure=float(lost),
            unit="requests",
            wanted="none",
            holds=lost == 0,
        )


def _listening(of: Rig, ids: Sequence[str], users: Sequence[str]) -> Figure:
    """What so many listeners add to the web process, through two pings."""
    of.sql("UPDATE lora_models SET training_status = 'training' WHERE id = ANY(%s::uuid[])", list(ids))
    with of.web() as web:
        asyncio.run(_listen(of.web_port, web.pid, ids, users, FIRST_LISTENERS))
        before = resident_mb(web.pid)
        heard, most = asyncio.run(_listen(of.web_port, web.pid, ids, users, LISTENERS))
    return Figure(
        input=f"{heard} of {LISTENERS} listeners of events through two pings: memory of the web process",
        figure=most - before,
        unit="MB",
        wanted=f"at most {LISTENERS_MB:g} MB",
        holds=most - before <= LISTENERS_MB and heard == LISTENERS,
    )


async def _listen(
    port: int, pid: int, ids: Sequence[str], users: Sequence[str], count: int
) -> tuple[int, float]:
    """How many listeners heard their first event and two pings, and the most that the process held."""
    opened = []
    for n in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET {PATH}/{ids[n % len(ids)]}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {users[n % len(users)]}\r\n\r\n".encode()
        )
        opened.append((reader, writer))
    parts = [asyncio.create_task(_heard(reader)) for reader, _ in opened]
    most, end = 0.0, time.monotonic() + HEARD_WITHIN_S
    while time.monotonic() < end and not all(part.done() for part in parts):
        most = max(most, resident_mb(pid))
        await asyncio.sleep(0.5)
    most = max(most, resident_mb(pid))
    heard = sum(part.done() and part.result() for part in parts)
    for part in parts:
        part.cancel()
    for _, writer in opened:
        writer.close()
    return heard, most


async def _heard(reader: asyncio.StreamReader) -> bool:
    """Whether an event and two pings came."""
    said = b""
    while said.count(b": ping") < 2:
        chunk = await reader.read(4_096)
        if not chunk:
            return False
        said += chunk
    return b"event: status" in said


def resident_mb(pid: int) -> float:
    """What a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed."""
    argparse.ArgumentParser(prog="python -m tests.bench loras").parse_args(argv)
    with rig() as everything:
        database.connect(everything.database_url, timeout_s=600)
        missed = 0
        for figure in measure(everything):
            print(line("loras", figure), flush=True)
            missed += not figure.holds
        database.close()
    return int(missed > 0)
