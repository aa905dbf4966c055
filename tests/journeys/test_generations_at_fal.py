"""Generations at fal, from the row to the file: the same path as KIE's, another provider's manners."""

import json
import uuid
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from core import access
from core.deliveries import following, sending, service, tools
from core.deliveries.models import DeliveryState
from core.diagnosis import report, snapshot
from core.diagnosis.checks import diagnose
from core.errors import Conflict
from tests.journeys.world import World, until

FILM, IMAGE = "fal-ai/kling-video/v2.1/pro/image-to-video", "fal-ai/flux-lora"
FRAME = "https://cdn.example.com/frame.jpg"
ACTOR = access.job("test")


def make(world: World, prompt: str = "a fox runs", model: str = FILM, **more: Any) -> str:
    """The row of a new generation at fal, not sent yet."""
    given = {"prompt": prompt, **({"image_url": FRAME} if model == FILM else {}), **more}
    wanted = service.NewGeneration(model, given, request_key=uuid.uuid4().hex)
    return str(service.create(ACTOR, wanted, tools.current()).id)


def paid(world: World, generation: str) -> int:
    """How many requests the sandbox has accepted at fal for it."""
    found = world.sandbox.get("trainings")["trainings"]
    return sum(one["run"] == generation for one in found)


def costs(world: World, generation: str) -> list[Any]:
    return [
        tuple(row)
        for row in world.sql(
            "SELECT provider, amount_usd::text, source_key FROM job_costs WHERE generation_id = %s",
            generation,
        )
    ]


@pytest.mark.parametrize(
    ("model", "kind", "ending", "usd"), [(FILM, "video", "mp4", "0.4900"), (IMAGE, "image", "jpg", "0.0350")]
)
def test_from_the_row_to_the_file(world: World, model: str, kind: str, ending: str, usd: str) -> None:
    one = make(world, model=model)
    row = world.settle(one, {"delivered"})
    assert (row.provider, row.kind, row.status) == ("fal", kind, "success")
    [path] = world.files()
    assert path.name.startswith(one)
    assert path.suffix == f".{ending}"
    assert costs(world, one) == [("fal", usd, f"fal:{row.task_id}")]
    assert paid(world, one) == 1
    assert row.task_addresses["status_url"].endswith("/status")


def test_its_webhook_hurries_it_and_a_repeat_only_counts(world: World) -> None:
    one = make(world, "a fox [[fault:webhook_twice=2]]")
    world.work()
    until(lambda: [row.duplicates for row in world.inbox()] == [1])
    assert "callback" in world.events(one)
    world.work()
    assert world.row(one).delivery_state == "delivered"
    assert world.events(one).count("callback") == 1
    [(provider,)] = world.sql("SELECT provider FROM callback_inbox")
    assert provider == "fal"


@pytest.mark.parametrize("fault", ["trainer_answer_lost", "trainer_accepted_then_error"])
def test_a_lost_answer_is_found_again_by_its_webhook(world: World, fault: str) -> None:
    one = make(world, f"a fox [[fault:{fault}@fal_submit]]")
    world.work()
    assert world.row(one).task_id is None or world.row(one).delivery_state != "intent"
    row = world.settle(one, {"delivered"})
    assert row.task_id is not None
    assert {"answer_lost", "bound"} <= set(world.events(one))
    assert (paid(world, one), len(costs(world, one))) == (1, 1)


def test_a_lost_answer_without_a_webhook_is_never_sent_again(world: World) -> None:
    one = make(world, "a fox [[fault:trainer_answer_lost@fal_submit]] [[fault:webhook_never]]")
    world.work()
    assert world.row(one).delivery_state == "sending"
    world.age(one, "31 minutes")
    row = world.step(one)
    assert row.delivery_state == "needs_attention"
    assert row.failure_message is not None
    assert row.failure_message.startswith("fal's answer was lost")
    assert paid(world, one) == 1


def test_a_webhook_of_another_request_binds_nothing(world: World) -> None:
    """fal's own signature, our own other generation's id: what is bound already is nobody else's."""
    first = make(world)
    row = world.settle(first, {"delivered"})
    second = make(world, "another [[fault:trainer_answer_lost@fal_submit]] [[fault:webhook_never]]")
    world.work()
    world.sql(
        "INSERT INTO callback_inbox (provider, body_sha256, task_id, generation_id, signed)"
        " VALUES ('fal', 'replayed', %s, %s, true)",
        row.task_id,
        second,
    )
    world.due(second)
    assert world.step(second).delivery_state == "sending"
    assert world.row(second).task_id is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"X-Fal-Webhook-Timestamp": "1", "X-Fal-Webhook-Signature": "00"}, 401)],
)
def test_a_forged_webhook_is_refused(world: World, headers: dict[str, str], status: int) -> None:
    one = make(world)
    answer = world.web.post(
        "/api/fal/webhook",
        params={"generation": one},
        content=json.dumps({"request_id": "x", "status": "OK"}),
        headers=headers,
    )
    assert (answer.status_code, world.inbox()) == (status, [])


def test_a_webhook_for_no_id_of_ours(world: World) -> None:
    answer = world.web.post("/api/fal/webhook", params={"generation": "five"}, content=b"{}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_input"


def test_fals_own_failure_is_told_in_its_words(world: World) -> None:
    one = make(world, "a fox [[fault:validation_image_fails]]")
    row = world.settle(one, {"failed"})
    assert (row.failure_code, row.failure_category) == ("content_policy_violation", "validation")
    assert costs(world, one) == []


def test_a_definite_refusal_fails_it_and_costs_nothing(world: World) -> None:
    one = make(world, "a fox [[fault:trainer_error@fal_submit=422]]")
    row = world.settle(one, {"failed"})
    assert (row.task_id, paid(world, one)) == (None, 0)


def test_too_many_requests_are_sent_later(world: World) -> None:
    one = make(world, "a fox")
    world.sandbox.put("faults", trainer_rate_limited={"at": ["fal_submit"], "times": 1})
    sending.submit(UUID(one), tools.current())
    assert world.row(one).delivery_state == "intent"
    world.sandbox.put("faults")
    assert world.settle(one, {"delivered"}).task_id
    assert paid(world, one) == 1


def test_polls_serve_both_providers_each_under_its_own_limit(world: World) -> None:
    at_fal = make(world, "a fox [[fault:webhook_never]]")
    at_kie = world.create("a fox [[fault:callback_lost]]")["generationId"]
    world.work()
    for one in (at_fal, at_kie):
        world.settle(one, {"delivered"})
    [(keys,)] = world.sql("SELECT array_agg(key ORDER BY key) FROM provider_limits")
    assert keys == ["fal:create", "fal:read", "kie:create", "kie:read"]
    assert {"polled", "result_ready"} & set(world.events(at_fal))


def test_where_fal_has_no_key_nothing_is_created(world: World) -> None:
    kie_alone = replace(tools.current(), providers={"kie": tools.current().providers["kie"]})
    wanted = service.NewGeneration(FILM, {"prompt": "x", "image_url": FRAME}, request_key="no-key-here")
    with pytest.raises(Conflict, match=r"fal cannot be asked from here\. Set FAL_KEY"):
        service.create(ACTOR, wanted, kie_alone)
    assert world.sql("SELECT count(*) FROM generations")[0][0] == 0


def test_where_its_key_was_taken_away_a_row_waits(world: World) -> None:
    one = make(world)
    kie_alone = replace(tools.current(), providers={"kie": tools.current().providers["kie"]})
    row = following.advance(UUID(one), kie_alone)
    assert row is not None
    assert (row.delivery_state, row.lease_until, paid(world, one)) == (DeliveryState.INTENT, None, 0)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at > tools.current().clock()


def test_its_evidence_speaks_of_fal(world: World) -> None:
    one = make(world)
    world.settle(one, {"delivered"})
    person = access.command_line("test")
    seen = report.look(person, UUID(one), tools.current())
    assert snapshot.asks_kie(seen.generation)
    assert seen.record is not None
    assert seen.record.state == "success"
    finding = diagnose(seen)
    assert finding.rule == "all-well"
    assert "KIE" not in finding.sentence + finding.action
