"""What jobs do for the library: the proof of every file, what is popular, what it costs, and their alerts."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core import access, database
from core.alerts import service as alerts
from core.alerts import views as alert_views
from core.alerts.models import Kind
from core.errors import StorageError
from core.loras import popularity, proofs, views
from core.loras.models import WEIGHTS_BUCKET, Search
from core.storage.buckets import BUCKETS
from core.storage.contract import Storage
from core.storage.objects import LocalStorage
from tests.database.shared import shared_database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
STAFF = access.command_line("olga")


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


@pytest.fixture(scope="module")
def library(postgres_server: str) -> Iterator[None]:
    with shared_database(postgres_server):
        yield


@pytest.fixture
def storage(library: None, tmp_path: Path) -> Storage:
    """An empty folder, and none of the LoRAs of earlier tests due."""
    for table in ("lora_weight_proofs", "lora_uses", "lora_uses_daily", "alerts", "lora_library_totals"):
        sql(f"DELETE FROM {table}")
    sql("UPDATE lora_models SET training_status = 'failed', usage_count = 0, file_size = NULL")
    sql("UPDATE lora_library SET recent_uses = 0, is_popular = false")
    return LocalStorage(tmp_path, b"key", {bucket.name: bucket for bucket in BUCKETS})


def lora(storage: Storage, content: bytes | None = b"weights", **columns: Any) -> UUID:
    """A completed LoRA with its file; None: without one."""
    lora_id = uuid.uuid4()
    path = f"studio-ops/{lora_id}.safetensors"
    if content is not None:
        put(storage, path, content)
    values = {
        "id": lora_id,
        "name": f"Ada {lora_id}",
        "training_status": "completed",
        "storage_path": path,
        "storage_url": "u",
        "file_size": len(content or b"weights"),
        "weights_sha256": hashlib.sha256(content or b"weights").hexdigest(),
        "created_at": NOW - 300 * DAY,
        **columns,
    }
    places = ", ".join(["%s"] * len(values))
    sql(f"INSERT INTO lora_models ({', '.join(values)}) VALUES ({places})", *values.values())
    return lora_id


def put(storage: Storage, path: str, content: bytes) -> None:
    with storage.upload(WEIGHTS_BUCKET) as upload:
        upload.write(content)
        upload.commit(path, "application/octet-stream")


def path_of(lora_id: UUID) -> str:
    return f"studio-ops/{lora_id}.safetensors"


def state_of(lora_id: UUID) -> tuple[str | None, datetime | None]:
    found = views.get(STAFF, lora_id)
    return found.proof_state, found.proof_checked_at


def prove(storage: Storage, now: datetime, **given: Any) -> int:
    return proofs.prove(storage, now, sleep=lambda _: None, **given)


def test_every_file_is_proven_once_a_week(storage: Storage) -> None:
    known = lora(storage)
    assert prove(storage, NOW) == 1
    assert state_of(known) == ("good", NOW)
    assert prove(storage, NOW + DAY) == 0
    assert prove(storage, NOW + WEEK + DAY) == 1
    assert state_of(known) == ("good", NOW + WEEK + DAY)


@pytest.mark.parametrize(
    ("content", "columns", "state"),
    [
        (b"weights", {"weights_sha256": "00" * 32}, "differs"),
        (b"weights", {"file_size": 6}, "differs"),
        (None, {}, "missing"),
        (b"weights", {"weights_sha256": None, "file_size": 7}, "good"),
        (b"weights", {"storage_path": "../../etc/passwd"}, "missing"),
    ],
)
def test_what_a_look_finds(
    storage: Storage, content: bytes | None, columns: dict[str, Any], state: str
) -> None:
    known = lora(storage, content, **columns)
    prove(storage, NOW)
    assert state_of(known) == (state, NOW)


def test_a_file_without_a_known_hash_keeps_that_of_the_first_look(storage: Storage) -> None:
    known = lora(storage, weights_sha256=None)
    prove(storage, NOW)
    put(storage, path_of(known), b"changed")
    prove(storage, NOW + 8 * DAY)
    assert state_of(known)[0] == "differs"


def test_a_run_that_ends_early_is_gone_on_with(storage: Storage) -> None:
    known = [lora(storage) for _ in range(5)]
    ticks = iter(range(100))
    assert prove(storage, NOW, run_for_s=3, bytes_per_s=1e12, clock=lambda: next(ticks)) in {1, 2}
    done = sum(state_of(one)[0] == "good" for one in known)
    assert 0 < done < 5
    assert prove(storage, NOW) == 5 - done
    assert all(state_of(one)[0] == "good" for one in known)


def test_no_more_is_read_a_second_than_is_allowed(storage: Storage) -> None:
    for _ in range(3):
        lora(storage, b"x" * 1_000_000)
    slept: list[float] = []
    at = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        at[0] += seconds

    proofs.prove(storage, NOW, run_for_s=60, bytes_per_s=500_000, clock=lambda: at[0], sleep=sleep)
    assert sum(slept) == pytest.approx(6.0)


def test_a_storage_that_fails_says_nothing_of_the_file(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = lora(storage), lora(storage)
    stat = type(storage).stat

    def failing(self: Any, bucket: str, path: str) -> Any:
        if path == path_of(known):
            raise StorageError("The storage does not answer.", retryable=True)
        return stat(self, bucket, path)

    monkeypatch.setattr(type(storage), "stat", failing)
    with pytest.raises(StorageError, match="does not answer"):
        prove(storage, NOW)
    assert state_of(known)[0] is None
    assert state_of(other)[0] == "good"
    monkeypatch.undo()
    assert prove(storage, NOW) == 1


def test_wrong_weights_are_an_alert_until_they_are_put_back(storage: Storage) -> None:
    known, other = lora(storage, None), lora(storage, weights_sha256="00" * 32)
    prove(storage, NOW)
    assert alerts.watch_library(NOW) == 1
    [alert] = alert_views.waiting(STAFF)
    assert (alert.kind, alert.severity, alert.count) == (Kind.WRONG_WEIGHTS, "critical", 2)
    assert set(alert.ids) == {str(known), str(other)}
    assert alert.evidence["missing"] == 1
    put(storage, path_of(known), b"weights")
    sql("UPDATE lora_models SET weights_sha256 = NULL WHERE id = %s", other)
    sql("UPDATE lora_weight_proofs SET expected_sha256 = NULL")
    for one in (known, other):
        proofs.ask_again(STAFF, one)
    assert prove(storage, NOW + DAY) == 2
    assert alerts.watch_library(NOW + DAY) == 1
    assert alert_views.waiting(STAFF) == []


def use(lora_id: UUID, count: int, day: datetime) -> None:
    sql(
        "INSERT INTO lora_uses (generation_id, lora_model_id, way, used_at)"
        " SELECT gen_random_uuid(), %s, 'direct', %s FROM generate_series(1, %s)",
        lora_id,
        day,
        count,
    )


def test_what_is_popular_is_counted_of_the_last_month(storage: Storage) -> None:
    hot, old, rare, hidden = (lora(storage) for _ in range(4))
    use(hot, 12, NOW - DAY)
    use(old, 50, NOW - 40 * DAY)
    use(rare, 3, NOW)
    use(hidden, 20, NOW)
    sql("UPDATE lora_models SET hidden_at = now() WHERE id = %s", hidden)
    popularity.count(NOW)
    found = {one: views.get(STAFF, one) for one in (hot, old, rare, hidden)}
    assert [found[one].uses for one in (hot, old, rare)] == [12, 50, 3]
    assert [found[one].recent_uses for one in (hot, old, rare)] == [12, 0, 3]
    assert [found[one].is_popular for one in (hot, old, rare, hidden)] == [True, False, False, False]
    assert popularity.count(NOW) == 0
    popularity.count(NOW + 31 * DAY)
    assert not views.get(STAFF, hot).is_popular
    assert views.get(STAFF, hot).recent_uses == 0


def test_a_lora_that_a_silenced_trigger_left_out_enters(storage: Storage) -> None:
    sql("ALTER TABLE lora_models DISABLE TRIGGER zz_studio_ops_list")
    known = lora(storage, name="Left out entirely")
    sql("ALTER TABLE lora_models ENABLE TRIGGER zz_studio_ops_list")
    assert views.search(STAFF, Search(text="left out")).total == 0
    popularity.count(NOW)
    assert [card.id for card in views.search(STAFF, Search(text="left out")).cards] == [known]


@pytest.mark.parametrize(("gigabytes", "advised"), [(4_700, False), (4_800, True)])
def test_a_library_that_costs_too_much_is_advised_on(storage: Storage, gigabytes: int, advised: bool) -> None:
    lora(storage, file_size=gigabytes * 10**9 // 2)
    used = lora(storage, file_size=gigabytes * 10**9 // 2)
    use(used, 1, NOW)
    popularity.count(NOW)
    alerts.watch_library(NOW)
    found = alert_views.waiting(STAFF)
    assert [alert.kind for alert in found] == ([Kind.DEAR_LIBRARY] if advised else [])
    if advised:
        assert found[0].evidence == {"monthly_usd": "100.8000", "idle_loras": 1, "idle_usd": "50.4000"}
