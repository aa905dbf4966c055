"""Rows that the company's own application writes, without our columns: followed and delivered like ours."""

import json
import uuid
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from core import access
from core.deliveries import following, tools
from core.deliveries import views as deliveries
from jobs import heal
from tests.journeys.world import World, until

FLUX = "flux-2/pro-text-to-image"
KLING = "kling-2.6/text-to-video"


def task_at_kie(world: World, prompt: str = "theirs", model: str = FLUX, callback: str | None = None) -> str:
    """A task that the company's application has paid for; its id."""
    given: dict[str, Any] = {"prompt": prompt, "aspect_ratio": "1:1"}
    given |= {"resolution": "1K"} if model == FLUX else {"sound": False, "duration": "5"}
    headers = {"Authorization": f"Bearer {world.environment['KIE_API_KEY']}"}
    body = {"model": model, "input": given} | ({"callBackUrl": callback} if callback else {})
    answer = httpx.post(f"{world.sandbox.url}/api/v1/jobs/createTask", json=body, headers=headers)
    return str(answer.json()["data"]["taskId"])


def written(world: World, **columns: Any) -> str:
    """A row as the application inserts it; its id."""
    names = ", ".join(columns)
    [(found,)] = world.sql(
        f"INSERT INTO generations ({names}) VALUES ({', '.join(['%s'] * len(columns))}) RETURNING id::text",
        *columns.values(),
    )
    return str(found)


def user(world: World) -> str:
    [(found,)] = world.sql(
        "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), %s) RETURNING id::text",
        f"{uuid.uuid4().hex}@example.com",
    )
    return str(found)


def test_a_row_with_its_own_columns_alone_is_followed_and_delivered(world: World) -> None:
    customer = user(world)
    one = written(
        world,
        user_id=customer,
        status="generating",
        kind="image",
        model=FLUX,
        prompt="theirs",
        task_id=task_at_kie(world),
    )
    row = world.settle(one, {"delivered"})
    assert (row.status, row.ours, row.submitted_at) == ("success", False, None)
    assert (row.asset_url or "").startswith(f"/files/generations/{customer}/image/{one}_")
    assert world.web.get(row.asset_url or "").headers["content-type"] == "image/jpeg"
    assert world.events(one)[-3:] == ["result_ready", "stored", "delivered"]
    assert world.sql("SELECT 1 FROM job_costs") == []
    assert len(world.calls("create")) == 1


@pytest.mark.parametrize("status", ["queued", "pending", "processing", "in_progress", "GENERATING"])
def test_older_words_of_a_running_task_are_followed(world: World, status: str) -> None:
    one = written(world, status=status, task_id=task_at_kie(world))
    assert world.row(one).delivery_state == "awaiting_provider"
    assert world.settle(one, {"delivered"}).status == "success"


def test_without_kind_and_user_the_model_tells_the_kind(world: World) -> None:
    task = task_at_kie(world, model=KLING)
    one = written(world, status="generating", model=KLING, task_id=task)
    row = world.settle(one, {"delivered"})
    assert (row.asset_url or "").startswith(f"/files/generations/studio-ops/video/{one}_")
    assert world.web.get(row.asset_url or "").headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("kind", ["фото", "../../escape", "a b", "", "k" * 60])
def test_a_kind_that_no_storage_key_takes_does_not_stop_a_delivery(world: World, kind: str) -> None:
    one = written(world, status="generating", kind=kind, task_id=task_at_kie(world))
    row = world.settle(one, {"delivered"})
    assert (row.asset_url or "").startswith("/files/generations/studio-ops/")
    assert world.web.get(row.asset_url or "").status_code == 200
    assert len(world.files()) == 1


def test_a_task_id_that_comes_later_starts_the_following(world: World) -> None:
    one = written(world, status="queued", model=FLUX)
    assert (world.row(one).delivery_state, world.poll()) == (None, 0)
    world.sql("UPDATE generations SET task_id = %s WHERE id = %s", task_at_kie(world), one)
    assert world.settle(one, {"delivered"}).status == "success"


def test_their_own_callback_url_is_enough_for_ours_to_find_the_row_by_its_task(world: World) -> None:
    """The application sends KIE to our callback with the secret and nothing else."""
    base = f"{world.environment['PUBLIC_BASE_URL']}/api/kie/callback?secret="
    secret = world.environment["KIE_CALLBACK_SECRET"]
    task = task_at_kie(world, "[[fault:stuck]]", callback=base + secret)
    one = written(world, status="generating", task_id=task)
    world.sql("UPDATE generations SET next_attempt_at = now() + interval '1 h' WHERE id = %s", one)
    world.sandbox.post(f"tasks/{task}/finish")
    until(lambda: "callback" in world.events(one))
    world.work()
    assert world.row(one).delivery_state == "delivered"


def test_success_with_their_own_file_is_left_alone(world: World) -> None:
    one = written(world, status="generating", task_id=task_at_kie(world))
    world.sql(
        "UPDATE generations SET status = 'success', asset_url = 'https://cdn.example.com/1.jpg'"
        " WHERE id = %s",
        one,
    )
    assert world.row(one).delivery_state == "delivered"
    before = world.sql("SELECT to_jsonb(g) FROM generations g")
    world.due(one)
    assert (world.poll(), world.sweep()) == (0, 0)
    world.work()
    assert world.row(one).asset_url == "https://cdn.example.com/1.jpg"
    assert (world.files(), world.events(one), len(before)) == ([], [], 1)


def test_success_of_theirs_while_ours_is_being_fetched_wins(world: World) -> None:
    task = task_at_kie(world)
    one = written(world, status="generating", task_id=task)
    world.finished_at_kie(task)
    fetch = tools.current().fetch

    class Meanwhile:
        def open_stream(self, url: str) -> Any:
            world.sql(
                "UPDATE generations SET status = 'success', asset_url = 'https://cdn.example.com/2.jpg'"
                " WHERE id = %s",
                one,
            )
            return fetch.open_stream(url)

    with_fetch: Any = Meanwhile()
    row = following.advance(UUID(one), replace(tools.current(), fetch=with_fetch))
    assert row is not None
    assert (row.delivery_state, row.asset_url) == ("delivered", "https://cdn.example.com/2.jpg")
    assert row.lease_until is None
    assert "delivered" not in world.events(one)
    assert world.sql("SELECT 1 FROM stored_files") == []


@pytest.mark.parametrize("urls", ["named", "unnamed"])
def test_success_without_a_file_is_fetched_from_kies_record(world: World, urls: str) -> None:
    """What they marked as finished and never stored: a missing result is recovered."""
    task = task_at_kie(world)
    world.finished_at_kie(task)
    result = json.loads(world.sandbox.get(f"tasks/{task}")["record"]["resultJson"])["resultUrls"]
    more = {"result_urls": result} if urls == "named" else {}
    one = written(world, status="success", task_id=task, **more)
    assert world.row(one).delivery_state == "awaiting_delivery"
    row = world.settle(one, {"delivered"})
    assert (row.status, len(world.files())) == ("success", 1)
    assert world.web.get(row.asset_url or "").status_code == 200


def test_success_without_file_urls_or_task_is_left_to_a_person(world: World) -> None:
    one = written(world, status="success")
    row = world.step(one)
    assert (row.delivery_state, row.next_attempt_at) == ("needs_attention", None)
    assert row.lease_until is None
    assert world.sweep() == 0


def test_their_failure_is_not_polled_but_a_person_may_look_again(world: World) -> None:
    task = task_at_kie(world)
    one = written(world, status="failed", task_id=task)
    assert (world.row(one).delivery_state, world.poll(), world.sweep()) == ("failed", 0, 0)
    world.finished_at_kie(task)
    answer = world.web.get("/api/kie/sync", params={"taskId": task}).json()
    assert (answer["status"], answer["deliveryState"]) == ("success", "delivered")


def test_two_rows_of_one_task_are_both_delivered_and_the_newest_is_synced(world: World) -> None:
    task = task_at_kie(world)
    older = written(world, status="generating", task_id=task)
    newer = written(world, status="generating", task_id=task)
    world.sql("UPDATE generations SET created_at = created_at - interval '1 h' WHERE id = %s", older)
    world.finished_at_kie(task)
    answer = world.web.get("/api/kie/sync", params={"taskId": task}).json()
    assert answer["generationId"] == newer
    assert world.settle(older, {"delivered"}).status == "success"
    assert len(world.files()) == 2
    debug = world.web.get("/api/debug/kie", params={"taskId": task}).json()
    assert debug["diagnosis"]["rule"] == "two-rows"


def test_a_row_of_another_provider_is_not_followed_and_sync_says_so(world: World) -> None:
    one = written(world, status="generating", provider="fal", task_id="fal-request-1")
    assert (world.row(one).delivery_state, world.poll(), world.sweep()) == (None, 0, 0)
    answer = world.web.get("/api/kie/sync", params={"taskId": "fal-request-1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "not followed" in answer.json()["error"]["message"]
    assert world.calls("read") == []


def test_a_row_from_months_ago_that_kie_has_forgotten_is_lost(world: World) -> None:
    one = written(world, status="generating", task_id="task_of_long_ago")
    world.age(one, "60 days")
    row = world.step(one)
    assert (row.delivery_state, row.status) == ("lost", "failed")
    assert "forgotten" in (row.failure_message or "")


def test_a_generation_made_anew_after_its_delivery_keeps_both_files(world: World) -> None:
    one = written(world, status="generating", kind="image", model=FLUX, task_id=task_at_kie(world, "first"))
    first = world.settle(one, {"delivered"}).asset_url or ""
    world.sql(
        "UPDATE generations SET status = 'generating', task_id = %s, asset_url = NULL WHERE id = %s",
        task_at_kie(world, "second"),
        one,
    )
    second = world.settle(one, {"delivered"}).asset_url or ""
    assert first.partition("?")[0] != second.partition("?")[0]
    assert len(world.files()) == 2
    assert world.web.get(first).status_code == world.web.get(second).status_code == 200
    shown = deliveries.detail(access.command_line("ada"), UUID(one)).files
    assert [file.url for file in shown] == [second]


@pytest.mark.parametrize(
    ("marker", "state", "theirs", "ours"),
    [
        ("", "delivered", "failed", "success"),
        ("", "delivered", "generating", "success"),
        ("[[fault:provider_fail=500]]", "failed", None, "failed"),
    ],
)
def test_a_status_written_over_the_end_is_put_right(
    world: World, marker: str, state: str, theirs: str | None, ours: str
) -> None:
    one = world.create(f"ended {marker}")["generationId"]
    ended = world.settle(one, {state})
    if theirs:
        world.sql("UPDATE generations SET status = %s WHERE id = %s", theirs, one)
    assert heal.run() == 0, "it may be in the middle of its changes"
    world.sql("UPDATE generations SET status_differs_at = status_differs_at - interval '2 min'")
    assert heal.run() == (1 if theirs else 0)
    row = world.row(one)
    assert (row.status, row.delivery_state, row.asset_url) == (ours, state, ended.asset_url)
    if theirs:
        assert world.said(one, "status_restored").detail == {"was": theirs, "is": ours}
    assert heal.run() == 0
