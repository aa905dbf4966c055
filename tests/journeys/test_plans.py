"""Bulk resync: a dry run that sorts a list, and who may start what comes of it, by page, API and command."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.access import Actor, Role
from core.deliveries import tools
from core.deliveries.windows import Filter
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.plans import policy, service, sources, views
from core.plans.models import Group, ItemState, PlanState, Source
from tests.journeys.planned import (
    ADA,
    BO,
    EYE,
    FAILED,
    broken,
    customer,
    delivered,
    item_of,
    nonce,
    prepared,
    results,
    started,
)
from tests.journeys.world import Said, World


def test_a_plan_fetches_what_was_missed(world: World) -> None:
    ids = broken(world, 4)
    plan = prepared()
    assert plan.state is PlanState.DRAFT
    assert (plan.counts, plan.reads, plan.name) == (
        {Group.ELIGIBLE: 4},
        {"kie": 4},
        "Failed, last 24 hours",
    )
    assert {world.row(one).delivery_state for one in ids} == {"failed"}
    service.start(ADA, plan.id, tools.current())
    world.work()
    assert results(plan) == {ItemState.DELIVERED: 4}
    assert delivered(world, ids) == Counter(ids)
    assert item_of(plan, ids[0]).sentence == "Delivered: its file is in our storage."
    [(by,)] = world.sql(
        "SELECT detail ->> 'plan' FROM delivery_events WHERE generation_id = %s AND kind = 'sync_requested'",
        ids[0],
    )
    assert by == str(plan.id)


def test_a_dry_run_sorts_every_generation_of_the_list(world: World) -> None:
    ids = broken(world, 8, state="needs_attention")
    eligible, done, leased, old, alien, refused, working, mine = ids
    world.sql("UPDATE generations SET delivery_state = 'delivered' WHERE id = %s", done)
    world.sql("UPDATE generations SET lease_until = now() + interval '1 min' WHERE id = %s", leased)
    world.age(old, "15 days")
    world.sql("UPDATE generations SET delivery_state = NULL, provider = 'elsewhere' WHERE id = %s", alien)
    world.sql("UPDATE generations SET task_id = NULL, delivery_state = 'failed' WHERE id = %s", refused)
    world.sql("UPDATE generations SET delivery_state = 'awaiting_provider' WHERE id = %s", working)
    for one in ids:
        world.sql("UPDATE generations SET user_id = %s WHERE id = %s", customer(world), one)
    named = (*ids, str(uuid.uuid4()), "task_of_nobody")
    plan = prepared(Source(names=named))
    assert plan.counts == {
        Group.ELIGIBLE: 2,
        Group.DELIVERED: 1,
        Group.IN_FLIGHT: 2,
        Group.EXPIRED: 1,
        Group.NOT_YOURS: 1,
        Group.UNKNOWN: 3,
    }
    assert plan.total == len(named)
    said = {str(one.generation_id or one.named): one for one in views.every_item(ADA, plan.id)}
    assert said[eligible].state is ItemState.WAITING
    assert "No generation and no task of ours has this id." in str(said["task_of_nobody"].sentence)
    assert said[old].sentence == "KIE keeps results for 14 days, and this one is older."
    assert "“elsewhere”" in str(said[alien].sentence)
    one_customer = prepared(Source(names=tuple(ids), user_id=world.row(mine).user_id))
    assert one_customer.counts == {Group.ELIGIBLE: 1, Group.NOT_YOURS: 7}


def test_a_customers_tasks_are_a_list_of_their_own(world: World) -> None:
    ids = broken(world, 3)
    theirs = customer(world)
    world.sql("UPDATE generations SET user_id = %s WHERE id = ANY(%s::uuid[])", theirs, ids[:2])
    plan = prepared(Source(Filter(state="failed"), user_id=theirs), BO)
    assert plan.counts == {Group.ELIGIBLE: 2}
    assert str(theirs)[:8] in plan.name
    world.sql("UPDATE generations SET delivery_state = 'awaiting_provider', status = 'generating'")
    assert prepared(Source(Filter(state="stuck"), user_id=theirs), BO).counts == {}
    world.age(ids[0], "2 hours")
    assert prepared(Source(Filter(state="stuck"), user_id=theirs), BO).counts == {Group.ELIGIBLE: 1}


def test_what_has_changed_since_is_skipped_with_its_reason(world: World) -> None:
    ids = broken(world, 5)
    plan = started()
    fine, done, gone, again, alien = ids
    world.sql("UPDATE generations SET delivery_state = 'delivered' WHERE id = %s", done)
    world.sql("DELETE FROM generations WHERE id = %s", gone)
    world.sql("UPDATE generations SET failure_code = '500', attempt = 3 WHERE id = %s", again)
    world.sql("UPDATE generations SET delivery_state = NULL, provider = 'elsewhere' WHERE id = %s", alien)
    world.work()
    assert results(plan) == {ItemState.DELIVERED: 2, ItemState.SKIPPED: 3}
    assert item_of(plan, done).sentence == (
        "Skipped: it was failed in the dry run and is delivered now."
        " It is delivered; there is nothing to fetch."
    )
    assert item_of(plan, gone).sentence == "Skipped: its row is not there any more."
    assert (item_of(plan, again).changed, item_of(plan, fine).changed) == (True, False)
    assert delivered(world, ids) == Counter([fine, again])


def test_a_list_that_is_everything_nothing_or_too_much_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (Source(), Source(Filter()), Source(Filter(state="begun"))):
        with pytest.raises(InvalidInput, match="That is every generation there is"):
            prepared(source)
    broken(world, 3)
    monkeypatch.setattr(policy, "MOST_ITEMS", 2)
    with pytest.raises(InvalidInput, match="more than 2 generations, which is the most"):
        prepared()
    assert world.sql("SELECT count(*) FROM resync_plans WHERE name LIKE 'Failed%%' AND state = 'draft'") == [
        (0,)
    ]


def test_an_empty_list_makes_a_plan_that_cannot_be_started(world: World) -> None:
    plan = prepared()
    assert plan.counts == {}
    with pytest.raises(Conflict, match="nothing to start"):
        service.start(ADA, plan.id, tools.current())


def test_above_twenty_the_number_has_to_be_typed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(world, 3)
    monkeypatch.setattr(policy, "TYPED_ABOVE", 2)
    plan = prepared()
    for typed in (None, 2, -3):
        with pytest.raises(InvalidInput, match="Type 3 to confirm"):
            service.start(ADA, plan.id, tools.current(), typed=typed)
    assert service.start(ADA, plan.id, tools.current(), typed=3).state is PlanState.RUNNING


def test_reasons_and_names_are_bounded_and_kept(world: World) -> None:
    broken(world, 1)
    plan = prepared()
    with pytest.raises(InvalidInput, match="at most 500 characters; this has 10,000") as refusal:
        service.start(ADA, plan.id, tools.current(), reason="x" * 10_000)
    assert refusal.value.field == "reason"
    with pytest.raises(InvalidInput, match="at most 120"):
        service.start(ADA, plan.id, tools.current(), name="y" * 121)
    kept = service.start(ADA, plan.id, tools.current(), name="<b>ملف 🦊</b>", reason="=SUM(A1)")
    assert (kept.name, kept.reason) == ("<b>ملف 🦊</b>", "=SUM(A1)")


def test_two_people_start_one_plan_once_and_a_double_click_makes_one(world: World) -> None:
    broken(world, 2)
    key = nonce()
    twice = [service.prepare(ADA, FAILED, tools.current(), request_key=key) for _ in range(2)]
    assert twice[0].id == twice[1].id
    plan, barrier = twice[0], threading.Barrier(4)

    def press(actor: Actor) -> str:
        barrier.wait(10)
        try:
            return str(service.start(actor, plan.id, tools.current()).started_by)
        except Conflict as refused:
            return refused.message

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(press, (ADA, ADA, BO, BO)))
    winner = views.plan(ADA, plan.id, datetime.now(UTC)).plan.started_by
    assert said.count(str(winner)) == 2
    assert sum("has started it already" in one for one in said) == 2
    [(lines,)] = world.sql(
        "SELECT count(*) FROM audit_log WHERE action = 'plan.start' AND object_id = %s", str(plan.id)
    )
    assert lines == 1


def test_only_those_who_may_run_plans_do(world: World) -> None:
    broken(world, 1)
    for forbidden in (EYE, Actor("person", "p", "P", frozenset({Role.PRODUCT}), "page")):
        with pytest.raises(NotAllowed, match="may not resync many generations at once"):
            prepared(actor=forbidden)
    plan = prepared(actor=BO)
    for act in (service.start, service.pause, service.resume, service.abort):
        with pytest.raises(NotAllowed):
            act(EYE, plan.id, tools.current())
    with pytest.raises(NotFound, match="There is no plan"):
        service.start(ADA, uuid.uuid4(), tools.current())


def test_a_dry_run_of_yesterday_is_made_anew(world: World) -> None:
    broken(world, 1)
    plan = prepared()
    late = replace(tools.current(), clock=lambda: datetime.now(UTC) + timedelta(hours=2))
    with pytest.raises(Conflict, match="older than an hour"):
        service.start(ADA, plan.id, late)


def test_ten_thousand_are_previewed_without_reading_them_at_once(world: World) -> None:
    world.sql(
        "INSERT INTO generations (id, provider, kind, model, status, delivery_state, task_id, created_at,"
        " updated_at) SELECT gen_random_uuid(), 'kie', 'image', 'flux-2/pro-text-to-image', 'failed',"
        " 'failed', 't-' || n, now() - n * interval '1 s', now() FROM generate_series(1, 10000) n"
    )
    sizes = [len(chunk) for chunk in sources.chunks(ADA, FAILED, datetime.now(UTC))]
    assert (max(sizes), sum(sizes)) == (sources.AT_ONCE, 10_000)
    begun = time.perf_counter()
    plan = prepared()
    took = time.perf_counter() - begun
    assert plan.counts == {Group.ELIGIBLE: 10_000}
    assert took < 6, took
    assert plan.expected_s == pytest.approx(10)
    with pytest.raises(InvalidInput, match="Type 10000"):
        service.start(ADA, plan.id, tools.current())
    service.start(ADA, plan.id, tools.current(), typed=10_000)
    service.abort(ADA, plan.id, tools.current())


def test_the_items_come_as_a_file(world: World) -> None:
    ids = broken(world, 1)
    plan = started(Source(names=(ids[0], "=cmd|x".replace("=", "-").replace("|", "."))))
    world.work()
    answer = world.web.get("/api/plan-items.csv", params={"plan": str(plan.id)})
    assert answer.status_code == 200
    head, first, second = answer.text.splitlines()
    assert head.startswith("n,generation_id,named,provider,stood,sorted,state,sentence")
    assert f"1,{ids[0]},,kie,failed,eligible,delivered,Delivered: its file is in our storage." in first
    assert second.startswith("2,,'-cmd.x,,,unknown,left_out,No generation and no task")
    for given, status in (({}, 400), ({"plan": "x"}, 400), ({"plan": nonce()}, 404)):
        assert world.web.get("/api/plan-items.csv", params=given).status_code == status


def test_a_plan_by_the_api(world: World) -> None:
    broken(world, 2)
    for body, field in (
        ({}, "filter"),
        ({"state": "nonsense"}, "filter"),
        ({"state": "failed", "colour": "red"}, "colour"),
        ({"ids": ["x" * 300]}, "ids"),
        ({"ids": ["1"] * 2_001}, "ids"),
        ({"state": "failed", "name": "y" * 10_000}, "name"),
        ({"userId": "1"}, "userId"),
    ):
        refused = world.web.post("/api/plans", json=body)
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, field), body
    made = world.web.post("/api/plans", json={"state": "failed", "requestKey": "the-same-key"})
    again = world.web.post("/api/plans", json={"state": "failed", "requestKey": "the-same-key"})
    assert (made.status_code, made.json()["planId"]) == (201, again.json()["planId"])
    assert (made.json()["counts"], made.json()["costUsd"]) == ({"eligible": 2}, "0.0000")
    address = f"/api/plans/{made.json()['planId']}"
    assert world.web.post(f"{address}/pause").status_code == 409
    assert world.web.post(f"{address}/start", json={"reason": "x" * 501}).status_code == 400
    assert world.web.post(f"{address}/start", json={"reason": "outage"}).json()["state"] == "running"
    assert world.web.post(f"{address}/pause").json()["state"] == "paused"
    assert world.web.post(f"{address}/resume").json()["state"] == "running"
    world.work()
    seen = world.web.get(address).json()
    assert (seen["state"], seen["items"], seen["reason"]) == ("finished", {"delivered": 2}, "outage")
    assert world.web.get("/api/plans").json()["plans"][0]["planId"] == seen["planId"]
    assert world.web.post(f"{address}/abort", json={}).status_code == 409
    assert world.web.get(f"/api/plans/{uuid.uuid4()}").status_code == 404
    assert world.web.get("/api/plans", headers={"Authorization": "Bearer nobody"}).status_code == 401


def test_a_plan_by_the_command_line(world: World, command: Callable[..., Said]) -> None:
    broken(world, 2)
    assert command("plan", "new").err.startswith("That is every generation there is.")
    assert "it may be" in command("plan", "new", "--state", "wet").err
    said = command("plan", "new", "--state", "failed", "--window", "7d")
    assert said.code == 0, said.err
    assert "eligible: 2" in said.out
    assert "2 calls to providers, at least 0 s, $0.00" in said.out
    plan_id = said.out.split()[0]
    assert "0 of 2 done" in command("plan", "start", plan_id, "--reason", "outage").out
    assert "paused" in command("plan", "pause", plan_id).out
    assert "running" in command("plan", "resume", plan_id).out
    world.work()
    assert "finished  2 of 2 done  Failed, last 7 days (2 delivered)" in command("plan", "show", plan_id).out
    assert plan_id in command("plan", "list").out
    refused = command("plan", "abort", plan_id)
    assert (refused.code, refused.err.strip()) == (
        1,
        "It is finished now, so that is not possible any more.",
    )


def test_two_people_of_one_name_are_told_apart(world: World) -> None:
    broken(world, 1)
    one, two = (
        Actor("person", email, "Bo", frozenset({Role.SUPPORT}), "page")
        for email in ("bo@studio.example", "bo.b@studio.example")
    )
    plan = prepared(actor=one)
    service.start(one, plan.id, tools.current())
    assert service.start(one, plan.id, tools.current()).state is PlanState.RUNNING
    with pytest.raises(Conflict, match="Bo has started it already"):
        service.start(two, plan.id, tools.current())
    service.pause(two, plan.id, tools.current())
    seen = views.plan(EYE, plan.id, datetime.now(UTC)).plan
    assert (seen.created_by_id, seen.started_by_id, seen.changed_by_id) == (one.id, one.id, two.id)
    assert (seen.created_by, seen.started_by, seen.changed_by) == ("Bo", "Bo", "Bo")
    service.resume(one, plan.id, tools.current())
    world.work()
    ended = views.plan(EYE, plan.id, datetime.now(UTC)).plan
    assert (ended.state, ended.changed_by_id) == (PlanState.FINISHED, one.id)
    asked = "SELECT detail ->> 'by', detail ->> 'by_id' FROM delivery_events WHERE kind = 'sync_requested'"
    assert [tuple(row) for row in world.sql(asked)] == [("Bo", one.id)]
