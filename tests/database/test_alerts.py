"""Alert rows: opened once a cause, renewed, shown again when they grow, resolved when the cause is gone."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import access, database
from core.access import Actor, Role
from core.alerts import policy, repository, service, views
from core.alerts.models import Alert, Kind
from core.errors import Conflict, InvalidInput, NotAllowed
from core.work import runs

ADA = access.command_line("ada")
NOW = datetime.now(UTC)
S, M, H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    for table in ("alerts", "generations", "process_heartbeats"):
        sql(f"DELETE FROM {table}")


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def insert(state: str, n: int = 1, **columns: Any) -> list[str]:
    """Rows at this state; their ids."""
    ids = [str(uuid.uuid4()) for _ in range(n)]
    values = {"delivery_state": state, "status": "generating", "task_id": "t", **columns}
    for one in ids:
        sql(
            f"INSERT INTO generations (id, {', '.join(values)}) VALUES (%s{', %s' * len(values)})",
            one,
            *values.values(),
        )
    return ids


def lose(n: int = 1, at: datetime = NOW) -> list[str]:
    return insert("lost", n, status="failed", provider_read_at=at)


def watch(after: timedelta = 3 * S) -> list[Alert]:
    """One run of the job; what waits for a person then."""
    service.watch_deliveries(NOW + after)
    return list(views.waiting(ADA))


def test_nothing_is_wrong_with_nothing() -> None:
    assert watch() == []


def test_lost_results_are_one_alert_that_grows() -> None:
    first = lose()
    [alert] = watch()
    assert (alert.kind, alert.count, alert.ids) == (Kind.LOST_RESULTS, 1, tuple(first))
    more = lose(30, NOW + S)
    [grown] = watch(10 * S)
    assert (grown.id, grown.opened_at, grown.count) == (alert.id, alert.opened_at, 31)
    assert len(grown.ids) == 20
    assert set(grown.ids) <= {*first, *more}
    assert len(sql("SELECT 1 FROM alerts")) == 1


def test_acknowledged_losses_are_off_the_list_for_good_and_new_ones_open_a_new_alert() -> None:
    lose(2)
    [alert] = watch()
    done = service.acknowledge(ADA, alert.id, 2, " told the customers ", NOW + M)
    assert (done.acknowledged_by, done.note, done.resolved_at) == ("ada", "told the customers", NOW + M)
    assert watch(2 * M) == []
    lose(1, NOW + 3 * M)
    [new] = watch(4 * M)
    assert (new.count, new.id != alert.id) == (1, True)
    [line] = sql("SELECT actor_name, action, after FROM audit_log WHERE object_id = %s", str(alert.id))
    assert (line.actor_name, line.action, line.after["count"]) == ("ada", "alert.acknowledge", 2)


def test_a_loss_that_is_just_being_recorded_is_not_acknowledged_unseen() -> None:
    lose(1, NOW + 2 * S)
    assert watch(3 * S) == []
    assert [alert.count for alert in watch(4 * S)] == [1]


def test_a_lost_result_that_was_found_again_resolves_its_alert() -> None:
    [one] = lose()
    assert len(watch()) == 1
    sql("UPDATE generations SET delivery_state = 'awaiting_provider' WHERE id = %s", one)
    assert watch(10 * S) == []
    assert sql("SELECT resolved_at FROM alerts")[0].resolved_at == NOW + 10 * S


def test_what_has_grown_since_it_was_seen_is_not_acknowledged() -> None:
    lose(1)
    [alert] = watch()
    lose(1)
    watch(10 * S)
    with pytest.raises(Conflict, match="changed since you saw it"):
        service.acknowledge(ADA, alert.id, 1, "", NOW)
    service.acknowledge(ADA, alert.id, 2, "", NOW)
    with pytest.raises(Conflict):
        service.acknowledge(ADA, alert.id, 2, "", NOW)


def test_only_some_may_acknowledge_and_a_note_has_its_length() -> None:
    lose()
    [alert] = watch()
    viewer = Actor("person", "v", "Vi", frozenset({Role.VIEWER}), "page")
    with pytest.raises(NotAllowed, match="may not acknowledge an alert"):
        service.acknowledge(viewer, alert.id, 1, "", NOW)
    with pytest.raises(InvalidInput, match="at most 500"):
        service.acknowledge(ADA, alert.id, 1, "x" * 10_000, NOW)
    assert service.acknowledge(ADA, alert.id, 1, "'; <b> \U0001f98a", NOW).note == "'; <b> \U0001f98a"


def test_results_that_expire_soon_are_on_the_rescue_clock() -> None:
    soon = insert("awaiting_delivery", result_expires_at=NOW + 5 * H)
    insert("awaiting_delivery", result_expires_at=NOW + 7 * H)
    insert("delivered", result_expires_at=NOW + H, asset_url="/files/x")
    [alert] = watch()
    assert (alert.kind, alert.count, alert.ids) == (Kind.RESCUE_CLOCK, 1, tuple(soon))


def test_an_acknowledged_alert_stays_off_the_list_until_it_has_doubled() -> None:
    insert("awaiting_delivery", 3, result_expires_at=NOW + H)
    [alert] = watch()
    service.acknowledge(ADA, alert.id, 3, "on it", NOW)
    insert("awaiting_delivery", 2, result_expires_at=NOW + H)
    assert watch(10 * S) == []
    insert("awaiting_delivery", 1, result_expires_at=NOW + H)
    [again] = watch(20 * S)
    assert (again.id, again.count) == (alert.id, 6)


def test_a_refusing_storage_is_one_alert_a_cause_until_the_files_are_here() -> None:
    def refused(size: str) -> str:
        return f"The bucket generations takes at most 10 MB a file; this one has {size} MB."

    for size in ("11.5", "2,048.0", "99"):
        insert("awaiting_delivery", failure_code="storage_refused", failure_message=refused(size))
    insert("awaiting_delivery", failure_code="storage_refused", failure_message="The key is wrong.")
    insert("awaiting_delivery", failure_code="storage_failed", failure_message="The disk is full.")
    found = watch()
    assert [(alert.kind, alert.count) for alert in found] == [
        (Kind.STORAGE_REFUSING, 3),
        (Kind.STORAGE_REFUSING, 1),
    ]
    assert found[0].subject == "The bucket generations takes at most … MB a file; this one has … MB."
    sql("UPDATE generations SET delivery_state = 'delivered', status = 'success', asset_url = '/files/x'")
    assert watch(10 * S) == []


@pytest.mark.parametrize(
    ("minutes", "columns", "stuck"),
    [
        (11, {"model": "flux-2/pro-text-to-image"}, True),
        (9, {"model": "flux-2/pro-text-to-image"}, False),
        (19, {"model": "kling-2.6/text-to-video", "kind": "video"}, False),
        (21, {"model": "kling-2.6/text-to-video", "kind": "video"}, True),
        (21, {"model": "of somebody else", "kind": "video"}, True),
        (11, {"model": None, "kind": None}, True),
        (19, {"model": "some-video-model", "kind": None}, False),
    ],
)
def test_how_long_is_stuck_depends_on_model_and_kind(
    minutes: int, columns: dict[str, Any], stuck: bool
) -> None:
    insert("awaiting_provider", 5, created_at=NOW - minutes * M, **columns)
    assert [alert.kind for alert in watch()] == ([Kind.STUCK] if stuck else [])


def test_a_bad_day_is_told_with_its_figures() -> None:
    insert("delivered", 45, status="success", asset_url="/files/x")
    insert("failed", 5, status="failed")
    insert("awaiting_provider", 4)
    [alert] = watch()
    told = {name: alert.evidence[name] for name in ("delivered", "finished")}
    assert (alert.kind, told) == (Kind.SUCCESS_RATE, {"delivered": 45, "finished": 50})
    sql("UPDATE generations SET created_at = %s", NOW - 25 * H)
    assert Kind.SUCCESS_RATE not in [alert.kind for alert in watch(10 * S)]


def test_the_machinery_is_watched_by_whoever_is_alive() -> None:
    runs.beat(uuid.uuid4(), "worker", NOW)
    runs.beat(uuid.uuid4(), "clock", NOW - 2 * M)
    service.watch_machinery(NOW - H, NOW)
    assert [alert.kind for alert in views.waiting(ADA)] == [Kind.DEAD_CLOCK]
    assert watch() == list(views.waiting(ADA)), "the deliveries' job leaves it alone"
    runs.beat(uuid.uuid4(), "clock", NOW)
    service.watch_machinery(NOW - H, NOW)
    assert list(views.waiting(ADA)) == []


def test_two_jobs_at_once_open_one_alert() -> None:
    lose(3)
    for _ in range(3):
        service.watch_deliveries(NOW + 3 * S)
    assert len(sql("SELECT 1 FROM alerts WHERE resolved_at IS NULL")) == 1


def test_who_looked_before_does_not_resolve_what_another_has_found_since() -> None:
    looked_at = repository.looking()
    lose()
    [alert] = watch()
    with database.statement() as connection:
        slow = repository.record(connection, policy.OF_DELIVERIES, (), NOW + 4 * S, looked_at)
    assert (slow, [one.id for one in views.waiting(ADA)]) == (0, [alert.id])
    sql("DELETE FROM generations")
    assert watch(10 * S) == []
