"""A rehearsal: what it fills, that it is the same for the same seed, and that clearing leaves nothing."""

import itertools
import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import access, usage
from core.budget import fold, rates
from core.deliveries import moments, rollups, tools
from core.deliveries.models import DeliveryState
from core.deliveries.windows import Filter
from core.errors import Conflict, ErrorCategory, InvalidInput, NotAllowed
from core.failures import service as failures
from core.failures import views as failure_views
from core.failures.models import GroupState
from core.plans import running
from core.plans import views as plans
from core.plans.models import Source
from core.providers import kie_models
from core.rehearsal import course, service
from core.rehearsal.models import FIRST, LAST, is_marked, random_id
from tests.journeys import planned
from tests.journeys.world import Said, World

OPERATOR = access.command_line("tester")
# What a process writes about itself, and what nobody can delete.
NOT_OURS = {"audit_log", "job_runs", "process_heartbeats", "provider_limits", "procrastinate_workers"}
# How far back hours have been counted; none of their numbers stands in it.
NOT_OURS |= {"delivery_rollup_state", "cost_fold_state"}


def begun(generations: int = 600, days: int = 60, seed: int = 7) -> int:
    """Fill it; how many steps were told."""
    steps = service.begin(OPERATOR, tools.current(), generations=generations, days=days, seed=seed)
    return len(list(steps))


def cleared() -> None:
    assert list(service.clear(OPERATOR, tools.current()))


def every_table(world: World) -> dict[str, list[str]]:
    """Every row of every table of ours and of auth.users, as text, in order, all hours and costs counted."""
    moments.record(datetime.now(UTC))
    rollups.run(datetime.now(UTC))
    failures.count(datetime.now(UTC))
    fold.run(datetime.now(UTC))
    tables = world.sql(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
        " WHERE schemaname = 'public' OR (schemaname, tablename) = ('auth', 'users')"
    )
    names = sorted(row.name for row in tables if row.name.split(".")[1] not in NOT_OURS)
    return {
        name: [row[0] for row in world.sql(f"SELECT to_jsonb(t)::text FROM {name} t ORDER BY 1")]
        for name in names
    }


def test_every_state_category_model_and_a_month_of_costs_are_there(world: World) -> None:
    begun(1_200)
    found = {row[0] for row in world.sql("SELECT DISTINCT delivery_state FROM generations")}
    assert found >= {state.value for state in DeliveryState} - {"intent", "sending"}
    assert {row[0] for row in world.sql("SELECT DISTINCT model FROM generations")} == {
        model.id for model in kie_models.MODELS
    }
    categories = {row[0] for row in world.sql("SELECT DISTINCT failure_category FROM generations")}
    assert categories - {None} == {category.value for category in ErrorCategory}
    [(months, users)] = world.sql(
        "SELECT (SELECT count(DISTINCT date_trunc('month', occurred_at)) FROM job_costs),"
        " (SELECT count(DISTINCT user_id) FROM generations)"
    )
    assert months >= 2
    assert users > 50
    [(unpaid, unseen)] = world.sql(
        "SELECT count(*) FILTER (WHERE delivery_state IN ('delivered', 'lost') AND NOT EXISTS"
        "  (SELECT FROM job_costs c WHERE c.generation_id = g.id)),"
        " count(*) FILTER (WHERE delivery_state = 'delivered' AND asset_url IS NULL) FROM generations g"
    )
    assert (unpaid, unseen) == (0, 0)
    newest = world.sql(
        "SELECT asset_url FROM generations WHERE asset_url IS NOT NULL ORDER BY created_at DESC LIMIT 3"
    )
    oldest = world.sql(
        "SELECT asset_url FROM generations WHERE asset_url IS NOT NULL ORDER BY created_at LIMIT 3"
    )
    for (url,) in [*newest, *oldest]:
        assert world.web.get(url).status_code == 200
    assert world.sql("SELECT 1 FROM storage_usage WHERE taken_at < now() - interval '50 days'")
    counted = usage.latest()
    assert counted is not None
    for line in counted.lines:
        listed = list(usage.files(tools.current().storage, line.bucket, line.purpose, counted.taken_at))
        assert (len(listed), sum(file.bytes for file in listed)) == (line.files, line.bytes), line
    assert begun_again_is_refused()
    cleared()


def begun_again_is_refused() -> bool:
    with pytest.raises(Conflict, match="stands here already"):
        begun()
    return True


def test_clearing_leaves_every_table_every_file_and_the_sandbox_as_before(world: World) -> None:
    """A generation that is no part of it, made before, lives through it and keeps its file and its plan."""
    own = world.create("ours [[fault:callback_lost]]")["generationId"]
    world.settle(own, {"delivered"})
    planned.prepared(Source(names=(own, "a task of nobody")))
    before = (every_table(world), world.files(), world.sandbox.get("stats"))
    begun()
    world.sandbox.put("faults", provider_fail=0.5)
    assert len(every_table(world)["public.generations"]) > 600
    plan = planned.started(Source(Filter("30d", state="failed")))
    assert plan.eligible > 0
    planned.prepared(Source(Filter("30d", state="lost")))
    acknowledged()
    world.sweep()
    world.poll()
    world.work()
    assert {row.state for row in world.sql("SELECT state FROM resync_items")} >= {"left_out", "answered"}
    # As the product's own workers do with what has succeeded.
    world.sql("DELETE FROM procrastinate_jobs WHERE status = 'succeeded' AND task_name = 'run_plan'")
    cleared()
    after = (every_table(world), world.files(), world.sandbox.get("stats"))
    for name, rows in before[0].items():
        assert after[0][name] == rows, name
    assert after[1] == before[1]
    for name in ("tasks", "paid_by_generation", "credits", "callbacks_owed"):
        assert after[2][name] == before[2][name], name
    rules = [fault["rule"] for fault in world.sandbox.get("faults")["faults"]]
    assert not any(rules)
    said = world.sql("SELECT action FROM audit_log WHERE object_type = 'rehearsal' ORDER BY id DESC LIMIT 2")
    assert [row.action for row in said] == ["rehearsal.clear", "rehearsal.begin"]


def acknowledged(which: int = 0) -> str:
    """A person takes a failure of the rehearsal on; its signature."""
    now = datetime.now(UTC)
    rollups.run(now)
    failures.count(now)
    group = failure_views.groups(OPERATOR, now, [GroupState.OPEN]).groups[which]
    failures.change(OPERATOR, group.signature, GroupState.ACKNOWLEDGED, now, seen=GroupState.OPEN)
    return group.signature


def test_a_plan_over_both_keeps_what_is_no_part_of_it(world: World) -> None:
    [own] = planned.broken(world, 1)
    begun()
    [(one,), (other,)] = world.sql(
        "SELECT id::text FROM generations WHERE delivery_state = 'failed' AND id BETWEEN %s AND %s LIMIT 2",
        FIRST,
        LAST,
    )
    over = planned.started(Source(names=(own, one, other, "a task of nobody")))
    while running.run(over.id, tools.current(), run_for_s=2.0):
        pass
    draft = planned.prepared(Source(names=(one, own, "a task of nobody")))
    cleared()
    found = {row.id: row for row in world.sql("SELECT id, state, counts, reads, results FROM resync_plans")}
    assert set(found) == {over.id, draft.id}
    assert found[over.id].state == "finished"
    assert found[over.id].counts == {"eligible": 1, "unknown": 1}
    assert found[over.id].reads == {"kie": 1}
    assert found[over.id].results == {"delivered": 1}
    assert sum(found[draft.id].counts.values()) == 2
    for plan in (over, draft):
        named = [
            (item.generation_id and str(item.generation_id), item.named)
            for item in plans.every_item(OPERATOR, plan.id)
        ]
        assert sorted(named, key=str) == sorted([(own, None), (None, "a task of nobody")], key=str)


def test_what_a_worker_has_in_hand_of_a_plan_is_waited_for(world: World) -> None:
    begun()
    plan = planned.started(Source(Filter("30d", state="failed")))
    world.sql(
        "UPDATE resync_items SET state = 'working', lease_until = now() + interval '1 hour'"
        " WHERE ctid = (SELECT ctid FROM resync_items WHERE state = 'waiting' LIMIT 1)"
    )
    hurried = replace(tools.current(), clock=clock_that_runs(), sleep=lambda _: None)
    with pytest.raises(Conflict, match="still have 1 of its deliveries in hand"):
        list(service.clear(OPERATOR, hurried))
    assert world.sql("SELECT count(*) FROM resync_items WHERE plan_id = %s", plan.id)[0][0] == 1
    world.sql("UPDATE resync_items SET lease_until = now() - interval '1 s'")
    cleared()
    assert world.sql("SELECT 1 FROM resync_plans") == []


def clock_that_runs() -> Callable[[], datetime]:
    """Ten seconds go by between two looks."""
    began, ticks = datetime.now(UTC), itertools.count()
    return lambda: began + timedelta(seconds=10 * next(ticks))


def test_a_plan_that_never_had_an_item_is_no_rehearsals(world: World) -> None:
    world.sql(
        "INSERT INTO resync_plans (id, request_key, name, source, created_by, created_at)"
        " VALUES (gen_random_uuid(), 'a key', 'Nothing', '{}', 'ada', now())"
    )
    begun(500, 5)
    cleared()
    assert len(world.sql("SELECT 1 FROM resync_plans")) == 1


def test_a_failure_that_people_saw_to_before_stays(world: World) -> None:
    begun()
    signature = acknowledged(-1)
    world.sql(
        "INSERT INTO audit_log (at, actor_kind, action, object_type, object_id)"
        " VALUES (now() - interval '9 days', 'person', 'failure.resolve', 'failure', %s)",
        signature,
    )
    cleared()
    kept = world.sql("SELECT signature FROM failure_groups WHERE changed_at IS NOT NULL")
    assert signature in {row.signature for row in kept}


def test_the_same_seed_gives_the_same_history() -> None:
    now = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    one, same, other = (course.hours(now, days=60, generations=6_000, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert sum(hour.count for hour in one) == 6_000
    assert [hour.first for hour in one[1:]] == [hour.first + hour.count for hour in one[:-1]]
    assert one[-1].start + timedelta(seconds=one[-1].span_s) <= now - course.NEWEST
    assert sum(hour.outage for hour in one) >= 4


def test_an_hour_without_people_has_few() -> None:
    now = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    by_hour = dict.fromkeys(range(24), 0)
    by_day = dict.fromkeys(range(7), 0)
    for hour in course.hours(now, days=56, generations=20_000, seed=3):
        by_hour[hour.start.hour] += hour.count
        by_day[hour.start.weekday()] += hour.count
    assert by_hour[15] > 5 * by_hour[3]
    assert by_day[2] > 1.8 * by_day[6]


def test_two_at_once_are_told_and_a_filling_that_broke_off_can_be_cleared(world: World) -> None:
    steps = service.begin(OPERATOR, tools.current(), generations=10_500, days=30)
    next(steps)
    with pytest.raises(Conflict, match="Somebody else"):
        cleared()
    while next(steps).done == 0:
        pass
    steps.close()  # type: ignore[attr-defined]
    standing = service.what_stands(OPERATOR)
    assert standing is not None
    assert standing.state == "filling"
    cleared()
    assert service.what_stands(OPERATOR) is None
    assert world.sql("SELECT 1 FROM generations") == []
    with pytest.raises(Conflict, match="nothing to clear"):
        cleared()


def test_what_is_under_way_is_followed_to_its_end(world: World) -> None:
    rates.forget()
    begun(500, 20)
    [(lantern,)] = world.sql("SELECT id::text FROM generations WHERE prompt = 'A lantern in falling snow'")
    task = world.row(lantern).task_id
    world.sandbox.post(f"tasks/{task}/finish")
    row = world.settle(lantern, {"delivered"})
    assert row.asset_url is not None
    assert world.web.get(row.asset_url).status_code == 200
    assert [entry for entry in world.calls("create") if str(entry["generation"]).startswith("5ce9e000")] == []
    assert len(world.sql("SELECT 1 FROM credit_rates")) == 1
    cleared()
    assert world.files() == []
    assert world.sql("SELECT 1 FROM credit_rates") == []


def test_no_other_id_can_be_taken_for_one_of_it() -> None:
    drawn = random.Random(1)
    assert not any(is_marked(uuid.UUID(int=drawn.getrandbits(128), version=4)) for _ in range(5_000))
    assert all(FIRST <= random_id("2") <= LAST for _ in range(50))


def test_sizes_roles_and_the_configured_profile_are_refused(
    world: World, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="500 to 5,000,000"):
        begun(3)
    with pytest.raises(InvalidInput, match="1 to 365 days"):
        begun(600, 0)
    viewer = access.Actor("person", "v", "Vera", frozenset({access.Role.VIEWER}), "page")
    with pytest.raises(NotAllowed, match="rehearsal"):
        list(service.begin(viewer, tools.current()))
    with pytest.raises(NotAllowed):
        list(service.clear(viewer, tools.current()))
    monkeypatch.delenv("STUDIO_OPS_LOCAL_STACK")
    configure(ALLOWED_FETCH_HOSTS="results.example")
    for refused in (service.begin, service.clear):
        with pytest.raises(Conflict, match="only in the local profile"):
            list(refused(OPERATOR, tools.current()))
    assert world.sql("SELECT 1 FROM rehearsals") == []


def test_the_command_fills_and_clears(command: Callable[..., Said], world: World) -> None:
    said = command("history", "--generations", "700", "--days", "9")
    assert (said.code, said.err) == (0, "")
    assert "700 of 700" in said.out
    assert world.sql("SELECT count(*) FROM generations")[0][0] > 700
    assert command("history", "--generations", "700").err.startswith("A rehearsal stands here already.")
    assert command("history", "--clear").code == 0
    assert world.sql("SELECT 1 FROM generations") == []


def test_the_command_is_refused_for_a_configured_product(
    command: Callable[..., Said], configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDIO_OPS_LOCAL_STACK")
    configure(ALLOWED_FETCH_HOSTS="results.example")
    said: Any = command("history", "--generations", "600")
    assert said.code == 1
    assert "only in the local profile" in said.err
