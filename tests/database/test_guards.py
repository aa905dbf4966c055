"""What is never deleted or changed, not even in SQL, and what is written only once."""

import psycopg
import pytest

USER = "a0000000-0000-4000-8000-000000000001"


def _add_lora(connection: psycopg.Connection, **values: object) -> None:
    columns = {"user_id": USER, "name": "Girl", "training_status": "pending", **values}
    places = ", ".join(["%s"] * len(columns))
    connection.execute(
        f"INSERT INTO lora_models ({', '.join(columns)}) VALUES ({places})".encode(), list(columns.values())
    )


@pytest.fixture
def lora(connection: psycopg.Connection) -> psycopg.Connection:
    """A connection to a database with one pending LoRA and its creator."""
    connection.execute("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@example.com')", (USER,))
    _add_lora(connection)
    return connection


@pytest.mark.parametrize("statement", ["DELETE FROM lora_models", "TRUNCATE lora_models CASCADE"])
def test_a_lora_is_never_deleted(lora: psycopg.Connection, statement: str) -> None:
    with (
        pytest.raises(
            psycopg.errors.RestrictViolation, match=r"never deleted\. Archive it instead"
        ) as caught,
        lora.transaction(),
    ):
        lora.execute(statement.encode())
    assert "hidden_at" in (caught.value.diag.message_hint or "")
    lora.execute("SET session_replication_role = replica")
    with pytest.raises(psycopg.errors.RestrictViolation), lora.transaction():
        lora.execute(statement.encode())


REHEARSED = "5ce9e000-0000-8400-b000-000000000001"
CLEAR = "SELECT studio_ops_clear_rehearsed_loras()"


def _rehearse(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO rehearsals (state, seed, days, begun_at, begun_by) VALUES ('ready', 1, 1, now(), 'Ada')"
    )


def test_a_rehearsals_loras_go_with_it_and_no_other(lora: psycopg.Connection) -> None:
    _add_lora(lora, id=REHEARSED, user_id=None, creator_key="user:x", name="Rehearsed word")
    assert lora.execute(CLEAR).fetchone() == (0,)
    _rehearse(lora)
    assert lora.execute(CLEAR).fetchone() == (1,)
    for table in ("lora_models", "lora_library", "lora_passages"):
        assert lora.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (1,)
    words = lora.execute("SELECT word FROM lora_vocabulary").fetchall()
    assert words == [("girl",)]


@pytest.mark.parametrize(
    "attempt",
    [
        "SELECT set_config('studio_ops.clears_rehearsal', pg_current_xact_id()::text, true)",
        CLEAR,
        "SELECT 1",
    ],
)
def test_no_real_lora_is_deleted_that_way(lora: psycopg.Connection, attempt: str) -> None:
    _rehearse(lora)
    # One whose id looks like a rehearsal's and that is a customer's is none of a rehearsal.
    _add_lora(lora, id=REHEARSED, name="Under a marked id")
    with lora.transaction():
        lora.execute(attempt.encode())
        with pytest.raises(psycopg.errors.RestrictViolation, match="never deleted"), lora.transaction():
            lora.execute("DELETE FROM lora_models")
    assert lora.execute("SELECT count(*) FROM lora_models").fetchone() == (2,)
    # What the function sets is gone with it.
    with lora.transaction():
        lora.execute(CLEAR.encode())
        [(left,)] = lora.execute("SELECT current_setting('studio_ops.clears_rehearsal', true)").fetchall()
        assert left == ""


def test_no_lora_comes_into_a_rehearsal(lora: psycopg.Connection) -> None:
    _rehearse(lora)
    with pytest.raises(psycopg.errors.RestrictViolation, match="never comes into a rehearsal"):
        lora.execute("UPDATE lora_models SET id = %s", (REHEARSED,))


def test_the_remedy_that_the_guard_names_works(lora: psycopg.Connection) -> None:
    lora.execute("UPDATE lora_models SET archived_at = now(), hidden_at = now()")
    assert lora.execute("SELECT name FROM lora_models WHERE archived_at IS NOT NULL").fetchall() == [
        ("Girl",)
    ]


def test_a_lora_keeps_its_creators_name_when_the_user_goes(lora: psycopg.Connection) -> None:
    lora.execute(
        "INSERT INTO lora_training_jobs (lora_model_id, user_id) SELECT id, user_id FROM lora_models"
    )
    lora.execute("DELETE FROM auth.users")
    for table in ("lora_models", "lora_training_jobs"):
        found = lora.execute(f"SELECT user_id, creator_name FROM {table}".encode()).fetchall()
        assert found == [(None, "ada@example.com")]


def test_nobody_writes_under_another_creators_name(lora: psycopg.Connection) -> None:
    _add_lora(lora, name="Boy", creator_name="boss@example.com")
    lora.execute("UPDATE lora_models SET creator_name = 'boss@example.com'")
    assert lora.execute("SELECT DISTINCT creator_name FROM lora_models").fetchall() == [("ada@example.com",)]


def test_a_pending_lora_has_no_file_and_a_completed_one_has(lora: psycopg.Connection) -> None:
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="lora_models_stored_when_completed"),
        lora.transaction(),
    ):
        lora.execute(
            "UPDATE lora_models SET training_status = 'completed', storage_path = 'a', storage_url = 'b'"
        )
    lora.execute(
        "UPDATE lora_models"
        " SET training_status = 'completed', storage_path = 'a', storage_url = 'b', file_size = 1"
    )


def test_a_users_loras_have_different_names(lora: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), lora.transaction():
        _add_lora(lora)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET reason = ''", "DELETE FROM audit_log WHERE false", "TRUNCATE audit_log"],
)
def test_the_audit_log_only_grows(connection: psycopg.Connection, statement: str) -> None:
    connection.execute("INSERT INTO audit_log (action, reason) VALUES ('did', 'because')")
    for role in ("origin", "replica"):
        connection.execute(f"SET session_replication_role = {role}".encode())
        with (
            pytest.raises(psycopg.errors.RestrictViolation, match="never changed or deleted"),
            connection.transaction(),
        ):
            connection.execute(statement.encode())
    assert connection.execute("SELECT reason FROM audit_log").fetchall() == [("because",)]


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("generations", "request_key", "'nonce'"),
        ("job_costs", "source_key", "'line'"),
        ("callback_inbox", "provider, body_sha256", "'kie', 'abc'"),
        ("job_runs", "job, slot", "'poll', '2026-01-01Z'"),
        ("stored_files", "bucket, path, bytes, sha256, content_type, url", "'b', 'p', 1, 'x', 'y', 'z'"),
    ],
)
def test_what_is_written_once(connection: psycopg.Connection, table: str, columns: str, values: str) -> None:
    statement = f"INSERT INTO {table} ({columns}) VALUES ({values})".encode()
    connection.execute(statement)
    with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
        connection.execute(statement)


def test_lines_without_a_source_are_not_one_line(connection: psycopg.Connection) -> None:
    for _ in range(2):
        connection.execute("INSERT INTO job_costs (service) VALUES ('runpod')")
        connection.execute("INSERT INTO generations (prompt) VALUES ('x')")
    for table, where in (("job_costs", "service = 'runpod'"), ("generations", "prompt = 'x'")):
        assert connection.execute(f"SELECT count(*) FROM {table} WHERE {where}".encode()).fetchone() == (2,)


def test_what_is_due_is_found_by_its_index(connection: psycopg.Connection) -> None:
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute(
        "EXPLAIN SELECT id FROM generations"
        " WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')"
        " AND next_attempt_at <= now() ORDER BY attempt_priority, next_attempt_at LIMIT 10"
    ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "generations_due" in text
    assert "Sort" not in text
