"""Callbacks: recorded, acted upon in whatever order they come, and never believed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from core.deliveries import following, tools
from core.providers.contract import TaskRecord
from tests.journeys.world import World, success, until

HMAC_KEY = "webhook-hmac-key-of-the-tests"


# Forged: with the right secret.


def test_a_callback_that_claims_success_delivers_nothing_while_kie_generates(world: World) -> None:
    one, task = world.held()
    assert world.callback(one, success(task)).status_code == 200
    world.work()
    row = world.row(one)
    assert row.delivery_state == "awaiting_provider"
    assert row.provider_state in {"waiting", "queuing", "generating"}
    assert (row.asset_url, row.result_urls, world.files()) == (None, (), [])
    assert world.calls("file") == []
    assert world.events(one)[-2:] == ["callback", "polled"]


def test_a_callback_that_claims_failure_fails_nothing(world: World) -> None:
    one, task = world.held()
    assert world.callback(one, {"code": 501, "data": {"taskId": task, "state": "fail"}}).status_code == 200
    world.work()
    assert world.row(one).delivery_state == "awaiting_provider"


def test_a_callback_that_names_another_generations_task_binds_nothing(world: World) -> None:
    lost = world.create("lost [[fault:answer_lost]] [[fault:callback_lost]]")["generationId"]
    other, task = world.held()
    assert world.callback(lost, success(task)).status_code == 200
    world.work()
    row = world.row(lost)
    assert (row.delivery_state, row.task_id) == ("sending", None)
    assert world.row(other).task_id == task
    assert "bound" not in world.events(lost)


def test_a_callback_for_a_task_of_ours_that_kie_does_not_know_binds_nothing(world: World) -> None:
    lost = world.create("lost [[fault:answer_lost]] [[fault:callback_lost]]")["generationId"]
    assert world.callback(lost, success("task_made_up")).status_code == 200
    world.work()
    assert (world.row(lost).delivery_state, world.row(lost).task_id) == ("sending", None)


def test_a_task_is_bound_only_when_kies_record_names_our_own_url(world: World) -> None:
    """Somebody else's task under the same account, whose callback URL carries our generation's id."""
    lost = world.create("lost [[fault:answer_lost]] [[fault:callback_lost]]")["generationId"]
    body = {
        "model": "flux-2/pro-text-to-image",
        "input": {"prompt": "foreign", "aspect_ratio": "1:1", "resolution": "1K"},
        "callBackUrl": f"http://127.0.0.1:9/api/kie/callback?generation={lost}",
    }
    headers = {"Authorization": f"Bearer {world.environment['KIE_API_KEY']}"}
    foreign = httpx.post(f"{world.sandbox.url}/api/v1/jobs/createTask", json=body, headers=headers).json()
    task = foreign["data"]["taskId"]
    assert world.callback(lost, success(task)).status_code == 200
    world.work()
    assert (world.row(lost).delivery_state, world.row(lost).task_id) == ("sending", None)


# Order, repetition.


def test_a_callback_before_the_answer_is_acted_upon_as_soon_as_the_answer_is_there(world: World) -> None:
    made = world.create("early [[fault:callback_before_answer]]")["generationId"]
    assert world.events(made)[:4] == ["created", "submitted", "callback", "accepted"]
    assert world.poll() == 1
    world.work()
    assert world.row(made).delivery_state == "delivered"


class Meanwhile:
    """KIE, with something that happens between its answer and our reading it."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._kie = tools.current().providers["kie"]
        self._happens = happens

    def record(self, task_id: str, *more: Any) -> TaskRecord:
        found = self._kie.record(task_id)
        self._happens()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kie, name)


def test_a_callback_during_a_poll_is_not_forgotten(world: World) -> None:
    """The answer that was true when it was given must not put the next look off."""
    one, task = world.held()

    def finish() -> None:
        world.sandbox.post(f"tasks/{task}/finish")
        until(lambda: "callback" in world.events(one))
        world.work()  # the callback's own job finds the row taken

    world.due(one)
    with_kie: Any = Meanwhile(finish)
    assert following.poll_due(replace(tools.current(), providers={"kie": with_kie})) == 1
    assert world.events(one)[-2:] == ["callback", "polled"]
    assert world.poll() == 1
    world.work()
    assert world.row(one).delivery_state == "delivered"


def test_the_same_body_again_is_answered_200_and_counted(world: World) -> None:
    one, task = world.held()
    body = success(task)
    answers = [world.callback(one, body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["duplicate"] for answer in answers] == [False, True, True]
    [(generation, named, duplicates, _, _)] = world.inbox()
    assert (generation, named, duplicates) == (one, task, 2)
    assert world.events(one).count("callback") == 1


def test_fail_then_success_are_two_callbacks_and_the_second_delivers(world: World) -> None:
    one, task = world.held()
    world.sql("UPDATE generations SET delivery_state = 'failed', status = 'failed' WHERE id = %s", one)
    world.sandbox.post(f"tasks/{task}/finish")
    until(lambda: "callback" in world.events(one))
    assert world.row(one).delivery_state == "awaiting_provider"
    world.work()
    assert world.row(one).delivery_state == "delivered"
    assert world.callback(one, {"data": {"taskId": task, "state": "fail"}}).status_code == 200
    world.work()
    assert world.row(one).delivery_state == "delivered"
    assert [row.outcome for row in world.inbox()] == ["delivered", "delivered"]


def test_a_second_word_of_failure_wakes_nothing(world: World) -> None:
    one, task = world.held()
    world.sql("UPDATE generations SET delivery_state = 'failed', status = 'failed' WHERE id = %s", one)
    assert world.callback(one, {"data": {"taskId": task, "state": "fail"}}).status_code == 200
    assert world.row(one).delivery_state == "failed"
    assert world.sql("SELECT 1 FROM procrastinate_jobs") == []


def given_up(world: World) -> tuple[str, str]:
    """A generation whose answer was lost and whose wait is over, and the task that KIE works on."""
    lost = world.create("unknown [[fault:answer_lost]] [[fault:stuck]]")["generationId"]
    world.age(lost, "31 minutes")
    assert world.step(lost).delivery_state == "needs_attention"
    [call] = world.calls("create", generation=lost)
    return lost, str(call["task"])


def test_a_callback_for_what_a_person_should_decide_has_it_looked_at_again(world: World) -> None:
    lost, task = given_up(world)
    world.sandbox.post(f"tasks/{task}/finish")
    until(lambda: "callback" in world.events(lost))
    world.work()
    row = world.row(lost)
    assert (row.delivery_state, row.status) == ("delivered", "success")
    assert (row.failure_message, world.paid(lost)) == (None, 1)


def test_a_callback_whose_proof_cannot_be_read_now_is_proved_later(world: World) -> None:
    """KIE's record is away at the moment of the only callback: the paid result is not given up."""
    lost, task = given_up(world)
    world.sandbox.put("faults", server_error={"at": ["read"]})
    world.sandbox.post(f"tasks/{task}/finish")
    until(lambda: "callback" in world.events(lost))
    world.work()
    assert world.row(lost).delivery_state == "needs_attention"
    world.sandbox.put("faults")
    world.sql("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    world.work()
    assert world.row(lost).delivery_state == "delivered"
