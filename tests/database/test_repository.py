"""Rows to dataclasses and back, whatever types the company's columns have."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import database
from core.deliveries.models import DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, add_event, events_json, find, find_by_task
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


def test_a_bare_row_is_a_generation(rows: None) -> None:
    found = row(insert(status="generating", task_id="task_1"))
    assert (found.provider, found.kind, found.input, found.result_urls) == ("kie", "image", {}, ())
    assert (found.delivery_state, found.attempt, found.attempt_priority) == (
        DeliveryState.AWAITING_PROVIDER,
        0,
        2,
    )
    assert found.created_at.tzinfo is not None


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("kling-2.6/text-to-video", "video"),
        ("some-video-model", "video"),
        ("flux-2", "image"),
        (None, "image"),
    ],
)
def test_a_kind_that_is_not_given_follows_from_the_model(rows: None, model: str | None, kind: str) -> None:
    assert row(insert(status="queued", model=model)).kind == kind


def test_a_row_without_a_time_is_as_old_as_can_be(rows: None) -> None:
    one = insert(status="queued")
    sql("UPDATE generations SET created_at = NULL")
    assert row(one).created_at == datetime.fromtimestamp(0, UTC)


def test_a_column_without_a_zone_is_utc(database_url: str) -> None:
    sql("ALTER TABLE generations ALTER COLUMN created_at TYPE timestamp USING created_at AT TIME ZONE 'UTC'")
    found = row(insert(status="queued", created_at=datetime(2026, 1, 2, 3, 4)))  # noqa: DTZ001
    assert found.created_at == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


COLUMN_TYPES = {
    "text[]": "result_urls",
    "varchar[]": "result_urls::varchar[]",
    "jsonb": "to_jsonb(result_urls)",
    "json": "to_json(result_urls)",
    "text": "to_jsonb(result_urls)::text",
}


@pytest.mark.parametrize("column_type", COLUMN_TYPES)
def test_result_urls_are_written_and_read_in_any_type(database_url: str, column_type: str) -> None:
    as_it_is = COLUMN_TYPES[column_type]
    sql(f"ALTER TABLE generations ALTER COLUMN result_urls TYPE {column_type} USING {as_it_is}")
    one = insert(status="generating", task_id="task_1", lease_token=TOKEN)
    assert row(one).result_urls == ()
    with database.transaction() as connection:
        SQL["ready"].one(
            connection,
            id=one,
            token=TOKEN,
            now=NOW,
            provider_state="success",
            result_expires_at=NOW,
            provider_ms=4000,
            result_urls='["https://a/1.jpg", "https://a/2.jpg"]',
            events=events_json(Event(EventKind.RESULT_READY)),
            costs="[]",
            request_id=None,
        )
    assert row(one).result_urls == ("https://a/1.jpg", "https://a/2.jpg")


@pytest.mark.parametrize(
    ("written", "urls"),
    [("https://a/1.jpg", ("https://a/1.jpg",)), ('["https://a/1.jpg"]', ("https://a/1.jpg",)), ("", ())],
)
def test_a_text_may_be_one_url_or_json(database_url: str, written: str, urls: tuple[str, ...]) -> None:
    sql("ALTER TABLE generations ALTER COLUMN result_urls TYPE text USING NULL")
    assert row(insert(status="queued", result_urls=written)).result_urls == urls


def test_the_newest_of_rows_with_one_task_comes_first(rows: None) -> None:
    older = insert(status="generating", task_id="task_1", created_at=NOW - timedelta(hours=1))
    newer = insert(status="generating", task_id="task_1", created_at=NOW)
    with database.reading() as connection:
        assert [found.id for found in find_by_task(connection, "task_1")] == [newer, older]
        assert find_by_task(connection, "task_2") == []
        assert find(connection, uuid4()) is None


def test_an_event_is_kept_without_its_secrets(rows: None) -> None:
    one = insert(status="queued")
    event = Event(
        EventKind.POLL_FAILED,
        attempt=2,
        duration_ms=15,
        bytes=7,
        error_category="network",
        words="GET https://x/?secret=hunter2 " + "x" * 3000,
        detail={"url": "https://x/?sig=hunter2", "api_key": "hunter2", "n": 1, "at": NOW},
    )
    with database.transaction() as connection:
        add_event(connection, one, NOW, event)
    [kept] = sql("SELECT * FROM delivery_events")
    assert (kept.generation_id, kept.at, kept.kind, kept.attempt) == (one, NOW, "poll_failed", 2)
    assert (kept.duration_ms, kept.bytes, kept.error_category) == (15, 7, "network")
    assert len(kept.words) == 2000
    assert kept.detail == {"url": "https://x/?sig=***", "api_key": "***", "n": 1, "at": str(NOW)}


def test_the_newest_steps_of_a_long_timeline_are_shown_in_order(rows: None) -> None:
    one = insert(status="queued")
    sql(
        "INSERT INTO delivery_events (generation_id, kind, attempt)"
        " SELECT %s, 'polled', n FROM generate_series(1, 600) n",
        one,
    )
    with database.reading() as connection:
        steps = SQL["timeline"].all(connection, generation_id=one, limit=500)
    assert [step["attempt"] for step in steps] == list(range(101, 601))
