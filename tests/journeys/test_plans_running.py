"""A plan that runs: item by item, once, whatever is stopped, killed or changed meanwhile."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from core.deliveries import following, tools
from core.deliveries.models import Generation
from core.deliveries.windows import Filter
from core.errors import Conflict
from core.plans import running, service, views
from core.plans.models import Group, ItemState, PlanState, Source
from tests.journeys.crashing import Fuse, Killed, fused
from tests.journeys.planned import ADA, BO, broken, delivered, item_of, prepared, results, started
from tests.journeys.world import World


def test_two_plans_that_overlap_do_each_item_once(world: World) -> None:
    ids = broken(world, 6)
    first, second = prepared(), prepared(Source(names=tuple(ids)))
    for plan in (first, second):
        service.start(ADA, plan.id, tools.current())
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda plan: running.run(plan.id, tools.current()), (first, second)))
    world.work()
    both = Counter(results(first)) + Counter(results(second))
    assert both == {ItemState.DELIVERED: 6, ItemState.SKIPPED: 6}
    asked = world.sql(
        "SELECT generation_id, count(*) FROM delivery_events WHERE kind = 'sync_requested' GROUP BY 1"
    )
    assert [row[1] for row in asked] == [1] * 6
    assert delivered(world, ids) == Counter(ids)
    skipped = [
        one.sentence
        for plan in (first, second)
        for one in views.every_item(ADA, plan.id)
        if one.state is ItemState.SKIPPED
    ]
    assert all("did it at" in str(one) or "is delivered now" in str(one) for one in skipped), skipped


def test_what_a_plan_has_in_hand_is_in_flight_for_the_next(world: World) -> None:
    broken(world, 2)
    first = started()
    second = prepared()
    assert second.counts == {Group.IN_FLIGHT: 2}
    assert {one.sentence for one in views.every_item(ADA, second.id)} == {
        f"The plan “{first.name}” has it in hand."
    }


def test_a_pause_gives_back_what_waits_and_a_resume_leaves_what_another_plan_did(world: World) -> None:
    ids = broken(world, 4)
    first = started()
    service.pause(BO, first.id, tools.current())
    second = prepared(Source(names=tuple(ids[:3])))
    assert second.counts == {Group.ELIGIBLE: 3}
    service.start(ADA, second.id, tools.current())
    world.work()
    assert results(second) == {ItemState.DELIVERED: 3}
    service.resume(ADA, first.id, tools.current())
    world.work()
    assert results(first) == {ItemState.DELIVERED: 1, ItemState.SKIPPED: 3}
    assert str(item_of(first, ids[0]).sentence).startswith(f"Skipped: the plan “{second.name}” did it at ")
    assert delivered(world, ids) == Counter(ids)


def test_what_a_paused_plan_still_has_in_hand_is_not_given_back(world: World) -> None:
    ids = broken(world, 2)
    first = started()
    with pytest.raises(Killed):
        running.run(first.id, fused(tools.current(), Fuse(0)), threads=1)
    service.pause(BO, first.id, tools.current())
    held = [str(one.generation_id) for one in views.items(ADA, first.id, states=[ItemState.WORKING]).items]
    second = prepared()
    assert (len(held), second.counts) == (1, {Group.IN_FLIGHT: 1, Group.ELIGIBLE: 1})
    world.sql("UPDATE resync_items SET lease_until = now() - interval '1 s' WHERE state = 'working'")
    world.sql("UPDATE generations SET lease_until = NULL")
    running.sweep(tools.current())
    third = started()
    assert third.counts == {Group.ELIGIBLE: 2}
    world.work()
    assert results(third) == {ItemState.DELIVERED: 2}
    service.resume(ADA, first.id, tools.current())
    world.sql("UPDATE resync_plans SET lease_until = NULL")
    world.work()
    assert results(first) == {ItemState.SKIPPED: 2}
    said = str(item_of(first, held[0]).sentence)
    assert said.startswith(f"Skipped: the plan “{third.name}” did it at "), "also what it had begun itself"
    assert delivered(world, ids) == Counter(ids)


def test_a_pause_begins_nothing_and_a_resume_goes_on(world: World) -> None:
    ids = broken(world, 3)
    plan = started()
    service.pause(BO, plan.id, tools.current())
    world.work()
    assert delivered(world, ids) == Counter()
    assert running.run(plan.id, tools.current()) == 0
    service.resume(ADA, plan.id, tools.current())
    world.work()
    assert results(plan) == {ItemState.DELIVERED: 3}
    actions = world.sql(
        "SELECT action, actor_name, before ->> 'state', after ->> 'state' FROM audit_log"
        " WHERE object_id = %s ORDER BY id",
        str(plan.id),
    )
    assert [tuple(row) for row in actions] == [
        ("plan.start", "ada", "draft", "running"),
        ("plan.pause", "Bo", "running", "paused"),
        ("plan.resume", "ada", "paused", "running"),
    ]
    with pytest.raises(Conflict, match="It is finished now"):
        service.pause(ADA, plan.id, tools.current())


def test_an_abort_stops_within_five_seconds_and_says_what_was_not_begun(world: World) -> None:
    ids = broken(world, 30)
    world.sql("UPDATE provider_limits SET per_second = 5 WHERE key = 'kie:read'")
    plan = started()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(running.run, plan.id, tools.current(), run_for_s=20.0)
        while views.plan(ADA, plan.id, datetime.now(UTC)).progress.over < 2:
            time.sleep(0.02)
        aborted_at = time.monotonic()
        service.abort(ADA, plan.id, tools.current(), "<i>enough</i>")
        run.result(timeout=10)
        took = time.monotonic() - aborted_at
    assert took < 5
    seen = views.plan(ADA, plan.id, datetime.now(UTC))
    assert seen.plan.state is PlanState.ABORTED
    known = seen.plan.results or {}
    assert sum(known.values()) == 30
    assert known[ItemState.NOT_BEGUN] > 10
    assert sum(delivered(world, ids).values()) == known[ItemState.DELIVERED]
    for act in (service.resume, service.pause, service.start):
        with pytest.raises(Conflict):
            act(BO, plan.id, tools.current())


def test_what_failed_becomes_a_plan_of_its_own(world: World) -> None:
    fine = broken(world, 1)
    lost = broken(world, 2, "a boat [[fault:dead@read*1]]")
    plan = started()
    world.work()
    assert results(plan) == {ItemState.DELIVERED: 1, ItemState.FAILED: 2}
    assert str(item_of(plan, lost[0]).sentence).startswith("KIE could not be asked:")
    world.age(lost[0], "1 hour")
    world.age(lost[1], "1 hour")
    again = prepared(Source(failed_of=plan.id))
    assert again.counts == {Group.ELIGIBLE: 2}
    service.start(ADA, again.id, tools.current())
    world.work()
    assert results(again) == {ItemState.DELIVERED: 2}
    assert delivered(world, fine + lost) == Counter(fine + lost)


def test_what_kie_says_of_each_stands_with_it(world: World) -> None:
    made = [world.create("a boat [[fault:stuck]] [[fault:callback_lost]]") for _ in range(2)]
    (failed, task), (held, _) = [(one["generationId"], one["taskId"]) for one in made]
    world.sandbox.post(f"tasks/{task}/finish", fail="501")
    world.sql("UPDATE generations SET delivery_state = 'needs_attention', next_attempt_at = NULL")
    plan = started(Source(Filter(state="needs_attention")))
    world.work()
    assert results(plan) == {ItemState.ANSWERED: 2}
    assert item_of(plan, failed).sentence.startswith("KIE says that it failed: ")
    assert world.row(failed).delivery_state == "failed"
    assert item_of(plan, held).sentence == "KIE is still working on it; it is followed on by itself."
    assert world.row(held).next_attempt_at is not None


def test_what_cannot_be_helped_stays_as_it_was(world: World) -> None:
    """A plan makes nothing worse: what failed, or is unknown at KIE by now, stands where it stood."""
    gone, failed = broken(world, 2)
    world.sql("UPDATE generations SET task_id = 'task_of_nobody', failure_code = '501' WHERE id = %s", gone)
    world.sql("UPDATE generations SET failure_message = 'as before' WHERE id = %s", failed)
    made = world.create("a boat [[fault:stuck]] [[fault:callback_lost]]")
    world.sandbox.post(f"tasks/{made['taskId']}/finish", fail="501")
    world.sql("UPDATE generations SET task_id = %s WHERE id = %s", made["taskId"], failed)
    world.sql("DELETE FROM generations WHERE id = %s", made["generationId"])
    for one in (gone, failed):
        world.age(one, "2 hours")
    world.sql("UPDATE generations SET next_attempt_at = NULL")
    before = {one: world.row(one) for one in (gone, failed)}
    plan = started()
    world.work()
    assert results(plan) == {ItemState.ANSWERED: 2}
    assert item_of(plan, gone).sentence.endswith("It stays as it was: failed.")
    assert item_of(plan, failed).sentence.startswith("KIE says that it failed: ")
    for one, was in before.items():
        now = world.row(one)
        assert (now.delivery_state, now.status, now.failure_code, now.failure_message) == (
            was.delivery_state,
            was.status,
            was.failure_code,
            was.failure_message,
        )
        assert (now.lease_until, now.next_attempt_at) == (None, None)


def test_an_item_of_a_killed_worker_is_taken_up(world: World) -> None:
    ids = broken(world, 3)
    plan = started()
    with pytest.raises(Killed):
        running.run(plan.id, fused(tools.current(), Fuse(4)), threads=1)
    [(left,)] = world.sql("SELECT count(*) FROM resync_items WHERE state = 'working'")
    assert left == 1
    assert running.run(plan.id, tools.current(), run_for_s=1.0) > 0
    seen = views.plan(ADA, plan.id, datetime.now(UTC))
    assert (seen.plan.state, seen.progress.by_state[ItemState.WORKING]) == (PlanState.RUNNING, 1)
    world.sql("UPDATE resync_items SET lease_until = now() WHERE state = 'working'")
    world.sql("UPDATE generations SET lease_until = now() WHERE lease_until IS NOT NULL")
    world.sql("DELETE FROM procrastinate_jobs")
    assert running.sweep(tools.current()) == 1
    world.work()
    assert results(plan) == {ItemState.DELIVERED: 3}
    assert delivered(world, ids) == Counter(ids)


def test_a_dead_workers_item_is_put_away_with_an_aborted_plan_and_put_back_with_a_paused_one(
    world: World,
) -> None:
    broken(world, 2)
    for act, state in ((service.abort, ItemState.NOT_BEGUN), (service.pause, ItemState.WAITING)):
        plan = started()
        world.sql(
            "UPDATE resync_items SET state = 'working', lease_until = now() - interval '1 s'"
            " WHERE plan_id = %s AND n = 1",
            plan.id,
        )
        world.sql(
            "UPDATE resync_items SET lease_until = now() + interval '1 s' WHERE plan_id = %s AND n = 1",
            plan.id,
        )
        act(ADA, plan.id, tools.current())
        world.sql(
            "UPDATE resync_items SET lease_until = now() - interval '1 s' WHERE plan_id = %s AND n = 1",
            plan.id,
        )
        running.sweep(tools.current())
        assert {one.state for one in views.every_item(ADA, plan.id)} == {state}


def test_a_fault_of_ours_is_written_down_with_its_item_and_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = broken(world, 3)
    plan, given = started(), following.carry_on

    def carry_on(generation: Generation, *more: Any) -> None:
        if str(generation.id) == ids[0]:
            raise RuntimeError("a fault with the key sk-1234567890abcdef1234567890abcdef")
        given(generation, *more)

    monkeypatch.setattr(following, "carry_on", carry_on)
    world.work()
    world.sql("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE task_name = 'run_plan'")
    world.work()
    assert results(plan) == {ItemState.DELIVERED: 2, ItemState.FAILED: 1}
    assert item_of(plan, ids[0]).sentence.startswith(
        "Something went wrong on our side (RuntimeError: a fault"
    )


def test_a_plan_waits_in_a_queue_of_its_own(world: World) -> None:
    broken(world, 2)
    world.sql("DELETE FROM procrastinate_jobs")
    started()
    waiting = world.sql("SELECT queue_name, task_name FROM procrastinate_jobs WHERE status = 'todo'")
    assert [tuple(row) for row in waiting] == [("plans", "run_plan")]
