"""The databases that the migrations must work on, and what is compared before and after."""

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from core.database import BOOTSTRAP, MIGRATIONS

FOLDER = Path(__file__).parent
LEGACY = ("legacy.sql", "legacy_older.sql")
COMPANYS = ("generations", "lora_models", "lora_training_jobs", "user_training_limits", "jobs", "job_costs")

Rows = dict[str, dict[str, dict[str, Any]]]


def migration_files() -> list[Path]:
    """Every migration, in order."""
    return sorted(MIGRATIONS.glob("*.sql"))


def execute_files(url: str, paths: Iterable[Path]) -> None:
    """Execute each file's whole text at once, as an SQL editor does."""
    with psycopg.connect(url, autocommit=True) as connection:
        for path in paths:
            connection.execute(path.read_bytes())


def paste_into_psql(url: str, paths: Sequence[Path]) -> str:
    """Feed each file to psql, a statement at a time, in a session of its own; what it printed as errors and
    warnings."""
    psql = shutil.which("psql")
    if psql is None:
        execute_files(url, paths)
        return ""
    anew = [part for path in paths for part in ("--command=\\connect", f"--file={path}")]
    done = subprocess.run(
        [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *anew, url],
        env={"PGCLIENTENCODING": "UTF8", "PGOPTIONS": "-c client_min_messages=warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def make_supabase_like(url: str) -> None:
    """Give an empty database what Supabase has, owned by other roles than the migrating one."""
    execute_files(url, [*sorted(BOOTSTRAP.glob("*.sql")), FOLDER / "supabase.sql"])


def as_user(url: str, user: str) -> str:
    """`url` for another login."""
    return url.replace("postgres@", f"{user}@", 1)


def query(url: str, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    """The rows of one statement in a transaction of its own."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def findings(url: str) -> set[tuple[str, str]]:
    """Code and object of every finding."""
    return {(row["code"], row["object"]) for row in query(url, "SELECT code, object FROM migration_findings")}


def snapshot(url: str) -> Rows:
    """Every row of the company's tables, by table and key, each value as JSON."""
    rows: Rows = {}
    with psycopg.connect(url) as connection:
        for table in COMPANYS:
            known = connection.execute("SELECT to_regclass(%s)", (f"public.{table}",)).fetchone()
            if known == (None,):
                continue
            found = connection.execute(
                sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier("public", table))
            ).fetchall()
            rows[table] = {str(row.get("id") or row["user_id"]): row for (row,) in found}
    return rows


_CATALOG = {
    "columns": """SELECT table_name, column_name, data_type, is_nullable, column_default
                  FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """SELECT conrelid::regclass::text AS table_name, conname, convalidated,
                             pg_get_constraintdef(oid) AS definition
                      FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "policies": "SELECT * FROM pg_policies WHERE schemaname IN ('public', 'storage')",
    "triggers": """SELECT tgrelid::regclass::text AS table_name, tgname, tgenabled,
                          pg_get_triggerdef(oid) AS definition FROM pg_trigger WHERE NOT tgisinternal""",
    "functions": """SELECT oid::regprocedure::text AS name, prosrc, prosecdef, proconfig::text, proacl::text
                    FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "grants": """SELECT relname, relrowsecurity, relacl::text FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace""",
    "findings": "SELECT migration, code, object, message, remedy, row_count, is_open FROM migration_findings",
}


def structure(url: str) -> dict[str, list[str]]:
    """Everything that the migrations make, comparable; the runner's own table is left out."""
    with psycopg.connect(url) as connection:
        return {
            name: sorted(
                str(row)
                for row in connection.execute(statement.encode()).fetchall()
                if "schema_migrations" not in str(row)
            )
            for name, statement in _CATALOG.items()
        }
