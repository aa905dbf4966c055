"""A generation delivered into each storage; and storages that refuse, with what the timeline says of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import stamina

from core.storage.buckets import BUCKETS
from tests.journeys.world import World
from tests.storage.addresses import environment
from tests.storage.conftest import s3, s3_server, supabase, supabase_server
from tests.storage.fake_supabase import FakeSupabase

__all__ = ["s3", "s3_server", "supabase", "supabase_server"]

Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """As many attempts as ever, without the pauses between them."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def at_supabase(
    world: World, supabase: FakeSupabase, configure: Configure, tmp_path: Path
) -> tuple[World, FakeSupabase]:
    """A product whose storage is a Supabase project with its buckets."""
    configure(**environment("supabase", supabase.url, tmp_path))
    return world, supabase


def delivered(world: World, prompt: str = "a lighthouse at dusk") -> str:
    """Create one and follow it to its address."""
    made = world.create(prompt)["generationId"]
    row = world.settle(made, {"delivered"})
    assert row.asset_url is not None
    return row.asset_url


def test_delivered_into_supabase(at_supabase: tuple[World, FakeSupabase]) -> None:
    world, supabase = at_supabase
    url = delivered(world)
    assert url.startswith(f"{supabase.url}/storage/v1/object/public/generations/studio-ops/image/")
    picture = httpx.get(url)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert picture.content.startswith(b"\xff\xd8\xff")
    ((path, size, told),) = world.sql("SELECT path, bytes, url FROM stored_files")
    assert (size, told) == (len(picture.content), url)
    assert list(supabase.files) == [("generations", path)]
    assert world.files() == []


def test_delivered_into_r2(world: World, s3: str, configure: Configure, tmp_path: Path) -> None:
    configure(**environment("r2", s3, tmp_path))
    url = delivered(world)
    assert url.startswith(f"{s3}/studio/generations/studio-ops/image/")
    picture = httpx.get(url)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert world.files() == []


def test_delivered_into_the_folder(world: World) -> None:
    picture = world.web.get(delivered(world))
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")


def full(server: FakeSupabase) -> None:
    server.buckets["generations"]["file_size_limit"] = 1000


def wrong_types(server: FakeSupabase) -> None:
    server.buckets["generations"]["allowed_mime_types"] = ["image/png"]


def private(server: FakeSupabase) -> None:
    server.buckets["generations"]["public"] = False


def missing(server: FakeSupabase) -> None:
    del server.buckets["generations"]


def other_key(server: FakeSupabase) -> None:
    server.key = "sb_secret_of_another_project_012345"


def restricted(server: FakeSupabase) -> None:
    server.faults.statuses = [402] * 200


def broken(server: FakeSupabase) -> None:
    server.faults.statuses = [503] * 200


def cut(server: FakeSupabase) -> None:
    server.faults.cut_uploads = 200


def mend(server: FakeSupabase) -> None:
    """What a person does after reading the sentence."""
    server.key = environment("supabase", "", Path())["SUPABASE_SERVICE_ROLE_KEY"]
    server.faults.statuses, server.faults.cut_uploads = [], 0
    for bucket in BUCKETS:
        server.buckets[bucket.name] = {
            "id": bucket.name,
            "public": bucket.public,
            "file_size_limit": bucket.max_bytes,
            "allowed_mime_types": list(bucket.content_types),
        }


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (full, "Raise the bucket's file size limit"),
        (wrong_types, "Add it to the bucket's allowed types"),
        (private, "is private at Supabase"),
        (missing, "There is no bucket generations at Supabase. Make it with: python -m jobs migrate"),
        (other_key, "Check SUPABASE_SERVICE_ROLE_KEY"),
        (restricted, "Supabase has restricted the project"),
        (broken, "Supabase Storage failed (503)"),
        (cut, "The connection to Supabase Storage"),
    ],
)
def test_a_storage_that_refuses_is_told_and_tried_until_it_is_mended(
    at_supabase: tuple[World, FakeSupabase], harm: Callable[[FakeSupabase], None], says: str
) -> None:
    world, supabase = at_supabase
    made = world.create("rescued [[fault:callback_lost]]")
    one = made["generationId"]
    world.finished_at_kie(made["taskId"])
    harm(supabase)
    pauses = []
    for tries in (1, 2, 3):
        world.due(one)
        world.step(one)
        row = world.row(one)
        assert (row.delivery_state, row.attempt, row.asset_url) == ("awaiting_delivery", tries, None)
        event = world.said(one, "download_failed")
        assert says in event.words
        assert says in (row.failure_message or says)
        ((pause,),) = world.sql("SELECT extract(epoch FROM next_attempt_at - now()) FROM generations")
        pauses.append(float(pause))
    assert pauses == sorted(pauses)
    assert supabase.files == {}
    mend(supabase)
    row = world.settle(one, {"delivered"})
    assert row.asset_url is not None
    assert httpx.get(row.asset_url).status_code == 200
    assert (world.paid(one), world.events(one).count("delivered")) == (1, 1)


def test_r2_without_its_bucket_is_told_and_tried_until_it_is_mended(
    world: World, s3: str, configure: Configure, tmp_path: Path
) -> None:
    configure(**environment("r2", s3, tmp_path))
    made = world.create("rescued [[fault:callback_lost]]")
    one = made["generationId"]
    world.finished_at_kie(made["taskId"])
    httpx.post(f"{s3}/moto-api/reset").raise_for_status()
    world.due(one)
    world.step(one)
    assert "There is no R2 bucket studio" in world.said(one, "download_failed").words
    httpx.put(f"{s3}/studio").raise_for_status()
    assert world.settle(one, {"delivered"}).asset_url
