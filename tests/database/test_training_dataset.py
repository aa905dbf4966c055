"""A draft on a real database and storage: added, shown, taken away, frozen, and made into a ZIP."""

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core import database
from core.access import Actor, Role
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, NotSignedIn, StorageError
from core.providers.training import Bounds
from core.storage.objects import LocalStorage
from core.trainings import dataset, downloads
from core.trainings.dataset import NewFile
from core.trainings.dataset_tools import DatasetTools
from core.trainings.fetching import FetchedImage, Way
from tests.database.shared import shared_database
from tests.unit.image_host import ImageHost, image_host
from tests.unit.photographs import encoded, jpeg, photograph, rotated
from tests.unit.storage_samples import storage_in

ADA = Actor("person", "ada@example.com", "Ada", frozenset({Role.PRODUCT}), "page")
VIEWER = replace(ADA, roles=frozenset({Role.VIEWER}))
NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
FAL = Bounds(images=(4, 1000), steps=(1, 2))
PHOTOS = [jpeg(seed, 520, 520) for seed in range(1, 8)]


@pytest.fixture(scope="module")
def server(postgres_server: str) -> Iterator[str]:
    with shared_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as found:
        yield found


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return storage_in(tmp_path / "files")


@pytest.fixture
def tools(server: str, host: ImageHost, storage: LocalStorage, tmp_path: Path) -> Iterator[DatasetTools]:
    fetcher = host.fetcher()
    yield DatasetTools(
        storage=storage,
        zips=storage,
        fetch=fetcher,
        folder=tmp_path / "scratch",
        clock=lambda: NOW,
        sleep=lambda _: None,
    )
    fetcher.close()


@pytest.fixture
def draft() -> UUID:
    return uuid.uuid4()


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def give(*contents: bytes) -> list[NewFile]:
    return [NewFile(f"photo {n}.jpg", io.BytesIO(content)) for n, content in enumerate(contents, start=1)]


def stored(storage: LocalStorage, bucket: str = "lora-training-images") -> dict[str, bytes]:
    found = {}
    for info in storage.walk(bucket):
        reader = storage.open(bucket, info.path)
        found[info.path] = b"".join(reader.chunks())
        reader.close()
    return found


def launch(draft: UUID) -> None:
    sql("INSERT INTO lora_models (id, name, training_status) VALUES (%s, %s, 'pending')", draft, str(draft))
    sql("INSERT INTO lora_training_jobs (lora_model_id) VALUES (%s)", draft)


def test_images_are_judged_stored_and_shown(tools: DatasetTools, storage: LocalStorage, draft: UUID) -> None:
    png, phone = encoded(photograph(9, 520, 520), "PNG"), rotated(6, photograph(8, 700, 520))
    added = dataset.add_files(ADA, draft, give(PHOTOS[0], png, phone, b"only a text " * 90), tools)
    assert (added.images, added.notes) == ((1, 2, 3, 4), ())
    sheet = dataset.sheet(ADA, draft, FAL)
    assert [one.verdict for one in sheet.images] == ["fits", "fits", "converted", "refused"]
    assert [one.format for one in sheet.images] == ["jpg", "png", "jpg", ""]
    assert [bool(one.thumbnail) for one in sheet.images] == [True, True, True, False]
    assert (sheet.images[2].width, sheet.images[2].height) == (520, 700)
    assert sheet.problems == ("3 images are too few: a training takes 4 to 12. Add 1 more.",)
    folder = f"ada_example_com/{draft}/uploaded"
    files = stored(storage)
    assert set(files) == {f"{folder}/1.jpg", f"{folder}/2.png", f"{folder}/3.jpg"}
    assert (files[f"{folder}/1.jpg"], files[f"{folder}/2.png"]) == (PHOTOS[0], png)
    assert list(tools.folder.iterdir()) == []
    lines = sql("SELECT action, actor_name FROM audit_log WHERE object_id = %s", str(draft))
    assert [tuple(line) for line in lines] == [("training.images_added", "Ada")]


def test_a_customers_images_lie_under_the_customer(
    tools: DatasetTools, storage: LocalStorage, draft: UUID
) -> None:
    who = uuid.uuid4()
    dataset.add_files(ADA, draft, give(PHOTOS[0]), tools, user_id=who)
    assert list(stored(storage)) == [f"{who}/{draft}/uploaded/1.jpg"]


def test_the_same_image_twice_is_one(tools: DatasetTools, storage: LocalStorage, draft: UUID) -> None:
    first = dataset.add_files(ADA, draft, give(PHOTOS[0], PHOTOS[1], PHOTOS[0]), tools)
    assert first.images == (1, 2)
    again = dataset.add_files(ADA, draft, [NewFile("C:\\pics\\other.jpg", io.BytesIO(PHOTOS[1]))], tools)
    assert again.images == ()
    assert again.notes == ("other.jpg is the same image as image 2 (photo 2.jpg); it counts once.",)
    assert "photo 3.jpg is the same image as image 1" in first.notes[0]
    assert len(stored(storage)) == 2


def test_two_tabs_at_once_lose_nothing(tools: DatasetTools, storage: LocalStorage, draft: UUID) -> None:
    batches = [PHOTOS[:3], PHOTOS[2:5], PHOTOS[4:7], PHOTOS[:2]]
    with ThreadPoolExecutor(4) as tabs:
        added = list(tabs.map(lambda batch: dataset.add_files(ADA, draft, give(*batch), tools), batches))
    sheet = dataset.sheet(ADA, draft)
    assert [one.n for one in sheet.images] == [1, 2, 3, 4, 5, 6, 7]
    assert {number for one in added for number in one.images} == set(range(1, 8))
    assert sorted(stored(storage).values()) == sorted(PHOTOS)


def test_an_upload_that_failed_is_taken_up_by_adding_again(
    tools: DatasetTools, storage: LocalStorage, draft: UUID
) -> None:
    class Full(LocalStorage):
        def upload(self, bucket: str) -> Any:
            raise StorageError("The disk is full.", retryable=True)

    full = replace(tools, storage=Full(tools.folder / "x", b"k", {}))
    with pytest.raises(StorageError, match="disk is full"):
        dataset.add_files(ADA, draft, give(PHOTOS[0]), full)
    assert dataset.sheet(ADA, draft).images == ()
    again = dataset.add_files(ADA, draft, give(PHOTOS[0]), tools)
    assert (again.images, again.notes) == ((1,), ())
    assert len(dataset.sheet(ADA, draft).images) == len(stored(storage)) == 1


def test_an_image_is_taken_away_with_its_file_and_its_number(
    tools: DatasetTools, storage: LocalStorage, draft: UUID
) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:3]), tools)
    for _ in range(2):
        dataset.take_away(ADA, draft, 3, tools)
    assert [one.n for one in dataset.sheet(ADA, draft).images] == [1, 2]
    assert len(stored(storage)) == 2
    assert dataset.add_files(ADA, draft, give(PHOTOS[2]), tools).images == (4,)


def test_a_launched_draft_stands(tools: DatasetTools, draft: UUID) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:4]), tools)
    with database.transaction() as connection:
        assert len(dataset.check_ready(connection, draft, FAL).used) == 4
    launch(draft)
    for act in (
        lambda: dataset.add_files(ADA, draft, give(PHOTOS[5]), tools),
        lambda: dataset.add_urls(ADA, draft, ["https://x.example/a.jpg"], tools),
        lambda: dataset.take_away(ADA, draft, 1, tools),
    ):
        with pytest.raises(Conflict, match="launched, so its images stand"):
            act()
    assert len(dataset.sheet(ADA, draft).images) == 4


def test_what_is_not_ready_is_not_launched(tools: DatasetTools, draft: UUID) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:2]), tools)
    with database.transaction() as connection, pytest.raises(InvalidInput, match="Add 2 more"):
        dataset.check_ready(connection, draft, FAL)


def test_who_may(tools: DatasetTools, draft: UUID) -> None:
    for act in (
        lambda actor: dataset.add_files(actor, draft, give(PHOTOS[0]), tools),
        lambda actor: dataset.add_urls(actor, draft, ["https://x.example/a.jpg"], tools),
        lambda actor: dataset.take_away(actor, draft, 1, tools),
        lambda actor: dataset.references_of(actor, draft),
    ):
        with pytest.raises(NotAllowed, match="may not launch a training"):
            act(VIEWER)
        with pytest.raises(NotSignedIn):
            act(None)
    assert dataset.sheet(VIEWER, draft).images == ()
    with pytest.raises(NotSignedIn):
        dataset.sheet(None, draft)


def test_too_much_at_once_is_refused(tools: DatasetTools, draft: UUID) -> None:
    with pytest.raises(InvalidInput, match="25 addresses are too many at once"):
        dataset.add_urls(ADA, draft, [f"https://x.example/{n}.jpg" for n in range(25)], tools)
    with pytest.raises(InvalidInput, match="There are no files"):
        dataset.add_files(ADA, draft, [], tools)
    texts = [b"text %d " % n * 90 for n in range(24)]
    dataset.add_files(ADA, draft, give(*texts), tools)
    dataset.add_files(ADA, draft, give(*(text + b"2" for text in texts)), tools)
    with pytest.raises(InvalidInput, match="keeps at most 60 files"):
        dataset.add_files(ADA, draft, give(*(text + b"3" for text in texts)), tools)


# Addresses and characters.


def test_addresses_are_fetched_and_what_cannot_be_had_is_a_note(
    tools: DatasetTools, host: ImageHost, draft: UUID
) -> None:
    good = host.gives("/mara.jpg", PHOTOS[0])
    page = host.gives("/page.jpg", b"<!doctype html>", "text/html")
    sql("DELETE FROM training_image_downloads")
    private = "https://10.0.0.7/a.jpg"
    added = dataset.add_urls(ADA, draft, [f"{good}?token=s3cret", "", page, private, good], tools)
    assert added.images == (1,)
    assert added.notes[0].startswith("Address 2 (page.jpg): 127.0.0.1 answers with a page or a text, not")
    assert added.notes[1].startswith("Address 3 (a.jpg): Downloads from '10.0.0.7' are not allowed.")
    assert added.notes[2] == "mara.jpg is the same image as image 1 (mara.jpg); it counts once."
    (only,) = dataset.sheet(ADA, draft).images
    assert (only.source, only.name) == ("url", "mara.jpg")
    found = downloads.rates(ADA, NOW - timedelta(minutes=10))
    assert [(way.way, way.succeeded, way.failed) for way in found.ways] == [("direct", 2, 1), ("proxy", 0, 0)]
    assert (found.rate, found.ways[1].rate, found.target) == (2 / 3, None, 0.99)
    assert "s3cret" not in str(sql("SELECT * FROM training_images WHERE lora_model_id = %s", draft))


def test_downloads_add_up_by_way(server: str) -> None:
    sql("DELETE FROM training_image_downloads")
    outcomes = [
        FetchedImage(1, "u", way=Way.DIRECT),
        FetchedImage(2, "u", way=Way.PROXY, failed=(Way.DIRECT,)),
        FetchedImage(3, "u", failed=(Way.DIRECT, Way.PROXY), failure="x"),
        FetchedImage(4, "u", failure="refused", refused=True),
    ]
    for _ in range(2):
        with database.transaction() as connection:
            downloads.count(connection, outcomes, NOW)
    found = downloads.rates(ADA, NOW)
    assert [(way.succeeded, way.failed, way.rate) for way in found.ways] == [(2, 4, 1 / 3), (2, 2, 0.5)]
    assert (found.succeeded, found.lost, found.rate) == (4, 2, 2 / 3)
    assert downloads.rates(ADA, NOW + timedelta(hours=1)).rate is None


def test_a_jobs_characters_become_drafts(tools: DatasetTools, host: ImageHost, draft: UUID) -> None:
    urls = [host.gives(f"/c/{n}.jpg", PHOTOS[n]) for n in range(4)]
    listed = [{"character_id": "mara", "image_url": url} for url in urls]
    listed.append({"character_id": "tom", "image_url": urls[0]})
    sql("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS reference_images jsonb")
    job = uuid.uuid4()
    sql("INSERT INTO jobs (id, status, reference_images) VALUES (%s, 'completed', %s::jsonb)", job,
        json.dumps({"character_references": listed}))  # fmt: skip
    found = dataset.references_of(ADA, job)
    (mara,) = found.characters
    assert "tom is skipped: it has 1 image" in found.skipped[0]
    its_draft = mara.draft_id(draft)
    assert dataset.add_references(ADA, its_draft, mara, tools).images == (1, 2, 3, 4)
    assert {one.source for one in dataset.sheet(ADA, its_draft).images} == {"reference"}
    with pytest.raises(NotFound, match="There is no job"):
        dataset.references_of(ADA, uuid.uuid4())
    sql("UPDATE jobs SET reference_images = NULL WHERE id = %s", job)
    with pytest.raises(NotFound, match="has no character references"):
        dataset.references_of(ADA, job)


# The ZIP.


def test_the_zip_is_made_once(tools: DatasetTools, storage: LocalStorage, draft: UUID) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:3], b"a text " * 99), tools)
    made = dataset.build_zip(draft, tools)
    assert made.path == f"ada_example_com/lora-training/training_{made.sha256}.zip"
    (content,) = stored(storage, made.bucket).values()
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert [opened.read(name) for name in opened.namelist()] == PHOTOS[:3]
    assert (made.images, made.bytes, made.bucket) == (3, len(content), "character-references")

    first = storage.stat(made.bucket, made.path)
    assert dataset.build_zip(draft, tools) == made
    sql("DELETE FROM training_zips")
    assert dataset.build_zip(draft, tools) == made
    other = uuid.uuid4()
    dataset.add_files(ADA, other, give(*PHOTOS[:3]), tools)
    assert dataset.build_zip(other, tools) == made
    assert storage.stat(made.bucket, made.path) == first

    storage.delete(made.bucket, made.path)
    assert dataset.build_zip(draft, tools) == made
    assert stored(storage, made.bucket) == {made.path: content}
    assert tools.zip_link(made.bucket, made.path, timedelta(hours=1)).startswith("/files/character-ref")


def test_other_images_make_another_zip(tools: DatasetTools, draft: UUID) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:4]), tools)
    first = dataset.build_zip(draft, tools)
    dataset.take_away(ADA, draft, 2, tools)
    assert dataset.build_zip(draft, tools).sha256 != first.sha256


def test_a_zip_is_not_made_of_nothing_or_of_what_changed(
    tools: DatasetTools, storage: LocalStorage, draft: UUID
) -> None:
    with pytest.raises(Conflict, match="has no images"):
        dataset.build_zip(draft, tools)
    dataset.add_files(ADA, draft, give(*PHOTOS[:3]), tools)
    (path, *_) = sorted(stored(storage))
    with storage.upload("lora-training-images") as upload:
        upload.write(PHOTOS[6])
        upload.commit(path, "image/jpeg")
    with pytest.raises(StorageError, match="Image 1 is no longer what was stored"):
        dataset.build_zip(draft, tools)
    assert stored(storage, "character-references") == {}


def test_whoever_watches_can_end_it(tools: DatasetTools, draft: UUID) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:3]), tools)

    def lost() -> None:
        raise Conflict("The lease was lost.")

    with pytest.raises(Conflict, match="lease was lost"):
        dataset.build_zip(draft, tools, lost)


def test_old_zips_are_removed_and_those_in_use_stay(
    tools: DatasetTools, storage: LocalStorage, draft: UUID
) -> None:
    dataset.add_files(ADA, draft, give(*PHOTOS[:3]), tools)
    made = dataset.build_zip(draft, tools)
    places = [(made.bucket, made.path), (made.bucket, "ada/lora-training/none.zip")]
    assert dataset.delete_old_zips(tools, NOW + timedelta(hours=1), places) == 0
    assert stored(storage, made.bucket)
    assert dataset.delete_old_zips(tools, NOW + timedelta(hours=25), places) == made.bytes
    assert dataset.delete_old_zips(tools, NOW + timedelta(hours=25), places) == 0
    assert stored(storage, made.bucket) == {}
    assert dataset.build_zip(draft, tools) == made
