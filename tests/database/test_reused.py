"""A database that the next test gets is as the first one got it, whatever a test did to it."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from core import database
from tests.database.reused import Reused

Connection = psycopg.Connection[Any]
OURS = (
    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = %s AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
)


def everything(connection: Connection) -> dict[str, list[Any]]:
    """Every row of every table, and where every sequence stands."""
    asked = {
        name: f"SELECT t::text FROM {name} t ORDER BY 1"
        for (name,) in connection.execute(OURS, ("r",)).fetchall()
    }
    for (name,) in connection.execute(OURS, ("S",)).fetchall():
        asked[name] = f"SELECT last_value, is_called FROM {name}"
    assert len(asked) > 70
    return {name: connection.execute(query).fetchall() for name, query in asked.items()}


@pytest.fixture
def taken(postgres_server: str) -> Iterator[Callable[..., tuple[str, Any]]]:
    """Has a statement run in a database, gives that back and takes the next; its name and all of its rows."""
    reused = Reused(postgres_server)

    def with_done(*statements: str) -> tuple[str, Any]:
        name = reused.take()
        with psycopg.connect(reused.url(name), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
        reused.give_back(name)
        name = reused.take()
        with psycopg.connect(reused.url(name), autocommit=True) as connection:
            found = everything(connection)
        reused.give_back(name)
        return name, found

    yield with_done
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {reused.take()} WITH (FORCE)")


@pytest.mark.parametrize(
    "statement",
    [
        (
            "INSERT INTO generations (prompt, model, kind, status, delivery_state) SELECT 'a', 'b', 'image',"
            " 'failed', 'failed' FROM generate_series(1, 20)"
        ),
        "INSERT INTO lora_models (name, training_status) VALUES ('a', 'failed')",
        ("INSERT INTO audit_log (actor_kind, actor_id, source, action) VALUES ('person', 'a', 'page', 'x')"),
        "UPDATE budget_limits SET limit_usd = limit_usd + 1",
        "DELETE FROM prices",
        "SELECT nextval(oid::regclass) FROM pg_class WHERE relkind = 'S'",
    ],
)
def test_rows_and_sequences_are_as_before(taken: Callable[..., tuple[str, Any]], statement: str) -> None:
    name, before = taken()
    again, after = taken(statement)
    assert again == name
    assert after == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id int)",
        "DROP TABLE delivery_events CASCADE",
        "ALTER TABLE generations ADD COLUMN more int",
        "ALTER TABLE generations ALTER COLUMN prompt SET DEFAULT 'x'",
        "GRANT SELECT ON generations TO PUBLIC",
        (
            "CREATE OR REPLACE FUNCTION public.studio_ops_refuse_lora_delete() RETURNS trigger"
            " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        ),
        "ALTER TABLE lora_models DISABLE TRIGGER USER",
        "TRUNCATE generations",
        "ANALYZE prices",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''8MB''', current_database()); END $$",
        (
            "INSERT INTO generations (prompt, model, kind, status, delivery_state)"
            " SELECT repeat(md5(n::text), 99), 'b', 'image', 'failed', 'lost' FROM generate_series(1, 9000) n"
        ),
    ],
)
def test_one_that_was_changed_in_more_than_its_rows_is_not_used_again(
    taken: Callable[..., tuple[str, Any]], statement: str
) -> None:
    name, before = taken()
    again, after = taken(statement)
    assert again != name
    assert after == before


def test_one_that_was_copied_over_is_not_used_again(postgres_server: str) -> None:
    reused = Reused(postgres_server)
    name = reused.take()
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name}")
        server.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
        reused.give_back(name)
        assert server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall() == []


def test_whoever_is_still_connected_is_sent_away_first(databases: Reused) -> None:
    name = databases.take()
    with psycopg.connect(databases.url(name)) as late:
        late.execute("LOCK TABLE generations")
        databases.give_back(name)
        with pytest.raises(psycopg.OperationalError):
            late.execute("INSERT INTO generations (prompt) VALUES ('late')")


def test_a_test_is_connected_to_its_database(database_url: str) -> None:
    with database.reading() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
    assert database_url.endswith(f"/{name}")
