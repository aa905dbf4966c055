"""A database with sixty days of generations, counted, as a measurement of Delivery health needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg

from core import database
from core.deliveries import rollups
from core.deliveries.windows import day_of
from core.local import postgres

DAYS = 60
IN_FLIGHT = 10_000
# Lost, or waiting for a person, of all.
RARE = 400
RARE_MODEL = "studio/rare-upscaler"
BATCH = 250_000
COSTLY = timedelta(hours=6, minutes=59, seconds=59)
# Begun and ended since the last count: what fifty a second leave in the ten seconds between two counts.
CHANGED = 500

# The newest is number 1. A dozen models, some rows without a kind, a time or a model; forty kinds of failure
# whose messages differ by row; what is under way is the newest, and older than it may be where rows are few.
_FILL = """
INSERT INTO generations (provider, kind, model, prompt, input, task_id, created_at, submitted_at, updated_at,
                         delivery_state, status, asset_url, delivered_at, provider_ms, failure_category,
                         failure_code, failure_message, error, result_expires_at)
SELECT 'kie', kind, model, 'a boat on a quiet lake, number ' || n, '{"aspect_ratio": "1:1"}', 'task_' || n,
       at, at + interval '1 s', at, state,
       CASE state WHEN 'delivered' THEN 'success' WHEN 'failed' THEN 'failed' ELSE 'generating' END,
       CASE WHEN state = 'delivered' THEN 'https://files.example.test/generations/' || n || '.png' END,
       CASE WHEN state = 'delivered' AND n %% 50 > 0 THEN at + took * interval '1 s' END,
       CASE WHEN state = 'delivered' THEN took * 1000 END,
       CASE WHEN unlucky THEN 'service_error' END,
       CASE WHEN unlucky THEN (ARRAY['400', '422', '500', '501', '505'])[1 + n %% 5] END,
       CASE WHEN unlucky AND n %% 10 > 0 THEN words END, CASE WHEN unlucky AND n %% 10 = 0 THEN words END,
       CASE WHEN state IN ('needs_attention', 'awaiting_delivery') THEN %(now)s + interval '9 hours' END
FROM (
    SELECT *, state IN ('failed', 'lost', 'needs_attention') AS unlucky,
           (ARRAY['The upstream timed out', 'No capacity', 'Content was refused by a filter', 'Invalid image',
                  'Internal error', 'The queue is full', 'The prompt is too long', 'Download failed']
           )[1 + (n / 7) %% 8] || ' after ' || n %% 97 || ' s for task_' || n AS words
    FROM (
        SELECT n, exp(3 + 1.2 * random())::int AS took,
               CASE WHEN n %% 1000 <> 999
                    THEN %(now)s - (n::float8 / %(rows)s) * %(days)s * interval '1 day' END AS at,
               CASE WHEN n %% 10 = 3 THEN NULL WHEN n %% 10 > 7 THEN 'video' ELSE 'image' END AS kind,
               CASE WHEN n %% 20 = 11 THEN NULL WHEN n %% 5000 = 7 THEN %(rare_model)s
                    WHEN n %% 10 > 7 THEN 'kling-2.' || n %% 4 || '/text-to-video'
                    ELSE 'flux-' || n %% 7 || '/pro-text-to-image' END AS model,
               CASE WHEN n <= %(in_flight)s
                    THEN (ARRAY['intent', 'sending', 'awaiting_provider', 'awaiting_delivery'])[1 + n %% 4]
                    WHEN n %% greatest(%(rows)s / %(rare)s, 10) = 0
                    THEN (ARRAY['lost', 'needs_attention'])[1 + (n / 10) %% 2]
                    WHEN random() < 0.05 THEN 'failed' ELSE 'delivered' END AS state
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS made(n)
    ) drawn
) judged
"""


@contextmanager
def counted(rows: int) -> Iterator[tuple[str, datetime]]:
    """The URL of a throw-away Postgres with so many generations, this process connected to it; and their now:
    the moment of the day (UTC) at which windows begin with most hours that no day holds."""
    with postgres.temporary() as server:
        database.migrate(server.url, local=True)
        with connected(server.url):
            now = day_of(database.now() - COSTLY) + COSTLY
            write(server.url, rows, now)
            yield server.url, now


@contextmanager
def connected(url: str) -> Iterator[None]:
    """This process connected to that database."""
    database.connect(url, timeout_s=3600)
    try:
        yield
    finally:
        database.close()


def write(url: str, rows: int, now: datetime) -> None:
    """Fill a migrated database that this process is connected to, and count what is in it."""
    fill(url, rows, now)
    while rollups.run(now, run_for_s=60):
        pass
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def fill(url: str, rows: int, now: datetime) -> None:
    """Write the rows without triggers and indexes, which are put back afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        triggers = connection.execute(
            "SELECT format('ALTER TABLE generations ENABLE %s TRIGGER %I',"
            " CASE tgenabled WHEN 'A' THEN 'ALWAYS' ELSE '' END, tgname)"
            " FROM pg_trigger WHERE tgrelid = 'generations'::regclass AND NOT tgisinternal"
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = 'generations'::regclass AND NOT indisprimary"
        ).fetchall()
        connection.execute("ALTER TABLE generations DISABLE TRIGGER USER")
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        given = {"rows": rows, "now": now, "days": DAYS, "rare": RARE, "rare_model": RARE_MODEL}
        given["in_flight"] = min(IN_FLIGHT, rows // 10)
        for first in range(1, rows + 1, BATCH):
            connection.execute(_FILL, given | {"first": first, "last": min(first + BATCH - 1, rows)})
        for command in [*(made for _, made in indexes), *(made for (made,) in triggers)]:
            connection.execute(command.encode())


def change(url: str, now: datetime) -> None:
    """Begin and end some generations as others do, each a transaction of its own; nothing counts them."""
    with psycopg.connect(url, autocommit=True) as connection:
        for n in range(CHANGED):
            made = connection.execute(
                "INSERT INTO generations (kind, model, status, delivery_state, created_at)"
                " VALUES ('image', %s, 'queued', 'intent', %s) RETURNING id",
                (f"flux-{n % 7}/pro-text-to-image", now - timedelta(seconds=n)),
            ).fetchone()
            assert made is not None
            failed = n % 20 == 0
            connection.execute(
                "UPDATE generations SET delivery_state = %s, delivered_at = %s, failure_message = %s"
                " WHERE id = %s",
                ("failed", None, f"No capacity after {n} s", made[0])
                if failed
                else ("delivered", now, None, made[0]),
            )
