"""A database with everything in it, as a measurement of the pages needs it: sixty days of generations, and as
many runs as LoRAs, with ledger lines behind them.

Filling takes minutes, so it can be kept for several measurements: `whole` stays until it is ended, and
`pages` and `crowd` take the address that it prints as `--database`.
"""

import argparse
import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from core import database
from core.budget import fold
from core.work import runs
from tests.bench import history, ledger, library_rows
from tests.bench.rig import Rig, rig

ALIVE_FOR = timedelta(days=1)

_USAGE = """
INSERT INTO storage_usage (taken_at, bucket, purpose, files, bytes)
SELECT now() - day * interval '1 day', bucket, purpose, 1000 * (60 - day), 300000000::bigint * (60 - day)
FROM generate_series(0, 59) AS made(day),
     (VALUES ('generations', 'results'), ('lora-models', 'weights'), ('lora-training-images', 'images'))
         AS kept(bucket, purpose)
"""
# Each LoRA has the run that trained it; a few are under way, stand still, or wait for a verdict.
_RUNS = """
INSERT INTO lora_training_jobs (id, lora_model_id, creator_key, creator_name, state, stage, trainer, steps,
                                learning_rate, rank, trigger_word, images, quoted_usd, training_progress,
                                created_at, started_at, completed_at, updated_at, heartbeat_at,
                                failure_category, error_message)
SELECT md5('run' || id)::uuid, id, creator_key, creator_name, state,
       CASE state WHEN 'completed' THEN 'completion' WHEN 'awaiting_verdict' THEN 'validation'
                  ELSE 'training' END,
       (ARRAY['fal', 'replicate', 'runpod'])[1 + n % 3], 1000, 0.0001, 16, trigger_word, 12, 2.0,
       CASE state WHEN 'completed' THEN 100 ELSE 60 END, created_at, created_at,
       CASE WHEN state IN ('completed', 'failed', 'cancelled') THEN created_at + interval '9 min' END,
       created_at + interval '9 min', CASE state WHEN 'running' THEN now() END,
       CASE state WHEN 'failed' THEN 'provider' END, CASE state WHEN 'failed' THEN 'CUDA out of memory' END
FROM (SELECT *, CASE WHEN n <= 40 THEN 'running' WHEN n <= 60 THEN 'awaiting_verdict'
                     WHEN n <= 70 THEN 'needs_attention' WHEN n % 11 = 0 THEN 'failed'
                     WHEN n % 37 = 0 THEN 'cancelled' ELSE 'completed' END AS state
      FROM (SELECT *, row_number() OVER (ORDER BY created_at DESC) AS n FROM lora_models) numbered) stated
"""


@dataclass(frozen=True)
class Sizes:
    """How many rows of each there are."""

    generations: int
    loras: int
    lines: int

    @classmethod
    def of(cls, rows: int) -> "Sizes":
        """A tenth as many runs and LoRAs as generations and ledger lines."""
        return cls(generations=rows, loras=rows // 10, lines=rows)

    def __str__(self) -> str:
        return f"{self.generations} generations, {self.loras} runs and LoRAs each, {self.lines} ledger lines"


def fill(url: str, sizes: Sizes) -> None:
    """Fill a migrated database, count what is in it, and let clock and worker be alive for a day."""
    with history.connected(url):
        history.write(url, sizes.generations, database.now())
        library_rows.fill(url, sizes.loras, database.now())
        ledger.write(url, sizes.lines)
        while fold.run(database.now()):
            pass
        alive()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(_RUNS.encode())
        connection.execute(_USAGE.encode())
        connection.execute("VACUUM ANALYZE")


def alive() -> None:
    """Heartbeats of a clock and a worker that hold for a day; this process is connected to that database."""
    for role in ("clock", "worker"):
        runs.beat(uuid.uuid4(), role, database.now() + ALIVE_FOR)


@contextmanager
def filled(rows: int, database_url: str | None) -> Iterator[Rig]:
    """A rig on such a database: on the one that was filled before, or on one of its own."""
    with rig(database_url) as everything:
        if database_url is None:
            fill(everything.database_url, Sizes.of(rows))
        yield everything


def main(argv: Sequence[str]) -> int:
    """Fill a database, print its address, and keep it until this is ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench whole")
    parser.add_argument("--rows", type=int, default=1_000_000)
    with filled(parser.parse_args(argv).rows, None) as everything:
        print(everything.database_url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0
