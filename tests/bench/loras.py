"""`loras`: how fast `uvicorn app:app` lists LoRAs and tells their status, and what its listeners weigh.

Lists and statuses at 200 requests a second for 20 seconds, by 40 users, first with the worker stopped and a
static page open, then with the worker busy and a page that refreshes. Then 1,000 listeners of events, through
two pings; what they add is the web process's memory then less that before. Times count from the moment at
which a request was due. The baseline is a bare Starlette route that only answers, by the same generator.
"""

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import jwt
import psycopg

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
    with of.web() as web:
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
        yield _listening(of, web.pid, ids, tokens(LISTENERS // 50))


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


def _listening(of: Rig, pid: int, ids: Sequence[str], users: Sequence[str]) -> Figure:
    """What so many listeners add to the web process, through two pings."""
    with psycopg.connect(of.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE lora_models SET training_status = 'training' WHERE id = ANY(%s::uuid[])", (list(ids),)
        )
    before = resident_mb(pid)
    heard, most = asyncio.run(_listen(of.web_port, pid, ids, users))
    return Figure(
        input=f"{heard} of {LISTENERS} listeners of events through two pings: memory of the web process",
        figure=most - before,
        unit="MB",
        wanted=f"at most {LISTENERS_MB:g} MB",
        holds=most - before <= LISTENERS_MB and heard == LISTENERS,
    )


async def _listen(port: int, pid: int, ids: Sequence[str], users: Sequence[str]) -> tuple[int, float]:
    """How many listeners heard their first event and two pings, and the most that the process held."""
    opened = []
    for n in range(LISTENERS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET {PATH}/{ids[n % len(ids)]}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {users[n % len(users)]}\r\n\r\n".encode()
        )
        opened.append((reader, writer))
    most, heard = 0.0, 0
    watching = asyncio.create_task(asyncio.sleep(36))
    parts = [asyncio.create_task(_heard(reader)) for reader, _ in opened]
    while not watching.done():
        most = max(most, resident_mb(pid))
        await asyncio.sleep(0.5)
    for part in parts:
        heard += part.done() and not part.cancelled() and part.result()
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
        found = list(measure(everything))
        database.close()
    for figure in found:
        print(line("loras", figure), flush=True)
    return int(not all(figure.holds for figure in found))
