"""Guarded statements: who does not hold a row changes nothing, and nothing is written twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import database
from core.deliveries.models import DeliveryState, Event, EventKind, Generation, StoredFile
from core.deliveries.repository import SQL, events_json, files_json, find
from tests.database import ledger
from tests.database.shared import shared_database

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture(scope="module")
def _connected(postgres_server: str) -> Iterator[str]:
    with shared_database(postgres_server) as url:
        yield url


@pytest.fixture
def rows(_connected: str) -> None:
    """A migrated database without a row."""
    database.connect(_connected)
    for table in ("generations", "delivery_events", "stored_files"):
        sql(f"DELETE FROM {table}")
    ledger.empty(sql)


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def insert(**columns: Any) -> UUID:
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    return UUID(
        str(sql(f"INSERT INTO generations ({names}) VALUES ({marks}) RETURNING id", *columns.values())[0][0])
    )


def row(generation_id: UUID) -> Generation:
    with database.reading() as connection:
        found = find(connection, generation_id)
    assert found is not None
    return found


FILE = StoredFile("generations", "a/b.jpg", 0, 5, "ab" * 32, "image/jpeg", "/files/generations/a/b.jpg?sig=x")
Change = Callable[[Any, UUID, UUID], Any]


def _event() -> str:
    return events_json(Event(EventKind.POLLED))


GUARDED: dict[str, Change] = {
    "polled": lambda c, one, token: SQL["polled"].run(
        c,
        id=one,
        token=token,
        now=NOW,
        seen_next_attempt_at=NOW,
        provider_state="x",
        status="generating",
        next_attempt_at=NOW,
        events=_event(),
        request_id=None,
    ),
    "ready": lambda c, one, token: SQL["ready"].run(
        c,
        id=one,
        token=token,
        now=NOW,
        provider_state="x",
        result_expires_at=NOW,
        provider_ms=4000,
        result_urls="[]",
        events=_event(),
        costs="[]",
        request_id=None,
    ),
    "delivered": lambda c, one, token: SQL["delivered"].run(
        c,
        id=one,
        token=token,
        now=NOW,
        asset_url=FILE.url,
        files=files_json([FILE]),
        events=_event(),
        request_id=None,
    ),
    "retry_download": lambda c, one, token: SQL["retry_download"].run(
        c,
        id=one,
        token=token,
        now=NOW,
        next_attempt_at=NOW,
        category="x",
        code="x",
        message="x",
        link_renewed=False,
    ),
    "end": lambda c, one, token: SQL["end"].run(
        c,
        id=one,
        seen_next_attempt_at=NOW,
        token=token,
        now=NOW,
        state="failed",
        status="failed",
        provider_state="x",
        category="x",
        code="x",
        message="x",
        from_states=[state.value for state in DeliveryState],
    ),
    "release": lambda c, one, token: SQL["release"].run(
        c, id=one, token=token, now=NOW, seen_next_attempt_at=NOW, next_attempt_at=NOW
    ),
    "renew_lease": lambda c, one, token: SQL["renew_lease"].run(c, id=one, token=token, lease_until=NOW),
}


@contextmanager
def unchanged() -> Iterator[None]:
    tables = ("generations", "delivery_events", "stored_files", "job_costs")
    before = [sql(f"SELECT to_jsonb(t) FROM {table} t") for table in tables]
    yield
    assert [sql(f"SELECT to_jsonb(t) FROM {table} t") for table in tables] == before


@pytest.mark.parametrize("name", GUARDED)
def test_without_the_rows_lease_nothing_is_recorded(rows: None, name: str) -> None:
    for state in ("awaiting_provider", "awaiting_delivery"):
        one = insert(status="generating", task_id="task_1", delivery_state=state, lease_token=TOKEN)
        with unchanged(), database.transaction() as connection:
            GUARDED[name](connection, one, uuid4())


def test_a_lease_is_taken_only_from_nobody(rows: None) -> None:
    one = insert(status="generating", task_id="task_1")

    def lease(now: datetime) -> Any:
        with database.transaction() as connection:
            return SQL["lease"].first(
                connection,
                id=one,
                now=now,
                token=uuid4(),
                lease_until=now + timedelta(seconds=60),
                states=["awaiting_provider"],
            )

    assert lease(NOW) is not None
    assert lease(NOW + timedelta(seconds=59)) is None
    assert lease(NOW + timedelta(seconds=60)) is not None


def test_a_delivered_row_is_leased_by_nobody(rows: None) -> None:
    one = insert(status="success", asset_url="https://cdn/x.jpg", task_id="task_1")
    with database.transaction() as connection:
        assert (
            SQL["lease"].first(
                connection,
                id=one,
                now=NOW,
                token=TOKEN,
                lease_until=NOW,
                states=["awaiting_provider", "intent"],
            )
            is None
        )


def test_due_rows_come_most_urgent_first_and_no_more_than_asked_for(rows: None) -> None:
    wanted = []
    for priority, minutes in ((2, 9), (0, 1), (2, 10), (1, 5), (3, 60)):
        due = NOW - timedelta(minutes=minutes)
        wanted.append(
            (
                priority,
                due,
                insert(status="generating", task_id="t", attempt_priority=priority, next_attempt_at=due),
            )
        )
    insert(status="generating", task_id="later", next_attempt_at=NOW + timedelta(seconds=1))
    insert(status="generating", task_id="held", next_attempt_at=NOW, lease_until=NOW + timedelta(seconds=1))
    insert(status="generating", task_id="fal", provider="fal", next_attempt_at=NOW)
    with database.transaction() as connection:
        assert SQL["count_due"].one(connection, provider="kie", now=NOW, limit=100)["due"] == 5
        assert SQL["count_due"].one(connection, provider="kie", now=NOW, limit=3)["due"] == 3
        wish = {
            "provider": "kie",
            "now": NOW,
            "lease_until": NOW + timedelta(minutes=1),
            "limit": 4,
        }
        leased = SQL["lease_due"].all(connection, **wish)
        rest = SQL["lease_due"].all(connection, **wish)
    assert {item["id"] for item in leased} == {one for _, _, one in sorted(wanted)[:4]}
    assert len({item["lease_token"] for item in leased}) == 4
    assert [item["id"] for item in rest] == [sorted(wanted)[4][2]]


def test_the_files_of_a_delivery_stored_twice_are_listed_once(rows: None) -> None:
    one = insert(status="generating", task_id="t", delivery_state="awaiting_delivery", lease_token=TOKEN)
    for _ in range(2):
        with database.transaction() as connection:
            GUARDED["delivered"](connection, one, TOKEN)
        sql("UPDATE generations SET delivery_state = 'awaiting_delivery', lease_token = %s", TOKEN)
    with database.reading() as connection:
        [kept] = SQL["files"].all(connection, generation_id=one)
    assert (kept["path"], kept["bytes"], kept["n"]) == (FILE.path, 5, 0)


def test_what_a_task_cost_is_written_once_however_often_it_is_ready(rows: None) -> None:
    one = insert(status="generating", task_id="task_1", delivery_state="awaiting_provider", lease_token=TOKEN)
    line = (
        '[{"quantity": "5", "unit": "credit", "unit_price": "0.005", "price_version": "v",'
        ' "amount_usd": "0.0250", "source_key": "kie:task_1"}]'
    )
    for _ in range(3):
        with database.transaction() as connection:
            SQL["ready"].one(
                connection,
                id=one,
                token=TOKEN,
                now=NOW,
                provider_state="success",
                result_expires_at=NOW,
                provider_ms=4000,
                result_urls="[]",
                events=_event(),
                costs=line,
                request_id=None,
            )
    assert [str(cost.amount_usd) for cost in sql("SELECT amount_usd FROM job_costs")] == ["0.0250"]
