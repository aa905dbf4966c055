"""What is long over is forgotten in batches; evidence of what is not over stays, however old."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import access, database, queries
from core.alerts import service, views
from core.deliveries import retention
from core.deliveries.models import ACTIVE, DeliveryState
from core.deliveries.retention import Keep

NOW = datetime.now(UTC)
D = timedelta(days=1)
KEEP = Keep(events_from=NOW - 90 * D, callbacks_from=NOW - 30 * D)


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    for table in ("alerts", "generations", "delivery_events", "callback_inbox"):
        sql(f"DELETE FROM {table}")


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def told(state: str | None, age: timedelta, n: int = 3) -> str:
    """A generation at this state with `n` events and a callback of this age; its id."""
    one = str(uuid.uuid4())
    sql("INSERT INTO generations (id, delivery_state, status) VALUES (%s, %s, 'x')", one, state)
    noted(one, age, n)
    return one


def noted(one: str, age: timedelta, n: int = 3) -> None:
    sql(
        "INSERT INTO delivery_events (generation_id, at, kind)"
        " SELECT %s, %s, 'polled' FROM generate_series(1, %s)",
        one,
        NOW - age,
        n,
    )
    sql(
        "INSERT INTO callback_inbox (provider, body_sha256, generation_id, received_at)"
        " VALUES ('kie', %s, %s, %s)",
        uuid.uuid4().hex,
        one,
        NOW - age,
    )


def left(table: str) -> set[str]:
    return {str(row[0]) for row in sql(f"SELECT DISTINCT generation_id FROM {table}")}


def test_only_what_is_old_and_over_goes() -> None:
    over = [told(state, 100 * D) for state in ("delivered", "failed", None)]
    kept = [told(state, 100 * D) for state in (*ACTIVE, "needs_attention", "lost")]
    deleted = str(uuid.uuid4())
    noted(deleted, 100 * D)
    between = told("delivered", 60 * D)
    young = told("delivered", 10 * D)
    assert retention.prune(KEEP, batch=4) == 4 * 3 + (4 + 1)
    assert left("delivery_events") == {*kept, between, young}
    assert left("callback_inbox") == {*kept, young}
    assert not {*over, deleted} & left("delivery_events")
    assert retention.prune(KEEP, batch=4) == 0


def test_every_state_is_over_or_kept() -> None:
    assert {state for state in DeliveryState if state not in ("delivered", "failed")} == {
        *ACTIVE,
        DeliveryState.LOST,
        DeliveryState.NEEDS_ATTENTION,
    }


def test_a_wall_of_kept_rows_hides_nothing_behind_it() -> None:
    told("needs_attention", 200 * D, n=50)
    told("delivered", 150 * D, n=5)
    assert retention.prune(KEEP, batch=10) == 5 + 1


def test_a_run_ends_in_time_and_the_next_goes_on() -> None:
    told("delivered", 100 * D, n=30)
    assert retention.prune(KEEP, batch=10, run_for_s=0) == 10 + 1
    assert retention.prune(KEEP, batch=10) == 20


def test_writers_are_not_held_up() -> None:
    one = told("delivered", 100 * D, n=2_000)
    done = threading.Event()

    def write() -> None:
        for _ in range(50):
            noted(one, timedelta())
            sql("UPDATE generations SET prompt = 'theirs' WHERE id = %s", one)
        done.set()

    writing = threading.Thread(target=write)
    writing.start()
    retention.prune(KEEP, batch=100)
    writing.join(20)
    assert done.is_set()
    assert sql("SELECT count(*) FROM delivery_events")[0][0] == 150


@pytest.mark.parametrize("query", ["prune_events", "prune_callbacks"])
def test_a_batch_reads_no_table(query: str) -> None:
    statement = queries.load("deliveries")[query].sql
    for bind, value in ((":after", "0"), (":size", "5000"), (":before", "now()")):
        statement = statement.replace(bind, value)
    sql("INSERT INTO generations (status, delivery_state) SELECT 'x', 'failed' FROM generate_series(1, 3000)")
    told("delivered", 100 * D, n=20_000)
    sql(
        "INSERT INTO callback_inbox (provider, body_sha256)"
        " SELECT 'kie', n::text FROM generate_series(1, 20000) n"
    )
    sql("ANALYZE generations, delivery_events, callback_inbox")
    with database.transaction() as connection:
        plan = "\n".join(str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {statement}"))
    table = "delivery_events" if query == "prune_events" else "callback_inbox"
    assert f"Index Scan using {table}_pkey" in plan or f"Index Only Scan using {table}_pkey" in plan
    assert "generations_pkey" in plan


def test_resolved_alerts_go_and_what_was_acknowledged_last_stays_known() -> None:
    ada = access.command_line("ada")

    def lose(at: datetime) -> None:
        sql(
            "INSERT INTO generations (delivery_state, status, provider_read_at)"
            " VALUES ('lost', 'failed', %s)",
            at,
        )

    for days in (30, 20):
        lose(NOW - days * D)
        service.watch_deliveries(NOW - (days - 1) * D)
        [alert] = views.waiting(ada)
        service.acknowledge(ada, alert.id, alert.count, "", NOW - (days - 1) * D)
    sql(
        "INSERT INTO alerts (kind, severity, resolved_at)"
        " VALUES ('stuck', 'warning', %s), ('stuck', 'warning', NULL)",
        NOW - 15 * D,
    )
    assert service.prune(NOW - 10 * D) == 2
    kept = sql("SELECT kind, resolved_at FROM alerts ORDER BY kind")
    assert [(row.kind, row.resolved_at) for row in kept] == [
        ("lost_results", NOW - 19 * D),
        ("stuck", None),
    ]
    service.watch_deliveries(NOW)
    assert [alert.kind for alert in views.waiting(ada)] == []
