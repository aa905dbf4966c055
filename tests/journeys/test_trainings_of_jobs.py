"""Trainings of an earlier job: a LoRA a character, all launched or all refused, the skipped ones told."""

import json
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.budget.models import BudgetExceeded
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.trainings import dataset, earlier_jobs, service
from core.trainings.models import Launch, NameTaken, QuotaExceeded, RunState
from core.trainings.tools import Tools
from tests.journeys.training_world import STAFF, VIEWER, Trainings, photograph
from tests.unit.image_host import ImageHost, image_host


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as found:
        yield found


@pytest.fixture
def outside(trainings: Trainings, host: ImageHost) -> Iterator[Tools]:
    """The tools of a product that may fetch from the host of the application's references."""
    fetcher = host.fetcher()
    yield replace(trainings.tools, dataset=replace(trainings.tools.dataset, fetch=fetcher))
    fetcher.close()


def job_of(trainings: Trainings, host: ImageHost, **counts: int) -> UUID:
    """A job of the company's application with so many references of each character."""
    listed = [
        {
            "character_id": name,
            "image_url": host.gives(f"/{name}/{n}.jpg", photograph(zlib.crc32(f"{name}{n}".encode()))),
        }
        for name, count in counts.items()
        for n in range(count)
    ]
    trainings.world.sql("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS reference_images jsonb")
    job_id = uuid.uuid4()
    trainings.world.sql(
        "INSERT INTO jobs (id, status, reference_images) VALUES (%s, 'completed', CAST(%s AS jsonb))",
        job_id,
        json.dumps({"character_references": listed}),
    )
    return job_id


def wishes(beginning: UUID, job_id: UUID, name: str = "Heist", **changes: Any) -> list[Launch]:
    """What the page launches for every character of the job."""
    return [
        Launch(
            request_key=f"page:{one.draft_id(beginning)}",
            draft_id=one.draft_id(beginning),
            name=one.lora_name(name),
            trigger_word=one.trigger_word("heist", n),
            trainer="fal",
            steps=1000,
            description="Two thieves of the nineties",
            job_id=job_id,
            reference_urls=one.urls,
            **changes,
        )
        for n, one in enumerate(dataset.references_of(STAFF, job_id).characters, start=1)
    ]


def test_each_character_becomes_a_lora_of_its_own(
    trainings: Trainings, outside: Tools, host: ImageHost
) -> None:
    job_id, beginning = job_of(trainings, host, mara=4, tom=5, una=2), uuid.uuid4()
    found, added = earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    assert {name: len(one.images) for name, one in added.items()} == {"mara": 4, "tom": 5}
    assert [sentence.split(":")[0] for sentence in found.skipped] == ["una is skipped"]
    assert earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)[1] == {}
    runs = service.launch_all(STAFF, wishes(beginning, job_id), outside, notes=found.skipped)
    again = service.launch_all(STAFF, wishes(beginning, job_id), outside, notes=found.skipped)
    assert [run.id for run in again] == [run.id for run in runs]
    assert [run.lora_name for run in runs] == ["Heist · mara", "Heist · tom"]
    assert [run.trigger_word for run in runs] == ["heist_mara", "heist_tom"]
    assert trainings.reserved() == 2 * Decimal("2.1050")
    assert len({run.reservation_key for run in runs}) == 2
    rows = trainings.world.sql(
        "SELECT triggered_by_job_id, character_description, cardinality(reference_image_urls), description"
        " FROM lora_models WHERE id = ANY(%s) ORDER BY name",
        [run.lora_id for run in runs],
    )
    words = "Two thieves of the nineties"
    assert [tuple(row) for row in rows] == [(job_id, words, 4, words), (job_id, words, 5, words)]
    assert "una is skipped: it has 2 images" in trainings.log(runs[0].id)
    assert trainings.settle(runs[1].id, RunState.AWAITING_VERDICT).images == 5


def test_an_image_that_somebody_took_away_is_no_reference_of_the_lora(
    trainings: Trainings, outside: Tools, host: ImageHost
) -> None:
    job_id, beginning = job_of(trainings, host, mara=5), uuid.uuid4()
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    [wish] = wishes(beginning, job_id)
    dataset.take_away(STAFF, wish.draft_id, 2, outside.dataset)
    [run] = service.launch_all(STAFF, [wish], outside)
    [row] = trainings.world.sql("SELECT reference_image_urls FROM lora_models WHERE id = %s", run.lora_id)
    assert row.reference_image_urls == [url for n, url in enumerate(wish.reference_urls, 1) if n != 2]


def test_of_a_draft_from_before_all_references_stay(
    trainings: Trainings, outside: Tools, host: ImageHost
) -> None:
    job_id, beginning = job_of(trainings, host, mara=4), uuid.uuid4()
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    trainings.world.sql("UPDATE training_images SET source_sha256 = NULL")
    [wish] = wishes(beginning, job_id)
    [run] = service.launch_all(STAFF, [wish], outside)
    [row] = trainings.world.sql("SELECT reference_image_urls FROM lora_models WHERE id = %s", run.lora_id)
    assert row.reference_image_urls == list(wish.reference_urls)


def launched(trainings: Trainings) -> list[Any]:
    return trainings.world.sql("SELECT id FROM lora_training_jobs")


@pytest.mark.parametrize(
    ("refusal", "sentence", "spoil"),
    [
        (QuotaExceeded, "Heist · tom: 5 of 5 LoRAs", "quota"),
        (BudgetExceeded, "Heist · tom: This would take", "budget"),
        (NameTaken, "Heist · tom: You have a LoRA named", "name"),
        (InvalidInput, "Heist · tom: 3 images are too few", "images"),
    ],
)
def test_all_are_refused_when_one_is(
    trainings: Trainings,
    outside: Tools,
    host: ImageHost,
    refusal: type[Exception],
    sentence: str,
    spoil: str,
) -> None:
    job_id, beginning = job_of(trainings, host, mara=4, tom=4), uuid.uuid4()
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    wanted = wishes(beginning, job_id)
    if spoil == "quota":
        trainings.world.sql(
            "INSERT INTO lora_models (name, creator_key, training_status, counted_at)"
            " SELECT 'known ' || n, 'staff:ada', 'validating', now() FROM generate_series(1, 4) n"
        )
    elif spoil == "budget":
        trainings.world.sql(
            "INSERT INTO budget_totals (scope, month, settled_usd) VALUES"
            " ('trainings', date_trunc('month', now() AT TIME ZONE 'UTC')::date, 197)"
        )
    elif spoil == "name":
        trainings.launch(name="Heist · tom")
    else:
        dataset.take_away(STAFF, wanted[1].draft_id, 1, outside.dataset)
    before, reserved = len(launched(trainings)), trainings.reserved()
    with pytest.raises(refusal) as refused:
        service.launch_all(STAFF, wanted, outside)
    assert refused.value.message.startswith(sentence)  # type: ignore[attr-defined]
    assert (len(launched(trainings)), trainings.reserved()) == (before, reserved)
    assert trainings.world.sql("SELECT 1 FROM lora_models WHERE name = 'Heist · mara'") == []


def test_a_part_that_is_launched_already_is_named(
    trainings: Trainings, outside: Tools, host: ImageHost
) -> None:
    job_id, beginning = job_of(trainings, host, mara=4, tom=4), uuid.uuid4()
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    mara, tom = wishes(beginning, job_id)
    service.launch_all(STAFF, [mara], outside)
    with pytest.raises(Conflict, match="Launched already: Heist · mara"):
        service.launch_all(STAFF, [mara, tom], outside)
    assert len(service.launch_all(STAFF, [tom], outside)) == 1


def test_an_image_that_was_taken_away_stays_away(
    trainings: Trainings, outside: Tools, host: ImageHost
) -> None:
    job_id, beginning = job_of(trainings, host, mara=5), uuid.uuid4()
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    [mara] = wishes(beginning, job_id)
    dataset.take_away(STAFF, mara.draft_id, 2, outside.dataset)
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    assert [image.n for image in dataset.sheet(STAFF, mara.draft_id).images] == [1, 3, 4, 5]


def test_a_job_that_is_deleted_meanwhile_stands_in_nobodys_way(
    trainings: Trainings, outside: Tools, host: ImageHost
) -> None:
    job_id, beginning = job_of(trainings, host, mara=4), uuid.uuid4()
    earlier_jobs.bring(STAFF, beginning, job_id, outside.dataset)
    wanted = wishes(beginning, job_id)
    trainings.world.sql("DELETE FROM jobs WHERE id = %s", job_id)
    [run] = service.launch_all(STAFF, wanted, outside)
    assert trainings.world.sql("SELECT triggered_by_job_id FROM lora_models WHERE id = %s", run.lora_id) == [
        (None,)
    ]


def test_the_newest_jobs_with_characters(trainings: Trainings, host: ImageHost) -> None:
    trainings.world.sql("DELETE FROM jobs")
    first = job_of(trainings, host, mara=3, tom=2)
    trainings.world.sql("UPDATE jobs SET created_at = now() - interval '1 h'")
    second = job_of(trainings, host, una=6)
    job_of(trainings, host, tom=2)
    trainings.world.sql("INSERT INTO jobs (status) VALUES ('completed')")
    found = earlier_jobs.newest(STAFF)
    assert [(job.id, job.images, len(job.skipped)) for job in found] == [(second, 6, 0), (first, 3, 1)]
    with pytest.raises(NotAllowed):
        earlier_jobs.newest(VIEWER)
    with pytest.raises(NotFound):
        earlier_jobs.bring(STAFF, uuid.uuid4(), uuid.uuid4(), trainings.tools.dataset)
