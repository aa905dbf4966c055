"""Following: polls under the one limit, sooner while somebody watches, and every step on the timeline."""

import hashlib
import io
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from core import access, settings
from core.deliveries import following, service, tools
from core.providers.contract import TaskRecord
from jobs import adopt
from tests.journeys.world import World, until


def strangers(world: World, count: int) -> list[str]:
    """Due rows whose tasks KIE does not know; their ids."""
    return [
        str(row[0])
        for row in world.sql(
            "INSERT INTO generations (status, task_id)"
            " SELECT 'generating', 'task_of_nobody_' || n FROM generate_series(1, %s) n RETURNING id::text",
            count,
        )
    ]


# The limit.


def test_a_poll_reads_no_more_than_the_limit_grants_and_evenly(world: World) -> None:
    strangers(world, 6)
    world.sql("UPDATE provider_limits SET per_second = 4 WHERE key = 'kie:read'")
    world.sql("UPDATE provider_limits SET next_free_at = now() + interval '0.75 s' WHERE key = 'kie:read'")
    assert world.poll() == 4
    at = sorted(call["at"] for call in world.calls("read"))
    assert at[-1] - at[0] > 500
    assert len(world.sql("SELECT 1 FROM generations WHERE provider_read_at IS NULL")) == 2


def test_a_full_line_leaves_the_rows_as_they_are(world: World) -> None:
    strangers(world, 3)
    world.sql("UPDATE provider_limits SET per_second = 9.5, next_free_at = now() + interval '4 s'")
    before = world.sql("SELECT to_jsonb(g) FROM generations g ORDER BY id")
    assert world.poll() == 0
    assert world.sql("SELECT to_jsonb(g) FROM generations g ORDER BY id") == before
    assert world.calls("read") == []


def test_a_poll_goes_on_while_there_is_more(world: World) -> None:
    strangers(world, following.POLL_CHUNK + 5)
    assert world.poll() == following.POLL_CHUNK + 5
    assert world.poll() == 0


def test_a_poll_that_has_gone_on_long_enough_leaves_the_rest_to_the_next(world: World) -> None:
    strangers(world, following.POLL_CHUNK + 5)
    began = datetime.now(UTC)
    late = iter([began, began])
    passed = began + following.POLL_FOR
    hurried = replace(tools.current(), clock=lambda: next(late, passed))
    assert following.poll_due(hurried) == following.POLL_CHUNK
    assert world.poll() == 5


def test_a_finished_file_does_not_hold_up_the_poll(world: World) -> None:
    """The poll only reads; what it finds finished becomes a job."""
    made = world.create("finished [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    world.due(made["generationId"])
    assert world.poll() == 1
    assert world.row(made["generationId"]).delivery_state == "awaiting_delivery"
    assert world.calls("file") == []
    [(task, lock)] = world.sql("SELECT task_name, queueing_lock FROM procrastinate_jobs")
    assert (task, lock) == ("deliver", f"deliver:{made['generationId']}")


def test_one_record_that_crashes_its_reader_does_not_stop_the_others(world: World) -> None:
    ids = strangers(world, 5)
    kie = tools.current().providers["kie"]

    class Crashing:
        def record(self, task_id: str, *more: Any) -> TaskRecord:
            if task_id.endswith("_3"):
                raise RuntimeError("a bug of ours")
            return kie.record(task_id)

    with_kie: Any = Crashing()
    with pytest.raises(RuntimeError, match="a bug of ours"):
        following.poll_due(replace(tools.current(), providers={"kie": with_kie}))
    read = world.sql("SELECT task_id FROM generations WHERE provider_read_at IS NOT NULL")
    assert len(read) == len(ids) - 1
    [crashed] = world.sql("SELECT id::text, lease_until FROM generations WHERE provider_read_at IS NULL")
    assert crashed.lease_until > datetime.now(UTC)
    world.due(crashed.id)
    assert world.poll() == 1


def test_a_wrong_key_at_kie_is_asked_again_slowly_and_loses_nothing(
    world: World, configure: Callable[..., None]
) -> None:
    one = world.create("key changed [[fault:callback_lost]]")["generationId"]
    configure(KIE_API_KEY="sandbox-another-key")
    world.due(one)
    row = world.step(one)
    event = world.said(one, "poll_failed")
    assert (event.category, event.words) == ("authentication", "You do not have access permissions")
    assert (row.delivery_state, row.status) == ("awaiting_provider", "queued")
    assert row.next_attempt_at is not None
    assert row.next_attempt_at - datetime.now(UTC) > timedelta(minutes=4)


# Watching.


def test_while_somebody_watches_a_row_is_looked_at_every_three_seconds(world: World) -> None:
    one, _ = world.held()
    other = world.create("not watched [[fault:stuck]]")["generationId"]
    operator = access.local_operator(settings.current(), "127.0.0.1")
    before = world.row(other)
    service.watch(operator, [UUID(one)], tools.current())
    row, now = world.row(one), datetime.now(UTC)
    assert row.watched_until is not None
    assert row.next_attempt_at is not None
    assert timedelta(seconds=10) < row.watched_until - now <= timedelta(seconds=16)
    assert row.next_attempt_at - now <= timedelta(seconds=4)
    world.due(one)
    row = world.step(one)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at - datetime.now(UTC) <= timedelta(seconds=3)
    assert world.row(other) == before


def test_watching_moves_nothing_that_has_ended_or_is_not_sent(world: World) -> None:
    failed = world.create("fails [[fault:error_in_200@create=422]]")["generationId"]
    intent = world.create("waits [[fault:rate_limited@create]]")["generationId"]
    before = [world.row(one) for one in (failed, intent)]
    service.watch(access.job("test"), [UUID(failed), UUID(intent), uuid.uuid4()], tools.current())
    assert [world.row(one) for one in (failed, intent)] == before


def test_a_models_own_median_sets_the_first_look(world: World) -> None:
    world.sql(
        "INSERT INTO generations (status, model, delivery_state, asset_url, delivered_at, provider_ms)"
        " SELECT 'success', 'flux-2/pro-text-to-image', 'delivered', 'x', now(), 7000"
        " FROM generate_series(1, 20)"
    )
    row = world.row(world.held()[0])
    assert row.next_attempt_at is not None
    assert row.submitted_at is not None
    assert timedelta(seconds=6) < row.next_attempt_at - row.submitted_at < timedelta(seconds=10)


# Rows that the trigger did not see.


def test_a_row_written_past_the_trigger_is_adopted(world: World) -> None:
    world.sql("ALTER TABLE generations DISABLE TRIGGER zz_studio_ops_follow_generation")
    try:
        [one] = strangers(world, 1)
        assert (world.row(one).delivery_state, world.poll()) == (None, 0)
        assert adopt.run() == 1
    finally:
        world.sql("ALTER TABLE generations ENABLE TRIGGER zz_studio_ops_follow_generation")
    assert world.row(one).delivery_state == "awaiting_provider"
    assert (adopt.run(), world.poll()) == (0, 1)


# The timeline.


def test_every_step_is_told_with_its_facts(world: World) -> None:
    world.sandbox.put("settings", file_bytes=0)
    made = world.create("told [[fault:dead@file*1]] [[fault:callback_lost]] [[fault:latency@create=0.2]]")
    one = made["generationId"]
    row = world.settle(one, {"delivered"})
    steps = world.sql(
        "SELECT kind, attempt, duration_ms, bytes, error_category, words, detail, request_id"
        " FROM delivery_events WHERE generation_id = %s ORDER BY id",
        one,
    )
    told = {step.kind: step for step in steps}
    picture = world.web.get(row.asset_url or "").content
    assert told["created"].detail["by"].startswith("key-")
    assert told["submitted"].attempt == 1
    assert told["accepted"].duration_ms >= 200
    assert told["accepted"].detail == {"task_id": made["taskId"]}
    assert (told["result_ready"].detail["files"], told["result_ready"].duration_ms >= 0) == (1, True)
    assert (told["download_failed"].attempt, told["download_failed"].error_category) == (1, "network")
    assert "broke off" in told["download_failed"].words or "could not" in told["download_failed"].words
    assert told["stored"].bytes == len(picture)
    assert told["stored"].detail["sha256"] == hashlib.sha256(picture).hexdigest()
    assert told["stored"].detail["content_type"] == "image/jpeg"
    assert told["delivered"].attempt == 2
    assert told["delivered"].duration_ms > 200
    assert all(step.request_id for step in steps if step.kind in {"created", "submitted", "accepted"})


def test_a_permanent_file_never_expires_and_is_named_by_its_real_type(world: World) -> None:
    """The model promises a PNG under any name; what counts are its bytes."""
    world.sandbox.put("settings", file_bytes=0)
    body = {
        "model": "flux-2/pro-image-to-image",
        "input": {"prompt": "as a drawing", "input_urls": ["https://example.com/a.jpg"]},
    }
    made = world.web.post("/api/kie/createTask", json=body).json()["generationId"]
    row = world.settle(made, {"delivered"})
    link = row.asset_url or ""
    assert "exp=" not in link
    answer = world.web.get(link)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    kind = Image.open(io.BytesIO(answer.content)).format
    assert answer.headers["content-type"] == f"image/{str(kind).lower()}"
    assert link.partition("?")[0].endswith({"PNG": ".png", "JPEG": ".jpg"}[str(kind)])
    again = world.web.get(link, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_delivery_begins_with_the_callback_not_with_the_next_poll(world: World) -> None:
    """Right after the callback the file is here, though the next poll lies far ahead."""
    one, task = world.held()
    world.sql("UPDATE generations SET next_attempt_at = now() + interval '1 h' WHERE id = %s", one)
    started = time.monotonic()
    world.sandbox.post(f"tasks/{task}/finish")
    until(lambda: "callback" in world.events(one))
    world.work()
    assert world.row(one).delivery_state == "delivered"
    assert time.monotonic() - started < 15
