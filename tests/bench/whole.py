"""A database with everything in it, as a measurement of the pages needs it: sixty days of generations, and as
many runs as LoRAs, with ledger lines behind them."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from core import database
from core.budget import fold
from core.work import runs
from tests.bench import history, ledger, library_rows

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
