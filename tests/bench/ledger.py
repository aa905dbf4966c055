"""A database with sixty days of ledger lines, counted, as a measurement of the budget needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from core import database
from core.budget import fold
from core.local import postgres

DAYS = 60
BATCH = 500_000
# A budget of $200 pays about a hundred runs a month; more lines are more generations, or more lines a run.
RUNS = 5_000
RARE_MODEL = "studio/rare-upscaler"
PERSON = "10000000-0000-4000-8000-000000000007"

# One in fifty is a training's: reserved, settled, given back; one in ten thousand a correction, one in fifty
# thousand flagged, or made elsewhere than the others. The newest is number 1.
_FILL = """
INSERT INTO job_costs (kind, scope, month, reservation_key, provider, service, model, user_id, generation_id,
                       run_id, stage, quantity, unit, unit_price, price_version, amount_usd, occurred_at,
                       source_key, corrects, flagged)
SELECT kind, scope, date_trunc('month', at AT TIME ZONE 'UTC')::date, 'run:' || run,
       coalesce((ARRAY['fal', 'replicate', 'runpod'])[1 + run %% 3],
                CASE WHEN n %% 50000 = 11 THEN 'fal' ELSE 'kie' END),
       CASE WHEN run IS NULL THEN 'generation' ELSE 'training' END,
       CASE WHEN run IS NULL THEN CASE WHEN n %% 50000 = 7 THEN %(rare_model)s ELSE models[1 + n %% 3] END
       END,
       ('10000000-0000-4000-8000-' || lpad((n * 7919 %% 5000)::text, 12, '0'))::uuid,
       CASE WHEN run IS NULL THEN gen_random_uuid() END,
       ('20000000-0000-4000-8000-' || lpad(run::text, 12, '0'))::uuid,
       CASE WHEN run IS NULL THEN 'generate' WHEN n / 50 %% 4 = 2 THEN 'validation' ELSE 'training' END,
       5, 'credit', 0.005, 'bench',
       CASE kind WHEN 'release' THEN -2 WHEN 'correct' THEN -0.01 WHEN 'reserve' THEN 2 ELSE 0.025 END,
       at, 'bench:' || n, CASE kind WHEN 'correct' THEN 'bench:' || n - 1 END,
       n %% 50000 = 13
FROM (
    SELECT n, %(now)s - (n::float8 / %(rows)s) * %(days)s * interval '1 day' AS at,
           CASE WHEN n %% 50 = 0 THEN n / 200 %% %(runs)s END AS run,
           CASE WHEN n %% 50 = 0 THEN 'trainings' ELSE 'deliveries' END AS scope,
           CASE WHEN n %% 50 = 0 THEN (ARRAY['reserve', 'settle', 'settle', 'release'])[1 + (n / 50) %% 4]
                WHEN n %% 10000 = 9999 THEN 'correct' ELSE 'settle' END AS kind,
           ARRAY['flux-2/pro-text-to-image', 'kling-2.6/text-to-video', 'flux-2/pro-image-to-image'] AS models
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
) l
"""
_TOTALS = """
INSERT INTO budget_totals (scope, month, settled_usd, reserved_usd)
SELECT scope, month, coalesce(sum(amount_usd) FILTER (WHERE kind IN ('settle', 'correct')), 0),
       coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0)
FROM job_costs WHERE scope = 'trainings' GROUP BY scope, month
"""
# The runs behind the trainings' lines, of which one in twenty has failed.
_RUNS = """
INSERT INTO lora_training_jobs (id, state, trainer, quoted_usd, creator_key, creator_name)
SELECT run_id, CASE WHEN hashtext(run_id::text) % 20 = 0 THEN 'failed' ELSE 'completed' END, min(provider), 2,
       'staff:' || min(user_id::text), 'somebody'
FROM job_costs WHERE run_id IS NOT NULL GROUP BY run_id
"""


@contextmanager
def counted(rows: int) -> Iterator[None]:
    """A throw-away Postgres with so many lines, counted by the job's own code; this process uses it."""
    with postgres.temporary_folder() as folder, postgres.running(folder) as server:
        database.migrate(server.url, local=True)
        database.connect(server.url, timeout_s=600)
        try:
            write(server.url, rows)
            now = database.now()
            while fold.run(now):
                pass
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE cost_rollup")
            yield
        finally:
            database.close()


def write(url: str, rows: int) -> None:
    """The lines, with triggers asleep and indexes made last; then what the migration does with old ones."""
    now = datetime.now().astimezone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET synchronous_commit = off")
        made = connection.execute(
            "SELECT indexdef, indexname FROM pg_indexes WHERE tablename = 'job_costs'"
            " AND indexname <> 'job_costs_pkey'"
        ).fetchall()
        for _, name in made:
            connection.execute(f"DROP INDEX {name}".encode())
        for first in range(1, rows + 1, BATCH):
            last = min(first + BATCH - 1, rows)
            values = {"now": now, "rows": rows, "days": DAYS, "first": first, "last": last}
            connection.execute(_FILL.encode(), {**values, "rare_model": RARE_MODEL, "runs": RUNS})
        for definition, _ in made:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE job_costs")
        connection.execute(_TOTALS.encode())
        connection.execute(_RUNS.encode())
        connection.execute("VACUUM ANALYZE lora_training_jobs")
        connection.execute("SET session_replication_role = origin")
        connection.execute("UPDATE cost_fold_state SET begun_at = NULL")
        for name in ("0040_ledger.sql", "0076_rare_lines.sql"):
            connection.execute((database.MIGRATIONS / name).read_bytes())
