"""What pages are told of deliveries: counted, paged and explained from real rows."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import access, database
from core.access import Actor, Role
from core.deliveries import health, views
from core.deliveries.models import DeliveryState, Generation
from core.deliveries.repository import find
from core.errors import NotAllowed, NotFound, NotSignedIn
from tests.database import ledger

S = DeliveryState
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
VIEWER = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")
FLUX = "flux-2/pro-text-to-image"


@pytest.fixture
def rows(_connected: None) -> None:
    """A migrated database without a row."""
    for table in ("generations", "delivery_events", "stored_files", "callback_inbox"):
        sql(f"DELETE FROM {table}")
    ledger.empty(sql)


def sql(statement: str, *values: Any) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(statement, values or None)


def row(state: DeliveryState | None, age: timedelta = timedelta(), **columns: Any) -> UUID:
    """A row at `state`, begun `age` before NOW."""
    one = uuid4()
    given = {
        "id": one,
        "status": "queued",
        "provider": "kie" if state else "fal",
        "delivery_state": state,
        "created_at": NOW - age,
        "model": FLUX,
        **columns,
    }
    names, marks = ", ".join(given), ", ".join(["%s"] * len(given))
    sql(f"INSERT INTO generations ({names}) VALUES ({marks})", *given.values())
    return one


def found(one: UUID) -> Generation:
    with database.reading() as connection:
        generation = find(connection, one)
    assert generation is not None
    return generation


H = timedelta(hours=1)


def test_the_last_day_is_counted_by_where_each_stands(rows: None) -> None:
    for state, times in ((S.DELIVERED, 6), (S.FAILED, 1), (S.LOST, 1), (S.NEEDS_ATTENTION, 2)):
        for n in range(times):
            row(state, n * H)
    for state in (S.INTENT, S.SENDING, S.AWAITING_PROVIDER, S.AWAITING_DELIVERY):
        row(state)
    row(S.DELIVERED, 25 * H)
    row(None)
    counts = views.counts(VIEWER, NOW)
    assert (counts.delivered, counts.failed, counts.lost, counts.needs_attention) == (6, 1, 1, 2)
    assert (counts.in_flight, counts.total, counts.as_of) == (4, 14, NOW)
    assert counts.success_rate == 6 / 8


def test_with_nothing_finished_there_is_no_rate(rows: None) -> None:
    assert views.counts(VIEWER, NOW).success_rate is None
    row(S.AWAITING_PROVIDER)
    assert views.counts(VIEWER, NOW).success_rate is None
    assert not views.counts(VIEWER, NOW).delivered


def test_every_hour_of_the_day_is_there_oldest_first(rows: None) -> None:
    row(S.DELIVERED)
    row(S.LOST, H)
    row(S.DELIVERED, 23 * H + timedelta(minutes=30))
    row(S.DELIVERED, 24 * H)
    row(S.AWAITING_PROVIDER)
    _, hours = health.last_day(VIEWER, NOW)
    assert [hour.start.hour for hour in hours] == [*range(12, 24), *range(13)]
    told = [(index, hour.counts.delivered, hour.counts.lost) for index, hour in enumerate(hours)]
    assert [item for item in told if item[1] or item[2]] == [(0, 1, 0), (1, 1, 0), (23, 0, 1), (24, 1, 0)]


def test_pages_follow_each_other_without_gap_or_repeat(rows: None) -> None:
    made = [row(S.DELIVERED, timedelta(minutes=n // 2)) for n in range(25)]  # two share each moment
    seen: list[UUID] = []
    before = None
    for _ in range(10):
        page = views.recent(VIEWER, limit=7, before=before)
        seen += [generation.id for generation in page.generations]
        before = page.next_before
        if before is None:
            break
    assert len(seen) == len(made)
    assert set(seen) == set(made)
    ages = [found(one).created_at for one in seen]
    assert ages == sorted(ages, reverse=True)


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-5, 1), (3, 3), (1_000_000, 100)])
def test_a_page_has_bounds(rows: None, asked: int, given: int) -> None:
    sql("INSERT INTO generations (status) SELECT 'queued' FROM generate_series(1, 120)")
    assert len(views.recent(VIEWER, limit=asked).generations) == given


def test_a_page_can_be_of_one_kind_or_of_our_own_tests(rows: None) -> None:
    film = row(S.DELIVERED, kind="video")
    ours = row(S.DELIVERED, kind="image", request_key="form-nonce-1")
    assert [item.id for item in views.recent(VIEWER, kind="video").generations] == [film]
    assert [item.id for item in views.recent(VIEWER, tests_only=True).generations] == [ours]


def test_what_waits_for_a_person_newest_first(rows: None) -> None:
    older = row(S.NEEDS_ATTENTION, updated_at=NOW - H)
    newer = row(S.NEEDS_ATTENTION, updated_at=NOW)
    row(S.FAILED)
    row(S.LOST)
    assert [item.id for item in views.needs_person(VIEWER)] == [newer, older]
    assert len(views.needs_person(VIEWER, limit=1)) == 1


def test_a_models_own_median_counts_once_twenty_deliveries_say_so(rows: None) -> None:
    assert views.usual_seconds(VIEWER, FLUX, "image") == 20
    assert views.usual_seconds(VIEWER, "nobody's", "video") == 120
    for n in range(19):
        row(S.DELIVERED, n * H, delivered_at=NOW, provider_ms=7000)
    assert views.usual_seconds(VIEWER, FLUX, "image") == 20
    row(S.DELIVERED, delivered_at=NOW, provider_ms=9000)
    assert views.usual_seconds(VIEWER, FLUX, "image") == 7


@pytest.mark.parametrize(
    ("state", "columns", "says"),
    [
        (S.DELIVERED, {}, "nothing left to check"),
        (S.FAILED, {}, "no task at its provider"),
        (S.FAILED, {"task_id": "t"}, None),
        (S.AWAITING_PROVIDER, {"task_id": "t"}, None),
        (S.AWAITING_PROVIDER, {"task_id": "t", "lease_until": NOW + H}, "Another attempt"),
        (None, {"task_id": "t"}, "not followed here"),
    ],
)
def test_why_a_check_would_change_nothing(
    rows: None, state: DeliveryState | None, columns: dict[str, Any], says: str | None
) -> None:
    told = views.why_not_check(found(row(state, **columns)), NOW)
    assert (told is None) is (says is None)
    assert (says or "") in (told or "")


@pytest.mark.parametrize(
    ("state", "minutes", "stuck"),
    [(S.AWAITING_PROVIDER, 9, False), (S.AWAITING_PROVIDER, 11, True), (S.DELIVERED, 11, False)],
)
def test_what_is_stuck(rows: None, state: DeliveryState, minutes: int, stuck: bool) -> None:
    assert views.is_stuck(found(row(state, timedelta(minutes=minutes))), NOW) is stuck


def test_everything_known_of_one_generation(rows: None) -> None:
    one = row(S.DELIVERED, asset_url="/files/a", task_id="t")
    sql("INSERT INTO delivery_events (generation_id, kind, bytes) VALUES (%s, 'stored', 7)", one)
    sql(
        "INSERT INTO stored_files (bucket, path, generation_id, bytes, sha256, content_type, url)"
        " VALUES ('generations', 'a.jpg', %s, 7, 'ab', 'image/jpeg', '/files/a')",
        one,
    )
    sql(
        "INSERT INTO callback_inbox (provider, body_sha256, generation_id, body)"
        " VALUES ('kie', 'x', %s, '{}')",
        one,
    )
    sql("INSERT INTO job_costs (kind, generation_id, amount_usd) VALUES ('settle', %s, 0.025)", one)
    told = views.detail(VIEWER, one)
    assert told.generation.id == one
    assert [file.path for file in told.files] == ["a.jpg"]
    assert [(step.kind, step.bytes) for step in told.timeline] == [("stored", 7)]
    assert [callback.duplicates for callback in told.callbacks] == [0]
    assert [str(line.amount_usd) for line in told.costs] == ["0.0250"]
    with pytest.raises(NotFound, match="There is no generation"):
        views.detail(VIEWER, uuid4())


def test_whether_there_is_anything_yet(rows: None) -> None:
    assert not views.any_generation()
    row(S.INTENT)
    assert views.any_generation()


def test_nobody_looks_without_the_right(rows: None) -> None:
    nobody = Actor("customer", "u", "u", frozenset(), "api")
    for look in (
        lambda who: views.counts(who, NOW),
        lambda who: health.last_day(who, NOW),
        lambda who: views.recent(who),
        lambda who: views.needs_person(who),
        lambda who: views.detail(who, uuid4()),
        lambda who: views.usual_seconds(who, FLUX, "image"),
    ):
        with pytest.raises(NotSignedIn):
            look(None)
        with pytest.raises(NotAllowed):
            look(nobody)
    assert views.counts(access.job("test"), NOW).total == 0
