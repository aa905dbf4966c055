"""Row-level security, tried by logging in as a user, a visitor, the app and the company's own login."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from core.database import migrate
from tests.database.cluster import Cluster
from tests.database.scenarios import COMPANYS, FOLDER, as_user, execute_files, make_supabase_like, query

ADA = "a0000000-0000-4000-8000-000000000001"
BO = "a0000000-0000-4000-8000-000000000002"
OURS = (
    "delivery_events", "callback_inbox", "stored_files", "job_runs", "process_heartbeats", "provider_limits",
    "audit_log", "migration_findings", "schema_migrations", "procrastinate_jobs", "procrastinate_events",
    "procrastinate_workers", "procrastinate_periodic_defers", "storage_usage", "rehearsals", "alerts",
    "delivery_rollup", "delivery_dirty_hours", "delivery_rollup_state", "budget_totals", "budget_limits",
    "prices", "training_images", "training_zips", "training_image_downloads", "training_drawings",
    "training_calls", "training_stages", "training_log", "training_events", "training_webhooks",
    "lora_library", "lora_passages", "lora_vocabulary", "lora_ratings", "lora_reports",
    "lora_standing", "lora_versions",
    "lora_uses", "lora_uses_daily", "lora_weight_proofs", "lora_library_totals", "lora_requests",
    "cost_changes", "cost_rollup", "cost_fold_state", "budget_overrides", "credit_rates", "provider_balances",
    "notifications", "notification_choices", "orphan_pods", "staff", "staff_sessions",
    "job_pauses", "work_takeovers", "check_results", "page_visits",
    "request_allowances", "resync_plans", "resync_items", "failure_groups",
)  # fmt: skip
ROWS = f"""
INSERT INTO auth.users (id, email) VALUES ('{ADA}', 'ada@example.com'), ('{BO}', 'bo@example.com');
INSERT INTO generations (user_id, prompt) VALUES ('{ADA}', 'ada'), ('{BO}', 'bo'), (NULL, 'nobody');
INSERT INTO jobs (user_id, status) VALUES ('{ADA}', 'ada'), ('{BO}', 'bo');
INSERT INTO lora_models (user_id, name, training_status, is_private, hidden_at) VALUES
    ('{ADA}', 'ada shared', 'pending', false, NULL), ('{ADA}', 'ada private', 'pending', true, NULL),
    ('{ADA}', 'ada hidden', 'pending', false, now()),
    ('{BO}', 'bo shared', 'pending', false, NULL), ('{BO}', 'bo private', 'pending', true, NULL),
    ('{BO}', 'bo hidden', 'pending', false, now());
INSERT INTO lora_training_jobs (user_id, lora_model_id) SELECT user_id, id FROM lora_models;
INSERT INTO user_training_limits (user_id) VALUES ('{ADA}'), ('{BO}');
INSERT INTO job_costs (service) VALUES ('kie');
INSERT INTO storage.buckets (id, name) VALUES ('generations', 'generations'), ('other', 'other');
INSERT INTO storage.objects (bucket_id, name) VALUES ('generations', 'a.jpg'), ('other', 'b.jpg');
"""


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> str:
    """The name of a migrated Supabase-like database with rows of two users."""
    name = cluster.create()
    url = cluster.url(name)
    make_supabase_like(url)
    query(url, "GRANT supabase_storage_admin TO company")
    migrate(as_user(url, "company"))
    query(url, "REVOKE supabase_storage_admin FROM company")
    with psycopg.connect(url) as connection:
        connection.execute(ROWS.encode())
    return name


@pytest.fixture
def url(cluster: Cluster, template: str) -> Iterator[str]:
    """The superuser's URL of a copy of it."""
    with cluster.database(template) as url:
        yield url


def as_ada(url: str) -> str:
    """The URL by which Ada's requests come, with her id in the token's claims."""
    return f"{as_user(url, 'rls_user')}?options={quote(f'-c request.jwt.claim.sub={ADA}')}"


def names(url: str, table: str, column: str) -> list[Any]:
    """One column of the rows that a login sees."""
    return [row["name"] for row in query(url, f"SELECT {column} AS name FROM {table} ORDER BY 1")]


def test_a_user_sees_and_makes_only_own_generations(url: str) -> None:
    ada = as_ada(url)
    assert names(ada, "generations", "prompt") == ["ada"]
    query(
        ada,
        f"INSERT INTO generations (user_id, prompt, status, task_id) VALUES ('{ADA}', 'new', 'queued', 't')",
    )
    assert names(ada, "generations", "delivery_state") == ["awaiting_provider", None]
    for owner in (f"'{BO}'", "NULL"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            query(ada, f"INSERT INTO generations (user_id, prompt) VALUES ({owner}, 'forged')")


def test_a_user_changes_no_generation(url: str) -> None:
    query(as_ada(url), "UPDATE generations SET prompt = 'changed'")
    query(as_ada(url), "DELETE FROM generations")
    assert names(url, "generations", "prompt") == ["ada", "bo", "nobody"]


def test_the_claims_of_a_token_count_too(url: str) -> None:
    claims = quote(f'-c request.jwt.claims={{"sub":"{BO}"}}')
    assert names(f"{as_user(url, 'rls_user')}?options={claims}", "generations", "prompt") == ["bo"]


def test_a_user_without_a_token_and_a_visitor_see_nothing(url: str) -> None:
    for login in ("rls_user", "rls_visitor"):
        assert names(as_user(url, login), "generations", "prompt") == []
    assert names(as_user(url, "rls_visitor"), "lora_models", "name") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(as_user(url, "rls_visitor"), "INSERT INTO generations (prompt) VALUES ('x')")


def test_a_user_sees_shared_loras_and_own_ones(url: str) -> None:
    assert names(as_ada(url), "lora_models", "name") == [
        "ada hidden",
        "ada private",
        "ada shared",
        "bo shared",
    ]


def test_a_user_changes_what_is_theirs_to_change_of_own_loras_alone(url: str) -> None:
    ada = as_ada(url)
    query(
        ada, "UPDATE lora_models SET description = 'mine', tags = ARRAY[' Sea'], is_private = NOT is_private"
    )
    changed = "SELECT name, tags, is_private FROM lora_models WHERE description = 'mine' ORDER BY name"
    assert [(row["name"], row["tags"], row["is_private"]) for row in query(url, changed)] == [
        ("ada private", ["sea"], False),
        ("ada shared", ["sea"], True),
    ]
    query(ada, "UPDATE lora_models SET name = 'ada renamed' WHERE name = 'ada shared'")
    listed = query(url, "SELECT name_key FROM lora_library WHERE NOT is_listed ORDER BY 1")
    assert [row["name_key"] for row in listed] == ["ada hidden", "ada renamed", "bo hidden", "bo private"]


CLOSED = {
    "hidden_at": "NULL", "archived_at": "now()", "user_id": f"'{BO}'", "usage_count": "9", "file_size": "1",
    "storage_path": "'x'", "storage_url": "'x'", "training_status": "'failed'", "training_cost": "0",
    "id": "id", "validation_passed": "true",
    "creator_name": "'x'", "creator_key": "'staff:x'", "weights_sha256": "'x'",
    "huggingface_url": "'x'", "created_at": "now()", "base_model": "'x'", "counted_at": "NULL",
}  # fmt: skip


@pytest.mark.parametrize("column", CLOSED)
def test_a_user_changes_nothing_else_of_a_lora(url: str, column: str) -> None:
    for login in (as_ada(url), as_user(url, "rls_visitor")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            query(login, f"UPDATE lora_models SET {column} = {CLOSED[column]}")
    query(as_user(url, "rls_app"), f"UPDATE lora_models SET {column} = {column}")


def test_a_user_enters_an_own_lora_and_never_says_where_its_file_lies(url: str) -> None:
    ada = as_ada(url)
    insert = "INSERT INTO lora_models (user_id, name, training_status{}) VALUES ('{}', 'new', 'pending'{})"
    query(ada, insert.format("", ADA, ""))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        query(ada, insert.format("", BO, ""))
    for column in ("storage_path", "usage_count", "hidden_at", "creator_key", "weights_sha256"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            query(ada, insert.format(f", {column}", ADA, ", NULL"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(as_user(url, "rls_visitor"), insert.format("", ADA, ""))


def test_nobody_deletes_a_lora(url: str) -> None:
    for login in (as_ada(url), as_user(url, "rls_visitor")):
        for statement in ("DELETE FROM lora_models", "TRUNCATE lora_models"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                query(login, statement)
    with pytest.raises(psycopg.errors.RestrictViolation, match="Archive it instead"):
        query(as_user(url, "rls_app"), "DELETE FROM lora_models")


def test_two_users_see_what_the_other_shares(url: str) -> None:
    bo = f"{as_user(url, 'rls_user')}?options={quote(f'-c request.jwt.claim.sub={BO}')}"
    assert names(bo, "lora_models", "name") == ["ada shared", "bo hidden", "bo private", "bo shared"]
    query(as_ada(url), "UPDATE lora_models SET is_private = true WHERE name = 'ada shared'")
    assert names(bo, "lora_models", "name") == ["bo hidden", "bo private", "bo shared"]
    query(bo, "UPDATE lora_models SET description = 'bo was here'")
    found = query(
        url, "SELECT count(*) AS n FROM lora_models WHERE description = 'bo was here' AND name LIKE 'ada%'"
    )
    assert found == [{"n": 0}]


def test_a_user_sees_own_runs_limits_and_jobs_and_no_costs(url: str) -> None:
    ada = as_ada(url)
    assert len(names(ada, "lora_training_jobs", "id")) == 3
    assert len(names(ada, "user_training_limits", "user_id")) == 1
    assert names(ada, "jobs", "status") == ["ada"]
    assert names(ada, "job_costs", "service") == []


@pytest.mark.parametrize("table", OURS)
def test_our_own_tables_are_for_the_service_role_alone(url: str, table: str) -> None:
    for login in (as_ada(url), as_user(url, "rls_visitor"), as_user(url, "company_app")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            query(login, f"SELECT * FROM {table}")
    query(as_user(url, "rls_app"), f"SELECT * FROM {table}")


def test_the_app_sees_and_writes_everything(url: str) -> None:
    app = as_user(url, "rls_app")
    for table in (*COMPANYS, "schema_migrations"):
        (everything,) = query(url, f"SELECT count(*) AS n FROM {table}")
        assert query(app, f"SELECT count(*) AS n FROM {table}") == [everything]
        assert everything["n"] > 0
    query(app, "UPDATE generations SET delivery_state = 'lost' WHERE user_id IS NULL")
    query(app, "INSERT INTO audit_log (action) VALUES ('did')")
    query(app, "INSERT INTO callback_inbox (provider, body_sha256) VALUES ('kie', 'x')")
    query(app, "INSERT INTO delivery_events (generation_id, kind) SELECT id, 'created' FROM generations")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(app, "DELETE FROM audit_log")


def test_the_app_works_the_queue(url: str) -> None:
    app = as_user(url, "rls_app")
    query(app, "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 't')")
    worker = query(app, "SELECT worker_id FROM procrastinate_register_worker_v1()")[0]["worker_id"]
    job = query(app, f"SELECT id FROM procrastinate_fetch_job_v2(NULL, {worker})")[0]["id"]
    query(app, f"SELECT procrastinate_finish_job_v1({job}, 'succeeded', false)")
    events = query(app, "SELECT type::text FROM procrastinate_events ORDER BY id")
    assert [row["type"] for row in events] == ["deferred", "started", "succeeded"]
    for login in (as_ada(url), as_user(url, "rls_visitor")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(login, "SELECT procrastinate_register_worker_v1()")


def test_the_app_manages_the_files_of_generations(url: str) -> None:
    app = as_user(url, "rls_app")
    assert names(app, "storage.objects", "name") == ["a.jpg"]
    query(app, "INSERT INTO storage.objects (bucket_id, name) VALUES ('generations', 'c.jpg')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(app, "INSERT INTO storage.objects (bucket_id, name) VALUES ('other', 'c.jpg')")
    assert names(as_ada(url), "storage.objects", "name") == []


def test_every_table_is_guarded_and_open_to_the_service_role_by_name(url: str) -> None:
    tables = query(
        url,
        """SELECT c.relname, c.relrowsecurity, p.roles FROM pg_class c
           LEFT JOIN pg_policies p ON p.tablename = c.relname AND p.schemaname = 'public'
                                  AND p.policyname = 'Service can manage all ' || c.relname
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'""",
    )
    assert {row["relname"] for row in tables} == {*COMPANYS, *OURS}
    assert all(row["relrowsecurity"] and row["roles"] == ["service_role"] for row in tables)
    assert query(url, "SELECT * FROM pg_policies WHERE 'public' = ANY (roles)") == []


def test_the_documents_open_policies_are_closed(cluster: Cluster) -> None:
    with cluster.database() as url:
        make_supabase_like(url)
        execute_files(as_user(url, "company"), [FOLDER / "legacy.sql"])
        query(as_user(url, "company"), "GRANT SELECT, UPDATE ON generations TO company_app, authenticated")
        query(
            as_user(url, "company"),
            "CREATE POLICY all_see ON generations FOR SELECT TO company_app USING (true)",
        )
        forge = "UPDATE generations SET prompt = 'forged' WHERE task_id = 'task_3' RETURNING 1"
        query(as_user(url, "company"), "CREATE POLICY open ON generations FOR SELECT USING (true)")
        assert query(as_ada(url), forge), "the documents' policy lets anyone update"

        migrate(as_user(url, "company"))
        assert query(as_ada(url), forge) == []
        assert query(as_user(url, "company_app"), forge), "the company's own login keeps what it had"
        found = query(url, "SELECT code, object, is_open FROM migration_findings WHERE migration = 10")
        assert sorted((row["code"], row["object"], row["is_open"]) for row in found) == [
            ("access_kept", "generations company_app update", False),
            ("open_policy", "generations open", True),
            ("policy_closed", "generations Service can update all generations", False),
            ("policy_closed", "lora_models All users can view all LoRAs", False),
            ("row_security_enabled", "job_costs", False),
            ("row_security_enabled", "jobs", False),
            ("row_security_enabled", "lora_training_jobs", False),
            ("row_security_enabled", "user_training_limits", False),
        ]
