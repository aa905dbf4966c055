"""The migrations on every kind of database that they meet, on every version of Postgres."""

from collections.abc import Iterator
from importlib.resources import files

import psycopg
import pytest

from core.database import BOOTSTRAP, migrate
from tests.database.cluster import Cluster
from tests.database.conftest import NEWEST, VERSIONS, Clusters
from tests.database.scenarios import (
    FOLDER,
    LEGACY,
    as_user,
    execute_files,
    findings,
    make_supabase_like,
    migration_files,
    paste_into_psql,
    query,
    snapshot,
    structure,
)

ALL = [path.name for path in migration_files()]
STORAGE_REFUSED = {("storage_policy", "storage.objects")}


@pytest.fixture
def empty(every_cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database, on each version."""
    with every_cluster.database() as url:
        yield url


@pytest.fixture
def supabase(empty: str) -> str:
    """The URL of a Supabase-like database, for its superuser."""
    make_supabase_like(empty)
    return empty


def test_the_two_versions_of_the_wheel_are_always_tried() -> None:
    assert {"16", "18"} <= set(VERSIONS)


def test_an_empty_postgres_is_migrated_once(empty: str) -> None:
    assert migrate(empty, local=True) == ALL
    assert findings(empty) == set()
    assert migrate(empty, local=True) == []


def test_a_plain_postgres_without_supabases_roles(clusters: Clusters) -> None:
    with clusters(NEWEST, "bare").database() as url:
        assert migrate(url) == ALL
        found = findings(url)
        assert {code for code, _ in found} == {"no_reference", "no_service_role", "no_authenticated_role"}
        assert ("no_reference", "generations.user_id") in found
        policies = query(url, "SELECT * FROM pg_policies")
        assert policies == []
        query(url, "INSERT INTO generations (status, task_id) VALUES ('queued', 't')")


@pytest.mark.parametrize("owner", ["company", "company_bypassing"])
def test_a_supabase_like_database_and_a_role_that_is_no_superuser(supabase: str, owner: str) -> None:
    url = as_user(supabase, owner)
    assert migrate(url) == ALL
    assert findings(supabase) == STORAGE_REFUSED
    remedy = query(supabase, "SELECT remedy FROM migration_findings")[0]["remedy"]
    command = remedy[remedy.index("CREATE POLICY") :]
    query(supabase, command)
    execute_files(url, migration_files())
    assert findings(supabase) == set()


def test_the_storage_policy_where_our_role_may_make_it(supabase: str) -> None:
    query(supabase, "GRANT supabase_storage_admin TO company")
    try:
        assert migrate(as_user(supabase, "company")) == ALL
    finally:
        query(supabase, "REVOKE supabase_storage_admin FROM company")
    assert findings(supabase) == set()
    policies = query(supabase, "SELECT policyname, roles, cmd FROM pg_policies WHERE tablename = 'objects'")
    assert policies == [
        {"policyname": "Service can manage all generation files", "roles": ["service_role"], "cmd": "ALL"}
    ]


@pytest.mark.parametrize("legacy", LEGACY)
def test_existing_rows_survive_unchanged(supabase: str, legacy: str) -> None:
    url = as_user(supabase, "company")
    execute_files(url, [FOLDER / legacy])
    before = snapshot(supabase)

    assert migrate(url) == ALL
    once, said = snapshot(supabase), structure(supabase)
    for table, rows in before.items():
        assert once[table].keys() == rows.keys()
        for key, row in rows.items():
            now = once[table][key]
            if table == "generations" and now["legacy_status"] is not None:
                assert now["legacy_status"] == row["status"]
                row = {**row, "status": now["status"]}
            assert {name: now[name] for name in row} == row

    execute_files(url, migration_files())
    assert snapshot(supabase) == once
    assert structure(supabase) == said


@pytest.mark.parametrize("legacy", [None, *LEGACY])
def test_pasted_by_hand_gives_what_the_runner_gives(every_cluster: Cluster, legacy: str | None) -> None:
    with every_cluster.database() as pasted, every_cluster.database() as run:
        for url in (pasted, run):
            make_supabase_like(url)
            if legacy:
                execute_files(as_user(url, "company"), [FOLDER / legacy])
        before = snapshot(pasted)
        assert paste_into_psql(as_user(pasted, "company"), migration_files()) == ""
        migrate(as_user(run, "company"))

        assert structure(pasted) == structure(run)
        after = snapshot(pasted)
        assert {table: after[table].keys() for table in before} == {
            table: rows.keys() for table, rows in before.items()
        }
        assert migrate(as_user(pasted, "company")) == ALL
        assert snapshot(pasted) == after
        assert structure(pasted) == structure(run)


def test_a_status_column_of_an_enum_type(supabase: str) -> None:
    url = as_user(supabase, "company")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TYPE status AS ENUM ('pending', 'completed', 'failed', 'odd')")
        connection.execute(
            "CREATE TABLE generations"
            " (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status status, task_id text)"
        )
        connection.execute(
            "INSERT INTO generations (status, task_id)"
            " VALUES ('pending', 'a'), ('completed', 'b'), ('odd', 'c')"
        )
        assert migrate(url) == ALL
        rows = connection.execute(
            "SELECT task_id, status::text, legacy_status, delivery_state FROM generations ORDER BY task_id"
        ).fetchall()
        connection.execute("INSERT INTO generations (status, task_id) VALUES ('pending', 'd')")
        (new,) = connection.execute(
            "SELECT status::text, delivery_state FROM generations WHERE task_id = 'd'"
        ).fetchall()
    assert rows == [
        ("a", "queued", "pending", "awaiting_provider"),
        ("b", "success", "completed", "awaiting_delivery"),
        ("c", "odd", None, None),
    ]
    assert new == ("pending", "awaiting_provider")


def test_a_model_column_of_an_enum_type(supabase: str) -> None:
    url = as_user(supabase, "company")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TYPE model AS ENUM ('x/y', 'kling')")
        connection.execute(
            "CREATE TABLE generations"
            " (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), model model, status text)"
        )
        assert migrate(url) == ALL
        assert ("no_index", "generations.model") in findings(supabase)
        connection.execute("INSERT INTO generations (status, model) VALUES ('failed', 'kling')")
        marks = connection.execute("SELECT kind, model, stand, n FROM delivery_dirty_hours").fetchall()
    assert marks == [("video", "kling", "failed", 1)]


def test_generations_with_another_kind_of_id_are_refused_with_a_sentence(supabase: str) -> None:
    url = as_user(supabase, "company")
    query(url, "CREATE TABLE generations (id bigint PRIMARY KEY)")
    with pytest.raises(psycopg.errors.RaiseException, match=r"generations\.id is bigint, and .* needs uuid"):
        migrate(url)


def test_tables_of_somebody_else_are_refused_with_a_sentence(supabase: str) -> None:
    query(as_user(supabase, "company"), "CREATE TABLE jobs (id uuid PRIMARY KEY)")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match=r"public\.jobs belongs to company"
    ) as caught:
        migrate(as_user(supabase, "company_bypassing"))
    assert caught.value.diag.message_hint == "Run the migrations as company, or as a member of it."


def test_the_queues_schema_is_the_installed_packages_own() -> None:
    text = next(path for path in migration_files() if path.name == "0009_job_queue.sql").read_text()
    body = text.split("EXECUTE $schema$\n")[1].split("$schema$;")[0]
    assert body == (files("procrastinate") / "sql" / "schema.sql").read_text()


def test_an_existing_queue_is_left_alone(empty: str) -> None:
    execute_files(empty, sorted(BOOTSTRAP.glob("*.sql")))
    query(empty, (files("procrastinate") / "sql" / "schema.sql").read_text())
    query(empty, "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('theirs', 'theirs')")
    migrate(empty)
    assert len(query(empty, "SELECT * FROM procrastinate_jobs")) == 1
