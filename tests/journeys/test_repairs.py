"""From a verdict, by its remedy, to the next verdict: over HTTP, by the command, by a page's button."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import access, database
from core.deliveries import tools
from core.diagnosis import remedies
from core.diagnosis.findings import Remedy
from core.errors import Conflict
from core.work import runs
from tests.journeys.world import Said, World, until

STAFF = access.command_line("ada")


def debug(world: World, text: str) -> dict[str, Any]:
    answer = world.web.get("/api/debug/kie", params={"taskId": text})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rule(world: World, text: str) -> str:
    return str(debug(world, text)["diagnosis"]["rule"])


def sync(world: World, task: str) -> dict[str, Any]:
    answer = world.web.get("/api/kie/sync", params={"taskId": task})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("fault", "before", "after"),
    [
        ("callback_lost", "callback-never-arrived", "all-well"),
        ("provider_fail=501", "failed-unrecorded", "provider-failed"),
        ("empty_result", "no-result-named", "no-result-named"),
        ("unknown_state", "unknown-state", "unknown-state"),
        ("stuck", "in-flight", "in-flight"),
        ("truncated_file", "callback-never-arrived", "download-failing"),
    ],
)
def test_a_verdict_its_repair_and_the_next_verdict(world: World, fault: str, before: str, after: str) -> None:
    made = world.create("repaired " + " ".join(f"[[fault:{name}]]" for name in {"callback_lost", fault}))
    task = made["taskId"]
    if fault not in {"stuck", "unknown_state"}:
        world.finished_at_kie(task)
    until(lambda: rule(world, task) == before)
    told = sync(world, task)
    assert told["diagnosis"]["rule"] == after
    assert rule(world, made["generationId"]) == after
    assert world.paid(made["generationId"]) == 1


def test_a_file_that_storage_lost_is_fetched_again_under_its_address(
    world: World, command: Callable[..., Said]
) -> None:
    made = world.create("kept")
    first = world.settle(made["generationId"], {"delivered"})
    with pytest.raises(Conflict, match="No file of it is missing"):
        remedies.press(STAFF, Remedy.FETCH_AGAIN, first.id, tools.current())
    world.files()[0].unlink()
    told = debug(world, made["taskId"])
    assert told["diagnosis"]["rule"] == "file-missing"
    assert [offer["remedy"] for offer in told["remedies"]] == ["fetch_again", "make_again"]
    done = command("sync", made["taskId"])
    assert done.code == 0
    assert "(file-missing)" in done.out
    assert "(all-well)" in done.out
    again = world.row(made["generationId"])
    assert (again.asset_url, again.delivered_at) == (first.asset_url, first.delivered_at)
    assert len(world.files()) == 1
    assert world.sql("SELECT count(*) FROM job_costs")[0][0] == 1
    [line] = world.sql(
        "SELECT after FROM audit_log WHERE object_id = %s AND action = 'generation.fetch_again'",
        str(first.id),
    )
    assert len(line.after["missing_files"]) == 1


def test_sync_over_http_fetches_a_lost_file_again_and_takes_the_generations_own_id(world: World) -> None:
    made = world.create("kept")
    first = world.settle(made["generationId"], {"delivered"})
    world.files()[0].unlink()
    told = sync(world, made["generationId"])
    assert (told["taskId"], told["diagnosis"]["rule"]) == (made["taskId"], "all-well")
    assert told["assetUrl"].endswith(first.asset_url or "no address")
    assert world.web.get(told["assetUrl"]).status_code == 200
    assert world.events(made["generationId"]).count("sync_requested") == 1
    assert sync(world, made["taskId"])["diagnosis"]["rule"] == "all-well"
    assert world.events(made["generationId"]).count("sync_requested") == 1


@pytest.mark.parametrize("name", ["theirs.jpg", "theirs.jpeg"])
def test_a_lost_file_that_the_application_stored_comes_back_under_its_address(
    world: World, name: str
) -> None:
    """Nobody here recorded it: the row's address alone says where it was."""
    made = world.create("theirs")
    ours = world.settle(made["generationId"], {"delivered"})
    world.files()[0].unlink()
    address = tools.current().storage.url("generations", f"someone/{name}")
    world.sql("DELETE FROM stored_files")
    world.sql("UPDATE generations SET asset_url = %s WHERE id = %s", address, ours.id)
    assert rule(world, made["taskId"]) == "file-missing"
    remedies.press(STAFF, Remedy.FETCH_AGAIN, ours.id, tools.current())
    again = world.settle(made["generationId"], {"delivered"})
    assert again.asset_url == address
    assert world.web.get(address).status_code == 200
    assert [path.name for path in world.files()] == [name]
    assert rule(world, made["taskId"]) == "all-well"


def test_a_file_that_may_be_anothers_is_never_written_over(world: World) -> None:
    other = world.settle(world.create("another")["generationId"], {"delivered"})
    [kept] = world.files()
    before = kept.stat()
    made = world.create("copied [[fault:callback_lost]]")
    world.sql("UPDATE generations SET asset_url = %s WHERE id = %s", other.asset_url, made["generationId"])
    row = world.settle(made["generationId"], {"delivered"})
    assert row.asset_url != other.asset_url
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(world.files()) == 2


def test_what_cannot_be_rescued_is_made_again_once_and_paid_once(world: World) -> None:
    made = world.create("failed [[fault:provider_fail=501]]")
    failed = world.settle(made["generationId"], {"failed"})
    assert rule(world, made["taskId"]) == "provider-failed"
    new = {remedies.press(STAFF, Remedy.MAKE_AGAIN, failed.id, tools.current()).id for _ in range(3)}
    assert len(new) == 1
    told = debug(world, made["taskId"])
    assert UUID(told["remadeAs"]) in new
    assert told["remedies"] == []


def test_the_command_ends_with_one_where_a_person_is_needed(
    world: World, command: Callable[..., Said]
) -> None:
    made = world.create("typed [[fault:provider_fail=501]] [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    done = command("sync", made["generationId"])
    assert done.code == 1
    assert "(provider-failed)" in done.out
    assert "next: Make it again" in done.out


def test_the_command_takes_the_address_of_the_file_too(world: World, command: Callable[..., Said]) -> None:
    row = world.settle(world.create("by its address")["generationId"], {"delivered"})
    world.files()[0].unlink()
    done = command("sync", world.environment["PUBLIC_BASE_URL"] + (row.asset_url or ""))
    assert (done.code, "(all-well)" in done.out) == (0, True), done.out + done.err
    assert command("sync", "https://nobody.example/a.png").code == 1


def test_two_people_at_once_make_one_attempt(world: World) -> None:
    runs.beat(uuid4(), "worker", database.now())
    generation, _ = world.held()
    remedies.press(STAFF, Remedy.SYNC, UUID(generation), tools.current())
    with pytest.raises(Conflict, match="has just asked for it"):
        remedies.press(STAFF, Remedy.SYNC, UUID(generation), tools.current())
    assert world.events(generation).count("sync_requested") == 1


def test_questions_wait_in_the_line_that_all_reads_share(world: World) -> None:
    _, task = world.held()
    place = "SELECT next_free_at FROM provider_limits WHERE key = 'kie:read'"
    world.sql("UPDATE provider_limits SET per_second = 0.5 WHERE key = 'kie:read'")
    assert rule(world, task) == "in-flight"
    [(first,)] = world.sql(place)
    assert rule(world, task) == "in-flight"
    [(second,)] = world.sql(place)
    assert (second - first).total_seconds() >= 1.9
