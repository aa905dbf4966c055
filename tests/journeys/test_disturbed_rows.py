"""Rows that another system, a clock or a coincidence disturbs are delivered, with their own file."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.deliveries import following, tools
from core.work import limiter
from core.work.limiter import Limit, Priority
from tests.journeys.world import World

MODEL = "flux-2/pro-text-to-image"


def waiting(world: World, prompt: str = "a mill by the river") -> tuple[str, str]:
    """A generation that KIE has finished and nobody has looked at: its id and its task's."""
    made = world.create(f"{prompt} [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    world.due(made["generationId"])
    return made["generationId"], made["taskId"]


def company_row(world: World, **values: object) -> str:
    """A row as the company's application writes it."""
    given = {"id": uuid4(), "provider": "kie", "kind": "image", "model": MODEL, **values}
    columns, marks = ", ".join(given), ", ".join(["%s"] * len(given))
    world.sql(f"INSERT INTO generations ({columns}) VALUES ({marks})", *given.values())
    return str(given["id"])


@pytest.mark.parametrize("moment", ["infinity", "58870-06-05", "-infinity"])
def test_a_row_with_an_impossible_time_holds_up_no_other(world: World, moment: str) -> None:
    company_row(world, status="generating", task_id="poison", created_at=moment)
    generation, _ = waiting(world)
    assert world.settle(generation, {"delivered"}).status == "success"


def test_another_task_put_into_the_row_while_the_old_one_is_read_delivers_its_own_file(world: World) -> None:
    generation, old = waiting(world, "the old one")
    _, new = waiting(world, "the new one")

    def meanwhile(_: float) -> None:
        world.sql("UPDATE generations SET task_id = %s WHERE id = %s", new, generation)

    following.advance(UUID(generation), replace(tools.current(), sleep=meanwhile))
    row = world.row(generation)
    assert (row.delivery_state, row.task_id, row.asset_url) == ("awaiting_provider", new, None)
    delivered = world.settle(generation, {"delivered"})
    assert delivered.result_urls[0] in str(world.sandbox.get(f"tasks/{new}")["record"])
    assert delivered.result_urls[0] not in str(world.sandbox.get(f"tasks/{old}")["record"])


def test_a_callback_during_the_last_look_is_not_forgotten(world: World) -> None:
    generation, task = waiting(world)
    world.sql(
        "UPDATE generations SET delivery_state = 'needs_attention', next_attempt_at = NULL WHERE id = %s",
        generation,
    )
    leased = following._lease(UUID(generation), tools.current())
    assert leased is not None
    body = {"data": {"taskId": task, "state": "success"}}
    assert world.callback(generation, body).status_code == 200
    following._release(leased, None, tools.current())
    row = world.row(generation)
    assert row.delivery_state == "awaiting_provider"
    assert row.next_attempt_at is not None
    world.settle(generation, {"delivered"})


def test_a_callback_between_the_reading_and_the_end_has_the_row_looked_at_again(world: World) -> None:
    made = world.create("[[fault:provider_fail=501]] [[fault:callback_lost]]")
    generation, task = made["generationId"], made["taskId"]
    world.finished_at_kie(task)
    world.due(generation)

    def meanwhile(_: float) -> None:
        assert world.callback(generation, {"data": {"taskId": task, "state": "success"}}).status_code == 200

    following.advance(UUID(generation), replace(tools.current(), sleep=meanwhile))
    row = world.row(generation)
    assert (row.delivery_state, row.lease_until) == ("awaiting_provider", None)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at <= datetime.now(UTC)
    assert world.settle(generation, {"failed"}).status == "failed"


@pytest.mark.parametrize("lost", ["task_id = NULL", "next_attempt_at = NULL"])
def test_a_row_that_lost_what_it_is_found_by_is_found_all_the_same(world: World, lost: str) -> None:
    generation, _ = waiting(world)
    world.sql(f"UPDATE generations SET {lost} WHERE id = %s", generation)
    world.sweep()
    world.work()
    world.settle(generation, {"needs_attention"} if "task_id" in lost else {"delivered"})
    assert world.paid(generation) == 1


def test_a_result_is_delivered_although_the_application_gave_the_row_up(world: World) -> None:
    generation, _ = waiting(world)
    world.sql("UPDATE generations SET status = 'failed' WHERE id = %s", generation)
    row = world.settle(generation, {"delivered"})
    assert row.status == "success"


def test_a_request_key_makes_no_other_thing_than_the_first(world: World) -> None:
    key = uuid4().hex
    first = world.create("one", requestKey=key)
    assert world.create("one", requestKey=key)["generationId"] == first["generationId"]
    body = {"model": MODEL, "input": {"prompt": "two"}, "requestKey": key}
    refused = world.web.post("/api/kie/createTask", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert len(world.calls("create")) == 1


def test_a_database_clock_set_back_stops_no_call(world: World) -> None:
    line = Limit("test:clock", 10)
    assert len(limiter.reserve(line, 1, Priority.POLL)) == 1
    world.sql("UPDATE provider_limits SET next_free_at = now() + interval '1 hour' WHERE key = 'test:clock'")
    assert len(limiter.reserve(line, 1, Priority.POLL)) == 1


def test_rows_whose_job_waits_do_not_hide_those_without_one(world: World) -> None:
    generation, _ = waiting(world)
    world.poll()
    world.sql("DELETE FROM procrastinate_jobs")
    for _ in range(5):
        company_row(
            world,
            status="success",
            task_id="x",
            attempt_priority=1,
            created_at=datetime.now(UTC) - timedelta(1),
        )
    assert following.sweep(tools.current(), limit=5) == 5
    assert following.sweep(tools.current(), limit=5) == 1
    locks = {row[0] for row in world.sql("SELECT queueing_lock FROM procrastinate_jobs")}
    assert f"deliver:{generation}" in locks


def test_the_first_poll_follows_the_providers_time_not_our_own_waiting(world: World) -> None:
    for n in range(25):
        company_row(
            world,
            status="success",
            delivery_state="delivered",
            task_id=f"t{n}",
            asset_url="/files/x",
            provider_ms=8_000,
            submitted_at=datetime.now(UTC) - timedelta(hours=3),
            delivered_at=datetime.now(UTC),
        )
    made = world.create("polled when it is usual [[fault:callback_lost]]")
    row = world.row(made["generationId"])
    assert row.next_attempt_at is not None
    assert timedelta(seconds=6) < row.next_attempt_at - datetime.now(UTC) < timedelta(seconds=10)
