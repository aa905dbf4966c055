"""Creating a generation: the row first, one paid call, whatever is pressed twice."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core import access, settings
from core.budget import controls, fold
from core.deliveries import sending, service, tools
from core.providers.contract import Task
from tests.journeys.world import World


def test_a_new_generation_is_dated_now_and_due_at_its_models_usual_time(world: World) -> None:
    before = datetime.now(UTC)
    made = world.create("dated [[fault:stuck]]")
    row = world.row(made["generationId"])
    assert row.submitted_at is not None
    slack = timedelta(seconds=1)  # the database's clock is the one that counts
    assert before - slack <= row.created_at <= row.submitted_at <= datetime.now(UTC) + slack
    assert row.next_attempt_at is not None
    assert timedelta(seconds=18) < row.next_attempt_at - row.submitted_at < timedelta(seconds=25)
    assert world.poll() == 0
    assert made["createdAt"] == row.created_at.isoformat()


def test_the_same_request_key_twice_makes_one_generation(world: World) -> None:
    first = world.create("once", requestKey="form-nonce-1")
    again = world.create("once", requestKey="form-nonce-1")
    other = world.create("once", requestKey="form-nonce-2")
    assert again["generationId"] == first["generationId"] != other["generationId"]
    assert again["taskId"] == first["taskId"]
    assert world.paid(first["generationId"]) == 1
    assert world.events(first["generationId"]).count("created") == 1
    assert len(world.calls("create")) == 2


def test_a_request_key_cannot_be_used_for_something_else(world: World) -> None:
    first = world.create("one thing", requestKey="form-nonce-3")
    body = {"model": first["model"], "input": {"prompt": "another"}, "requestKey": "form-nonce-3"}
    answer = world.web.post("/api/kie/createTask", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert len(world.calls("create")) == 1


def test_the_same_request_key_at_once_from_many_makes_one_generation(world: World) -> None:
    barrier = threading.Barrier(8)

    def press() -> dict[str, Any]:
        barrier.wait(10)
        return world.create("pressed [[fault:latency@create=0.3]] [[fault:stuck]]", requestKey="form-nonce-8")

    with ThreadPoolExecutor(8) as pool:
        made = [pressed.result() for pressed in [pool.submit(press) for _ in range(8)]]
    assert len({item["generationId"] for item in made}) == 1
    assert len(world.calls("create")) == 1
    assert world.paid(made[0]["generationId"]) == 1
    assert world.events(made[0]["generationId"]) == ["created", "submitted", "accepted"]


def test_without_a_request_key_every_request_is_another(world: World) -> None:
    assert world.create()["generationId"] != world.create()["generationId"]


def test_a_model_may_be_called_by_the_companys_own_name(world: World) -> None:
    body = {"model": "flux-2-pro", "input": {"prompt": "a lighthouse"}}
    answer = world.web.post("/api/kie/createTask", json=body)
    assert (answer.status_code, answer.json()["model"]) == (201, "flux-2/pro-text-to-image")
    assert world.row(answer.json()["generationId"]).input == {
        "prompt": "a lighthouse",
        "aspect_ratio": "1:1",
        "resolution": "1K",
    }


def test_what_is_sent_carries_our_generation_in_its_callback_url(world: World) -> None:
    made = world.create("carried")
    record = world.sandbox.get(f"tasks/{made['taskId']}")["record"]
    assert f"generation={made['generationId']}" in record["param"]
    assert world.environment["PUBLIC_BASE_URL"] + "/api/kie/callback?secret=" in record["param"]


def test_over_the_create_limit_the_row_waits_and_is_sent_once_by_a_job(world: World) -> None:
    world.sql("UPDATE provider_limits SET next_free_at = now() + interval '20 s' WHERE key = 'kie:create'")
    made = world.create("later")
    one = made["generationId"]
    assert (made["status"], made["deliveryState"], made["taskId"]) == ("queued", "intent", None)
    assert world.calls("create") == []
    world.due(one)
    world.step(one)
    assert world.row(one).delivery_state == "intent"
    world.sql("UPDATE provider_limits SET next_free_at = now() WHERE key = 'kie:create'")
    assert world.settle(one, {"delivered"}).status == "success"
    assert (world.paid(one), world.events(one).count("submitted")) == (1, 1)


def test_many_creates_at_once_are_sent_one_after_the_other(world: World) -> None:
    """A window that admits one create sees one: the others wait for their places under the limit."""
    world.sandbox.put("settings", creates_per_window=1, window_seconds=0.1)
    world.sql("UPDATE provider_limits SET per_second = 2 WHERE key = 'kie:create'")
    with ThreadPoolExecutor(3) as pool:
        made = [done.result() for done in [pool.submit(world.create) for _ in range(3)]]
    assert [item["deliveryState"] for item in made] == ["awaiting_provider"] * 3
    assert [call["code"] for call in world.calls("create")] == [200] * 3


def test_a_page_leaves_the_sending_to_a_worker(world: World) -> None:
    wanted = service.NewGeneration(
        "flux-2/pro-text-to-image",
        {"prompt": "from a page [[fault:callback_lost]]"},
        request_key="page-nonce-1",
    )
    operator = access.local_operator(settings.current(), "127.0.0.1")
    made = service.create(operator, wanted, tools.current())
    assert (made.delivery_state, world.calls("create")) == ("intent", [])
    world.work()
    assert world.row(str(made.id)).delivery_state == "awaiting_provider"
    assert world.settle(str(made.id), {"delivered"}).status == "success"
    assert world.paid(str(made.id)) == 1


def test_a_second_sender_finds_the_request_sent(world: World) -> None:
    """Only the guarded move from intent to sending may send; whoever comes later only looks."""
    made = world.create("sent")
    row = world.row(made["generationId"])
    for _ in range(3):
        after = sending.submit(row.id, tools.current())
        assert after is not None
        assert after.task_id == made["taskId"]
    assert len(world.calls("create")) == 1


def test_a_worker_that_slept_through_its_lease_before_sending_still_sends_only_once(world: World) -> None:
    """Stopped between the guarded move and the POST, and woken when the row was given up long ago."""
    wanted = service.NewGeneration(
        "flux-2/pro-text-to-image", {"prompt": "frozen [[fault:callback_lost]]"}, request_key="frozen-nonce"
    )
    made = service.create(access.job("test"), wanted, tools.current())
    one = str(made.id)
    kie = tools.current().providers["kie"]

    class Frozen:
        def create(self, model: str, given: Any, callback: str | None) -> Task:
            world.age(one, "31 minutes")
            assert world.step(one).delivery_state == "needs_attention"
            return kie.create(model, given, callback)

    with_kie: Any = Frozen()
    after = sending.submit(made.id, replace(tools.current(), providers={"kie": with_kie}))
    assert after is not None
    assert after.delivery_state == "awaiting_provider"
    assert world.settle(one, {"delivered"}).status == "success"
    assert (world.paid(one), len(world.calls("create"))) == (1, 1)


def test_what_it_cost_is_written_once(world: World) -> None:
    made = world.create("priced [[fault:callback_duplicate=2]]")["generationId"]
    world.settle(made, {"delivered"})
    lines = world.sql(
        "SELECT kind, provider, quantity, unit, unit_price, amount_usd, generation_id::text, source_key"
        " FROM job_costs"
    )
    task = world.row(made).task_id
    assert [tuple(line) for line in lines] == [
        (
            "settle",
            "kie",
            Decimal(5),
            "credit",
            Decimal("0.005"),
            Decimal("0.0250"),
            made,
            f"kie:{task}",
        )
    ]


def test_beyond_a_limit_of_generations_none_is_begun_until_operations_override(world: World) -> None:
    operations, now = access.command_line("ops"), datetime.now(UTC)
    controls.set_limit(operations, "deliveries", Decimal("0.04"), Decimal("0.03"), "a cap", now)
    try:
        first = world.create("within it")
        world.settle(first["generationId"], {"delivered"})
        fold.run(datetime.now(UTC))
        body = {"model": "flux-2/pro-text-to-image", "input": {"prompt": "beyond it"}}
        refused = world.web.post("/api/kie/createTask", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
        assert "$0.03 of the deliveries budget" in refused.json()["error"]["message"]
        assert (len(world.calls("create")), world.sql("SELECT count(*) FROM generations")[0][0]) == (1, 1)
        more, end = Decimal("0.05"), now + timedelta(hours=1)
        controls.override(operations, uuid.uuid4(), "deliveries", more, "a customer waits", end, now)
        assert world.web.post("/api/kie/createTask", json=body).status_code == 201
    finally:
        world.sql("DELETE FROM budget_limits WHERE set_by = 'ops'")
        world.sql("DELETE FROM budget_overrides")
