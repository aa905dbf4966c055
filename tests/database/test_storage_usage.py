"""How much is stored: counted by the table or by listing, kept by the hour, then by the day."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core import database, queries, usage
from core.storage.contract import ObjectInfo
from core.storage.purposes import PURPOSES, ending_of, purpose_of
from tests.database.cluster import Cluster
from tests.database.scenarios import as_user, make_supabase_like, query
from tests.unit.storage_samples import picture, put, storage_in

# Later than any file that is written here.
NOW = datetime(2126, 11, 25, 12, tzinfo=UTC)
JPEG = picture("JPEG")


@dataclass
class SupabaseTable:
    """A storage whose files are known by Supabase's own table; a listing would be a mistake."""

    kind: str = "supabase"
    walked: int = 0

    def walk(self, bucket: str) -> Iterator[ObjectInfo]:
        self.walked += 1
        return iter(())


@pytest.fixture
def connected(migrated_database: str) -> Iterator[str]:
    database.connect(migrated_database)
    yield migrated_database
    database.close()


def counted(found: usage.Snapshot) -> dict[tuple[str, str], tuple[int, int]]:
    return {(line.bucket, line.purpose): (line.files, line.bytes) for line in found.lines if line.files}


def test_a_folder_is_counted_by_purpose(connected: str, tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    assert usage.latest() is None
    for path, content_type in [
        ("u/image/a.jpg", "image/jpeg"),
        ("u/b.JPG", "image/jpeg"),
        ("v.mp4", "video/mp4"),
    ]:
        put(storage, path, JPEG, content_type)
    with storage.upload("character-references") as upload:
        upload.write(b"PK")
        upload.commit("set.zip", "application/zip")
    with storage.upload("generations") as upload:
        upload.write(b"under way, and not counted")
        usage.snapshot(storage, NOW)
    found = usage.latest()
    assert found is not None
    assert (found.taken_at, found.files, found.bytes) == (NOW, 4, 3 * len(JPEG) + 2)
    assert counted(found) == {
        ("generations", "result_image"): (2, 2 * len(JPEG)),
        ("generations", "result_video"): (1, len(JPEG)),
        ("character-references", "training_zip"): (1, 2),
    }
    assert {(line.bucket, line.purpose) for line in found.lines} == {
        (bucket, purpose) for bucket, purposes in PURPOSES.items() for purpose in purposes
    }


def test_the_walk_finds_what_find_finds(tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    for n in range(5):
        put(storage, f"u{n % 2}/image/{n}.jpg", JPEG)
    walked = sorted(storage.walk("generations"), key=lambda info: info.path)
    assert walked == storage.find("generations", "")
    assert list(storage.walk("lora-models")) == []


def test_an_empty_storage_is_a_count_of_nothing(connected: str, tmp_path: Path) -> None:
    usage.snapshot(storage_in(tmp_path), NOW)
    found = usage.latest()
    assert found is not None
    assert (found.files, found.bytes, len(found.lines)) == (0, 0, 7)


def test_old_counts_are_thinned_to_one_a_day_and_then_forgotten(connected: str, tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    begun = NOW - timedelta(days=410)
    for day in (0, 1, 405, 406, 407, 408, 409):
        for hour in (1, 13, 23):
            usage.snapshot(storage, begun.replace(hour=hour) + timedelta(days=day))
    put(storage, "a.jpg", JPEG)
    usage.snapshot(storage, NOW)
    kept = query(connected, "SELECT DISTINCT taken_at FROM storage_usage ORDER BY 1")
    assert [row["taken_at"].strftime("%m-%d %H") for row in kept] == [
        *("11-20 23", "11-21 23", "11-22 23"),
        *("11-23 13", "11-23 23", "11-24 01", "11-24 13", "11-24 23", "11-25 12"),
    ]
    by_day = usage.daily(3, NOW)
    assert [(found.taken_at.day, found.taken_at.hour, found.files) for found in by_day] == [
        (23, 23, 0), (24, 23, 0), (25, 12, 1)
    ]  # fmt: skip
    assert len(usage.daily(400, NOW)) == 6


def test_supabases_own_table_is_asked_once(connected: str) -> None:
    query(
        connected,
        "INSERT INTO storage.buckets (id, name)"
        " SELECT b, b FROM unnest(ARRAY['generations', 'lora-models', 'theirs']) b",
    )
    query(
        connected,
        "INSERT INTO storage.objects (bucket_id, name, metadata) VALUES"
        """ ('generations', 'u/image/a.jpg', '{"size": 100}'),"""
        """ ('generations', 'u/image/b.PNG', '{"size": "20"}'),"""
        """ ('generations', 'u/video/c.mp4', '{"size": 5000000000}'), ('generations', 'u/no ending', '{}'),"""
        """ ('lora-models', 'u/x.safetensors', NULL), ('theirs', 'x.jpg', '{"size": 7}')""",
    )
    storage = SupabaseTable()
    found = usage.snapshot(storage, NOW)  # type: ignore[arg-type]
    assert storage.walked == 0
    assert counted(found) == {
        ("generations", "result_image"): (3, 120),
        ("generations", "result_video"): (1, 5_000_000_000),
        ("lora-models", "weights"): (1, 0),
    }


def test_what_is_stored_while_it_is_counted_is_in_neither_the_number_nor_its_rows(
    connected: str, tmp_path: Path
) -> None:
    storage = storage_in(tmp_path)
    put(storage, "u/image/before.jpg", JPEG, "image/jpeg")
    begun = datetime.now(UTC)
    put(storage, "u/image/meanwhile.jpg", JPEG, "image/jpeg")
    # A file system's clock may be some milliseconds behind.
    [meanwhile] = tmp_path.rglob("meanwhile.jpg")
    os.utime(meanwhile, (begun.timestamp() + 1,) * 2)
    found = usage.snapshot(storage, begun)
    [line] = [line for line in found.lines if line.files]
    listed = list(usage.files(storage, line.bucket, line.purpose, found.taken_at))
    assert [file.path for file in listed] == ["u/image/before.jpg"]
    assert line.files == 1


def test_a_table_that_is_empty_or_hidden_is_not_believed(connected: str) -> None:
    storage = SupabaseTable()
    usage.snapshot(storage, NOW)  # type: ignore[arg-type]
    assert storage.walked == len(PURPOSES)


def test_who_may_count_by_the_table(cluster: Cluster) -> None:
    readable = queries.load("storage")["objects_readable"].sql
    with cluster.database() as url:
        assert query(url, readable) == [{"readable": False}]
        make_supabase_like(url)
        assert query(url, readable) == [{"readable": True}]
        # A login outlives the database of another test that gave it more.
        query(url, "REVOKE supabase_storage_admin FROM company")
        # Row-level security would show this login a part of the files without a word.
        assert query(as_user(url, "company"), readable) == [{"readable": False}]


@pytest.mark.parametrize(
    ("bucket", "path", "purpose"),
    [
        ("generations", "u/image/a.jpg", "result_image"),
        ("generations", "u/video/a.WebM", "result_video"),
        ("generations", "u.mp4/a", "result_image"),
        ("character-references", "c/a.zip", "training_zip"),
        ("character-references", "c/a.mp4", "character_reference"),
        ("lora-models", "u/weights.tar", "weights"),
        ("lora-training-images", "u/a.jpg", "training_image"),
        ("lora-validation", "u/a.png", "validation_image"),
        ("theirs", "a.jpg", "other"),
    ],
)
def test_what_a_file_is_for(bucket: str, path: str, purpose: str) -> None:
    assert purpose_of(bucket, ending_of(path)) == purpose
