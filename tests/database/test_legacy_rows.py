"""What becomes of the rows that were there before, and of those who keep writing meanwhile."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from core import queries
from core.database import migrate
from core.settings import ROOT
from tests.database.cluster import Cluster
from tests.database.scenarios import (
    FOLDER,
    LEGACY,
    as_user,
    execute_files,
    findings,
    make_supabase_like,
    migration_files,
    query,
)


@pytest.fixture
def supabase(empty_database: str) -> str:
    """The URL of a Supabase-like database, for its superuser."""
    make_supabase_like(empty_database)
    return empty_database


@pytest.fixture(scope="module")
def migrated_legacy(cluster: Cluster) -> Iterator[str]:
    """The company's database after the migration, for reading only."""
    with cluster.database() as url:
        make_supabase_like(url)
        execute_files(as_user(url, "company"), [FOLDER / "legacy.sql"])
        migrate(as_user(url, "company"))
        yield url


def _generation(url: str, tail: str) -> dict[str, Any]:
    (row,) = query(
        url,
        "SELECT *, next_attempt_at - now() AS due_in FROM generations"
        f" WHERE id::text LIKE '{tail[0]}0000000-%' AND id::text LIKE '%{tail[1]}'",
    )
    return row


# (row of legacy.sql, status, legacy_status, delivery_state)
CASES = [
    ("11", "queued", None, None),
    ("12", "queued", None, "awaiting_provider"),
    ("13", "generating", None, "awaiting_provider"),
    ("14", "success", None, "delivered"),
    ("15", "success", None, "awaiting_delivery"),
    ("16", "failed", None, "failed"),
    ("21", "queued", "pending", None),
    ("22", "queued", "pending", "awaiting_provider"),
    ("23", "generating", "processing", "awaiting_provider"),
    ("24", "success", "completed", "delivered"),
    ("25", "success", "complete", "awaiting_delivery"),
    ("26", "success", "SUCCEEDED", "delivered"),
    ("27", "failed", "error", "failed"),
    ("28", "failed", " canceled ", "failed"),
    ("31", "zombie", None, None),
    ("32", None, None, None),
    ("33", "", None, None),
    ("41", "generating", None, "awaiting_provider"),
    ("42", "success", None, "delivered"),
    ("43", "failed", None, "failed"),
    ("61", None, None, None),
    ("62", "generating", "processing", None),
    ("63", "generating", None, "awaiting_provider"),
    ("71", "success", None, "delivered"),
]


@pytest.mark.parametrize(("row", "status", "legacy_status", "state"), CASES)
def test_a_row_gets_the_state_that_its_own_words_say(
    migrated_legacy: str, row: str, status: str | None, legacy_status: str | None, state: str | None
) -> None:
    found = _generation(migrated_legacy, row)
    assert (found["status"], found["legacy_status"], found["delivery_state"]) == (
        status,
        legacy_status,
        state,
    )
    waiting = state in ("awaiting_provider", "awaiting_delivery")
    assert (found["next_attempt_at"] is not None) == waiting
    assert found["delivered_at"] is None


def test_recent_rows_are_due_at_once_behind_the_newest(migrated_legacy: str) -> None:
    newest, hours_old = _generation(migrated_legacy, "12"), _generation(migrated_legacy, "13")
    assert newest["due_in"] <= timedelta(0)
    assert hours_old["due_in"] <= timedelta(0)
    assert (newest["attempt_priority"], hours_old["attempt_priority"]) == (2, 3)


def test_old_unfinished_rows_do_not_come_all_at_once(migrated_legacy: str) -> None:
    rows = query(
        migrated_legacy,
        "SELECT next_attempt_at, attempt_priority FROM generations"
        " WHERE delivery_state IN ('awaiting_provider', 'awaiting_delivery')"
        "   AND (created_at < now() - interval '14 days' OR created_at IS NULL)"
        " ORDER BY created_at DESC NULLS LAST",
    )
    assert len(rows) == 3
    times = [row["next_attempt_at"] for row in rows]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert steps == [timedelta(seconds=0.5)] * 2
    assert {row["attempt_priority"] for row in rows} == {3}


def test_what_nobody_can_know_is_reported(migrated_legacy: str) -> None:
    found = query(
        migrated_legacy,
        "SELECT code, object, row_count, message FROM migration_findings WHERE migration = 7 ORDER BY object",
    )
    assert [(row["code"], row["object"], row["row_count"]) for row in found] == [
        ("no_created_at", "generations.created_at", 2),
        ("unknown_status", "generations.status ''", 1),
        ("unknown_status", "generations.status 'zombie'", 1),
        ("unknown_status", "generations.status NULL", 2),
        ("duplicate_task_id", "generations.task_id", 3),
    ]
    assert found[2]["message"] == (
        "1 generations have the status 'zombie', which has no known meaning; they are not followed."
    )


def test_loras_know_their_creators_and_outlive_them(migrated_legacy: str, cluster: Cluster) -> None:
    with cluster.database(migrated_legacy.rsplit("/", 1)[1]) as url:
        query(url, "DELETE FROM auth.users")
        loras = query(url, "SELECT name, user_id, creator_name, updated_at FROM lora_models ORDER BY name")
        runs = query(url, "SELECT lora_model_id, user_id, creator_name FROM lora_training_jobs")
    assert [(row["name"], row["user_id"], row["creator_name"]) for row in loras] == [
        ("Cyberpunk Girl", None, "ada@example.com"),
        ("Pending Boy", None, "Cy"),
    ]
    assert (runs[0]["lora_model_id"] is None, runs[0]["user_id"], runs[0]["creator_name"]) == (
        False,
        None,
        "ada@example.com",
    )


ALWAYS = "ALTER TABLE generations ENABLE ALWAYS TRIGGER set_updated_at"


@pytest.mark.parametrize(
    ("owner", "trigger"),
    [("company", "SELECT 1"), ("company", ALWAYS), ("postgres", "SELECT 1"), ("postgres", ALWAYS)],
)
def test_the_companys_triggers_do_not_fire_and_are_on_again(supabase: str, owner: str, trigger: str) -> None:
    url = as_user(supabase, owner)
    execute_files(url, [FOLDER / "legacy_older.sql"])
    query(url, trigger)
    state = "SELECT tgname, tgenabled FROM pg_trigger WHERE tgname = 'set_updated_at'"
    before = query(url, state)
    migrate(url)
    assert query(url, state) == before
    assert query(url, "SELECT * FROM touched") == []
    query(url, "UPDATE generations SET prompt = 'x' WHERE task_id = 'task_2'")
    assert len(query(url, "SELECT * FROM touched")) == 1


def test_the_older_database_is_made_to_fit(supabase: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / "legacy_older.sql"])
    migrate(url)
    rows = query(url, "SELECT right(id::text, 1) AS n, * FROM generations ORDER BY id")
    assert [(row["n"], row["status"], row["legacy_status"], row["delivery_state"]) for row in rows] == [
        ("1", "queued", "pending", None),
        ("2", "generating", "processing", "awaiting_provider"),
        ("3", "success", "completed", "awaiting_delivery"),
        ("4", "failed", None, "failed"),
        ("5", "paused", None, None),
        ("6", "success", "completed", "awaiting_delivery"),
    ]
    assert {row["provider"] for row in rows} == {"kie"}
    assert findings(url) == {
        ("status_check_widened", "generations.generations_status_check"),
        ("not_null_dropped", "generations.credits"),
        ("not_null_dropped", "generations.user_id"),
        ("not_null_dropped", "job_costs.cost"),
        ("not_null_dropped", "job_costs.job_id"),
        ("unexpected_type", "generations.created_at"),
        ("unexpected_type", "generations.updated_at"),
        ("unknown_status", "generations.status 'paused'"),
        *(("row_security_enabled", table) for table in ("generations", "jobs", "job_costs")),
        *(("access_kept", f"generations company_app {right}") for right in ("select", "insert", "update")),
        ("storage_policy", "storage.objects"),
    }


def test_our_own_rows_fit_into_the_older_database(supabase: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / "legacy_older.sql"])
    migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO generations"
            " (provider, kind, model, prompt, input, status, delivery_state, request_key)"
            " VALUES ('kie', 'image', 'm', 'p', '{}', 'queued', 'intent', 'k')"
        )
        connection.execute(
            "INSERT INTO job_costs (kind, service, source_key) VALUES ('settle', 'generation', 's')"
        )
        for urls in ('["https://a.example/1"]', "[]"):
            (stored,) = connection.execute(
                "UPDATE generations SET result_urls = (jsonb_populate_record(NULL::generations,"
                " jsonb_build_object('result_urls', CAST(%s AS jsonb)))).result_urls"
                " WHERE request_key = 'k' RETURNING to_jsonb(result_urls)::text",
                (urls,),
            ).fetchall()
            assert stored == (urls,)


@pytest.mark.parametrize("legacy", LEGACY)
def test_every_named_query_fits_the_companys_columns(supabase: str, legacy: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / legacy])
    migrate(url)
    with psycopg.connect(url) as connection:
        for path in sorted((ROOT / "sql" / "queries").glob("*.sql")):
            for query_ in queries.load(path.stem).values():
                connection.execute(_prepare(f"{path.stem}_{query_.name}", query_.sql).encode())


def _prepare(name: str, statement: str) -> str:
    """A PREPARE of a named query; times are sent as aware ones, everything else as the server infers."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}"

    body = re.sub(r"(?<!:):(\w+)", number, statement)
    types = ["timestamptz" if re.fullmatch(r"now|\w+_at|\w*until", name) else "unknown" for name in numbers]
    return f"PREPARE {name}{'(' + ', '.join(types) + ')' if types else ''} AS {body}"


def test_the_companys_app_writes_what_it_wrote_before(supabase: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / "legacy_older.sql"])
    migrate(url)
    with psycopg.connect(as_user(supabase, "company_app")) as app:
        app.execute(
            "INSERT INTO generations (user_id, model, prompt, credits, status, task_id)"
            " VALUES ('a0000000-0000-4000-8000-000000000001', 'flux', 'x', 1, 'processing', 'task_3')"
        )
        app.execute("UPDATE generations SET status = 'completed' WHERE task_id = 'task_2'")
        app.execute("UPDATE generations SET status = 'paused' WHERE task_id = 'task_4'")
        seen = app.execute(
            "SELECT status, delivery_state FROM generations ORDER BY task_id, created_at"
        ).fetchall()
    assert len(seen) == 7
    assert {
        ("processing", "awaiting_provider"),
        ("completed", "awaiting_delivery"),
        ("paused", "failed"),
    } <= set(seen)
    with pytest.raises(psycopg.errors.CheckViolation):
        query(url, "UPDATE generations SET status = 'nonsense'")


def test_a_row_that_may_not_be_changed_does_not_hold_the_others_up(supabase: str) -> None:
    url = as_user(supabase, "company")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE generations (id uuid PRIMARY KEY, status text, task_id text, model text)"
        )
        connection.execute(
            "INSERT INTO generations VALUES ('10000000-0000-4000-8000-000000000001', 'pending', 'a', NULL),"
            " ('10000000-0000-4000-8000-000000000002', 'pending', 'b', 'm')"
        )
        connection.execute("ALTER TABLE generations ADD CHECK (model IS NOT NULL) NOT VALID")
        migrate(url)
        rows = connection.execute("SELECT status, delivery_state FROM generations ORDER BY id").fetchall()
    assert rows == [("pending", None), ("queued", "awaiting_provider")]
    assert ("row_not_followed", "generations 10000000-0000-4000-8000-000000000001") in findings(url)


def test_two_processes_migrate_at_once(supabase: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / "legacy.sql"])
    names = [path.name for path in migration_files()]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(migrate, [url, url])
    assert sorted([*first, *second]) == names
    assert len(query(url, "SELECT * FROM schema_migrations")) == len(names)


def test_others_write_all_the_while(supabase: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / "legacy.sql"])
    started, stop = threading.Event(), threading.Event()

    def write() -> int:
        written = 0
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(
                    "INSERT INTO generations (status, task_id) VALUES ('processing', %s)",
                    (f"live_{written}",),
                )
                connection.execute(
                    "UPDATE generations SET status = 'completed', asset_url = 'https://files.example/x'"
                    " WHERE task_id = %s",
                    (f"live_{written - 1}",),
                )
                written += 1
                started.set()
        return written

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        assert started.wait(20)
        try:
            migrate(url)
        finally:
            stop.set()
        written = writer.result(20)
    states = query(
        url,
        "SELECT delivery_state, count(*) AS n FROM generations WHERE task_id LIKE 'live_%' GROUP BY 1",
    )
    assert {row["delivery_state"]: row["n"] for row in states} == {
        "awaiting_provider": 1,
        "delivered": written - 1,
    }


def test_a_migration_gives_up_rather_than_hold_the_app_up(supabase: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / "legacy.sql"])
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM generations")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrate(url)
    done = [row["name"] for row in query(url, "SELECT name FROM schema_migrations")]
    assert done + migrate(url) == [path.name for path in migration_files()]
