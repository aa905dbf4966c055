"""What trainings leave behind: lines of those that are over, drafts that nobody launched; the rest stays."""

import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core import database
from core.access import Actor, Role
from core.errors import StorageError
from core.storage.objects import LocalStorage
from core.trainings import dataset, retention
from core.trainings.adding import BUCKET
from core.trainings.dataset import NewFile
from core.trainings.dataset_tools import DatasetTools
from core.trainings.models import RunState
from core.trainings.retention import Keep
from tests.database.shared import shared_database
from tests.unit.image_host import image_host
from tests.unit.photographs import jpeg
from tests.unit.storage_samples import storage_in

ADA = Actor("person", "ada", "Ada", frozenset({Role.PRODUCT}), "page")
NOW = datetime.now(UTC)
D = timedelta(days=1)
KEEP = Keep(lines_from=NOW - 365 * D, drafts_from=NOW - 30 * D)
PHOTO = jpeg(1, 520, 520)


@pytest.fixture(scope="module")
def server(postgres_server: str) -> Iterator[str]:
    with shared_database(postgres_server) as url:
        yield url


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return storage_in(tmp_path / "files")


@pytest.fixture
def tools(server: str, storage: LocalStorage, tmp_path: Path) -> Iterator[DatasetTools]:
    for table in ("training_log", "training_events", "training_images", "training_drawings"):
        sql(f"DELETE FROM {table}")
    with image_host() as host:
        fetcher = host.fetcher()
        yield DatasetTools(storage, storage, fetcher, tmp_path / "scratch", clock=lambda: NOW)
        fetcher.close()


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def run(state: str | None, age: timedelta, n: int = 3) -> UUID:
    """A run at this state with `n` lines and steps of that age."""
    run_id = uuid.uuid4()
    if state is not None:
        sql("INSERT INTO lora_training_jobs (id, state, stage) VALUES (%s, %s, 'training')", run_id, state)
    for table, column in (("training_log", "source, message"), ("training_events", "kind, words")):
        sql(
            f"INSERT INTO {table} (run_id, at, {column}) SELECT %s, %s, 'studio', 'x'"
            " FROM generate_series(1, %s)",
            run_id,
            NOW - age,
            n,
        )
    return run_id


def left(table: str) -> set[UUID]:
    return {row[0] for row in sql(f"SELECT DISTINCT run_id FROM {table}")}


def test_only_lines_of_what_is_old_and_over_go(tools: DatasetTools) -> None:
    ended = {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
    for state in (*ended, None):
        run(state, 400 * D)
    kept = {run(state, 400 * D) for state in set(RunState) - ended}
    young = run("completed", 300 * D)
    assert retention.prune(KEEP, tools, batch=4) == 2 * 4 * 3
    for table in ("training_log", "training_events"):
        assert left(table) == {*kept, young}
    assert retention.prune(KEEP, tools) == 0


def test_a_run_of_the_job_ends_in_time(tools: DatasetTools) -> None:
    for _ in range(5):
        run("completed", 400 * D)
    assert retention.prune(KEEP, tools, run_for_s=0, batch=4) == 2 * 4


def draft(tools: DatasetTools, age: timedelta, images: int = 2) -> UUID:
    draft_id = uuid.uuid4()
    files = [NewFile(f"{n}.jpg", io.BytesIO(PHOTO + bytes([n]))) for n in range(images)]
    dataset.add_files(ADA, draft_id, files, tools)
    sql("UPDATE training_images SET created_at = %s WHERE lora_model_id = %s", NOW - age, draft_id)
    return draft_id


def images_of(storage: LocalStorage, draft_id: UUID) -> int:
    found = sql("SELECT bucket, path FROM training_images WHERE lora_model_id = %s AND path > ''", draft_id)
    return sum(storage.stat(row.bucket, row.path) is not None for row in found)


def files_in(storage: LocalStorage, draft_id: UUID) -> list[str]:
    return [one.path for one in storage.find(BUCKET, f"ada/{draft_id}/")]


def test_a_draft_that_nobody_launched_goes_with_its_files(tools: DatasetTools, storage: LocalStorage) -> None:
    old, young = draft(tools, 40 * D), draft(tools, 20 * D)
    dataset.take_away(ADA, old, 1, tools)
    touched = draft(tools, 40 * D)
    dataset.add_files(ADA, touched, [NewFile("n.jpg", io.BytesIO(jpeg(9, 520, 520)))], tools)
    assert retention.prune(KEEP, tools) == 1
    rows = {row[0] for row in sql("SELECT DISTINCT lora_model_id FROM training_images")}
    assert rows == {young, touched}
    assert files_in(storage, old) == []
    assert images_of(storage, young) == 2


def test_what_was_launched_or_may_cost_money_stays(tools: DatasetTools, storage: LocalStorage) -> None:
    launched, theirs, doubt = (draft(tools, 40 * D) for _ in range(3))
    sql("INSERT INTO lora_training_jobs (id, lora_model_id, state, stage) VALUES"
        " (gen_random_uuid(), NULL, 'failed', 'training')")  # fmt: skip
    sql("INSERT INTO lora_models (id, name, training_status) VALUES (%s, 'x', 'failed')", launched)
    sql("INSERT INTO lora_training_jobs (lora_model_id, state, stage) VALUES (%s, 'failed', 'training')",
        launched)  # fmt: skip
    sql("INSERT INTO lora_models (id, name, training_status) VALUES (%s, 'theirs', 'pending')", theirs)
    sql(
        "INSERT INTO training_drawings (id, lora_model_id, batch, n, owner, asked_by, provider, model, view,"
        " prompt, reservation_key, state) VALUES (gen_random_uuid(), %s, 1, 0, 'ada', 'Ada', 'kie', 'm', 'v',"
        " 'p', 'k', 'unknown')",
        doubt,
    )
    assert retention.prune(KEEP, tools) == 0
    assert [images_of(storage, one) for one in (launched, theirs, doubt)] == [2, 2, 2]
    sql("UPDATE training_drawings SET state = 'not_sent'")
    assert retention.prune(KEEP, tools) == 1
    assert sql("SELECT 1 FROM training_drawings") == []


def test_a_storage_that_refuses_leaves_it_to_the_next_run(
    tools: DatasetTools, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = draft(tools, 40 * D)

    def refuse(*_: Any) -> bool:
        raise StorageError("The storage does not answer.", retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete", refuse)
        assert retention.prune(KEEP, tools) == 0
    assert dataset.sheet(ADA, old).images == ()
    assert retention.prune(KEEP, tools) == 1
    assert files_in(storage, old) == []
