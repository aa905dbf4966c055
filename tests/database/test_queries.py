"""Every named query prepares on a migrated database, on each version of Postgres that is tested."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from core import database, queries
from core.queries import Query
from core.settings import ROOT
from tests.database.cluster import Cluster

DOMAINS = sorted(path.stem for path in (ROOT / "sql" / "queries").glob("*.sql"))
QUERIES = [
    pytest.param(query, id=f"{domain}.{query.name}")
    for domain in DOMAINS
    for query in queries.load(domain).values()
]
ONE = "'11111111-2222-4333-8444-555555555555'"
_BIND = re.compile(r"(?<![:\w]):(\w+)")


def prepared(query: Query) -> str:
    """The query as a PREPARE, its named parameters numbered."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return f"PREPARE checked AS {_BIND.sub(number, query.sql)}"


@pytest.fixture(scope="module")
def migrated(every_cluster: Cluster) -> Iterator[psycopg.Connection]:
    """A connection to a migrated database of each version in turn."""
    name = every_cluster.create()
    database.migrate(every_cluster.url(name), local=True)
    with psycopg.connect(every_cluster.url(name), autocommit=True) as connection:
        yield connection
    every_cluster.drop(name)


@pytest.mark.parametrize("query", QUERIES)
def test_a_named_query_prepares(migrated: psycopg.Connection, query: Query) -> None:
    migrated.execute(prepared(query))
    migrated.execute("DEALLOCATE checked")


@pytest.mark.parametrize("query", QUERIES)
def test_a_named_query_says_what_it_is_for(query: Query) -> None:
    assert query.description.endswith(".")
    assert len(query.description) > 15


def test_the_due_rows_are_found_by_an_index(connection: psycopg.Connection) -> None:
    """What every process asks every second must not read the table."""
    connection.execute("SET enable_seqscan = off")
    for name in ("count_due", "lease_due", "due_without_job"):
        sql = queries.load("deliveries")[name].sql
        for bind, value in (
            ("now", "now()"),
            ("limit", "20"),
            ("lease_until", "now()"),
            ("provider", "'kie'"),
        ):
            sql = re.sub(rf"(?<!:):{bind}\b", value, sql)
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}"))
        assert "generations_due" in plan, name


@pytest.mark.parametrize(
    ("query", "binds", "index"),
    [
        ("by_task", {"task_id": "'t'"}, "generations_task"),
        ("timeline", {"generation_id": ONE, "limit": "500"}, "delivery_events_generation"),
        ("callbacks", {"generation_id": ONE}, "callback_inbox_generation"),
        ("files", {"generation_id": ONE}, "stored_files_generation"),
        ("costs", {"generation_id": ONE}, "job_costs_generation"),
        ("by_request_key", {"request_key": "'k'"}, "generations_request_key"),
        ("needs_person", {"limit": "10"}, "generations_waiting_for_people"),
        ("own_p50", {"model": "'m'"}, "generations_delivery_times"),
    ],
)
def test_a_lookup_has_its_index(
    connection: psycopg.Connection, query: str, binds: dict[str, str], index: str
) -> None:
    connection.execute("SET enable_seqscan = off")
    sql = queries.load("deliveries")[query].sql
    for bind, value in binds.items():
        sql = re.sub(rf"(?<!:):{bind}\b", value, sql)
    plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}"))
    assert index in plan


SPAN = {
    "froms": "ARRAY[now()]",
    "untils": "ARRAY[now()]",
    "since": "now()",
    "until": "now()",
    "signature": "'0123456789ab'",
    "kind": "NULL",
    "before_at": "NULL",
    "before_id": "NULL",
    "timed": "false",
    "limit": "51",
}


@pytest.mark.parametrize(
    ("query", "binds", "index"),
    [
        ("of_a_failure", {"model": "NULL", "states": "ARRAY['failed']"}, "generations_of_failure"),
        (
            "matching",
            {"model": "'m'", "states": "ARRAY['delivered']", "not_delivered": "false"},
            "generations_of_model",
        ),
        (
            "matching",
            {"model": "NULL", "states": "ARRAY['lost']", "not_delivered": "true"},
            "generations_not_delivered",
        ),
    ],
    ids=["of a failure group", "of a model", "that were not delivered"],
)
def test_the_rows_of_a_number_have_their_index(
    connection: psycopg.Connection, query: str, binds: dict[str, str], index: str
) -> None:
    connection.execute("SET enable_seqscan = off")
    sql = queries.load("health")[query].sql
    for bind, value in {**SPAN, **binds}.items():
        sql = re.sub(rf"(?<!:):{bind}\b", value, sql)
    plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}"))
    assert re.findall(r"generations_\w+", plan) == [index]
