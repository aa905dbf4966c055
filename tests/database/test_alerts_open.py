"""What an alert opens are exactly the generations that it has counted, however many they are."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core import database
from core.access import Actor, Role
from core.alerts import service, views, words
from core.alerts.models import Alert, Kind
from core.deliveries import health_rows, windows
from core.deliveries.windows import Filter
from core.providers import catalogue

VIEWER = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")
NOW = datetime.now(UTC)
STILL, FILM = ("image", "flux-2/pro-text-to-image"), ("video", "kling-2.6/text-to-video")


@pytest.fixture
def connection(migrated_database: str) -> Iterator[psycopg.Connection[Any]]:
    database.connect(migrated_database)
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        yield connection
    database.close()


def add(
    connection: psycopg.Connection[Any],
    many: int,
    state: str,
    *,
    of: tuple[str, str] = STILL,
    ago: timedelta = timedelta(hours=1),
    **columns: Any,
) -> set[uuid.UUID]:
    ids = [uuid.uuid4() for _ in range(many)]
    for n, one in enumerate(ids):
        values = {
            "id": one,
            "kind": of[0],
            "model": of[1],
            "delivery_state": state,
            "status": {"delivered": "success", "awaiting_delivery": "generating"}.get(state, "failed"),
            "created_at": NOW - ago - timedelta(seconds=n),
            **columns,
        }
        places = ", ".join(["%s"] * len(values))
        connection.execute(
            f"INSERT INTO generations ({', '.join(values)}) VALUES ({places})".encode(), list(values.values())
        )
    return set(ids)


def alert_of(kind: Kind) -> Alert:
    service.watch_deliveries(datetime.now(UTC))
    [found] = [alert for alert in views.waiting(VIEWER) if alert.kind is kind]
    return found


def opened(alert: Alert) -> tuple[Filter, set[uuid.UUID]]:
    """What its address opens: read as the page reads it, all pages, with the number that stands above."""
    page, query = words.evidence_of(alert) or ("", {})
    assert page == "delivery_health"
    chosen, faults = windows.read(query)
    assert faults == []
    assert {**chosen.query(), **query} == chosen.query()
    now = datetime.now(UTC)
    rows = list(health_rows.every_row(VIEWER, chosen, now))
    assert health_rows.board(VIEWER, chosen, now, limit=10).total == len(rows)
    return chosen, {row.id for row in rows}


def test_the_success_rate_opens_the_failed_and_lost_ones_of_those_that_it_is_of(
    connection: psycopg.Connection[Any],
) -> None:
    add(connection, 60, "delivered")
    add(connection, 9, "failed", ago=timedelta(hours=25))
    add(connection, 4, "needs_attention")
    missed = (
        add(connection, 23, "failed") | add(connection, 3, "lost") | add(connection, 2, "failed", of=FILM)
    )
    alert = alert_of(Kind.SUCCESS_RATE)
    add(connection, 5, "failed", ago=timedelta(seconds=-1))
    assert alert.count == len(missed)
    assert opened(alert)[1] == missed


def test_films_open_films(connection: psycopg.Connection[Any]) -> None:
    add(connection, 60, "delivered", of=FILM)
    add(connection, 8, "failed")
    missed = add(connection, 22, "failed", of=FILM)
    alert = alert_of(Kind.VIDEO_SUCCESS)
    assert alert.count == 22
    assert opened(alert)[1] == missed


def test_those_begun_with_the_oldest_that_counts_count_too(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that another system wrote at once has one time, which no limit may cut through."""
    monkeypatch.setattr("core.alerts.policy.SUCCESS_NEWEST", 55)
    add(connection, 50, "delivered")
    batch = add(connection, 12, "failed", created_at=NOW - timedelta(hours=2))
    add(connection, 4, "failed", created_at=NOW - timedelta(hours=3))
    alert = alert_of(Kind.SUCCESS_RATE)
    assert (alert.count, alert.evidence["finished"]) == (12, 62)
    assert opened(alert)[1] == batch


def test_more_lost_ones_than_an_alert_names(connection: psycopg.Connection[Any]) -> None:
    seen = NOW - timedelta(minutes=30)
    lost = add(connection, 24, "lost", provider_read_at=seen, ago=timedelta(days=40))
    alert = alert_of(Kind.LOST_RESULTS)
    assert alert.count == 24
    add(connection, 3, "lost", provider_read_at=NOW - timedelta(minutes=1))
    assert opened(alert)[1] == lost
    operator = Actor("person", "o", "Ops", frozenset({Role.OPERATIONS}), "page")
    service.acknowledge(operator, alert.id, alert.count, "", datetime.now(UTC))
    later = add(connection, 22, "lost", provider_read_at=NOW - timedelta(seconds=30))
    renewed = alert_of(Kind.LOST_RESULTS)
    assert renewed.count == 25
    assert later < opened(renewed)[1]
    assert not opened(renewed)[1] & lost


def test_results_that_are_deleted_soon_and_no_others_of_the_rescue_clock(
    connection: psycopg.Connection[Any],
) -> None:
    soon = add(connection, 21, "awaiting_delivery", result_expires_at=NOW + timedelta(hours=3))
    add(connection, 5, "awaiting_delivery", result_expires_at=NOW + timedelta(days=3))
    add(connection, 2, "needs_attention", result_expires_at=NOW + timedelta(hours=1))
    alert = alert_of(Kind.RESCUE_CLOCK)
    assert alert.count == 21
    assert opened(alert)[1] == soon


def test_files_that_storage_refuses_with_the_same_words(connection: psycopg.Connection[Any]) -> None:
    refused: dict[str, Any] = {
        "failure_code": "storage_refused",
        "result_expires_at": NOW + timedelta(days=9),
    }
    large = {
        one
        for n in range(22)
        for one in add(
            connection, 1, "awaiting_delivery", failure_message=f"The file has {n}.5 MB, too much.", **refused
        )
    }
    add(connection, 3, "awaiting_delivery", failure_message="There is no bucket “generations”.", **refused)
    service.watch_deliveries(datetime.now(UTC))
    [alert] = [one for one in views.waiting(VIEWER) if one.kind is Kind.STORAGE_REFUSING and one.count == 22]
    assert opened(alert)[1] == large


def test_stuck_ones_are_the_same_wherever_they_are_counted(connection: psycopg.Connection[Any]) -> None:
    now = datetime.now(UTC)
    aliases = [(model.kind, name) for model in catalogue.MODELS for name in (model.id, *model.aliases)]
    for of in [*aliases, ("image", "a model of nobody"), ("video", "x")]:
        for minutes in (8, 12, 18, 22, 90):
            add(connection, 1, "awaiting_provider", of=of, ago=timedelta(minutes=minutes))
    add(connection, 3, "awaiting_provider", kind=None, model="kling-old", ago=timedelta(minutes=15))
    alert = alert_of(Kind.STUCK)
    chosen, rows = opened(alert)
    assert chosen.state == "stuck"
    assert alert.count == len(rows)
    found = health_rows.board(VIEWER, Filter(), now).health
    assert found is not None
    assert found.under_way.stuck == alert.count


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ({"state": "missed", "since": "yesterday"}, "since"),
        ({"state": "expiring", "until": "2026-13-01T00:00:00.000000Z"}, "until"),
        ({"state": "refused", "signature": "<b>"}, "signature"),
    ],
)
def test_an_address_that_was_changed_says_so(query: dict[str, str], fault: str) -> None:
    chosen, faults = windows.read(query)
    assert len(faults) == 1
    assert f"“{fault}”" in faults[0]
    assert (chosen.since, chosen.until, chosen.signature) == (None, None, None)


def test_another_state_is_not_bound_by_an_alerts_moments() -> None:
    chosen, _ = windows.read({"state": "missed", "since": "2026-11-25T10:00:00.000001Z"})
    assert chosen.since == datetime(2026, 11, 25, 10, 0, 0, 1, tzinfo=UTC)
    assert chosen.but(state="failed").query() == {"window": "24h", "state": "failed"}
    assert windows.read({"state": "failed", "since": "x"}) == (Filter(state="failed"), [])
