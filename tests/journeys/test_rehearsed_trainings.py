"""A rehearsal's trainings: every state and stage, money that fits, files that open, and no job that acts."""

from datetime import UTC, datetime, timedelta

import pytest

from core import access, database
from core.alerts import service as alerts
from core.budget import fold, proof
from core.deliveries import tools as deliveries
from core.loras import popularity, proofs
from core.rehearsal import service, trainings_course
from core.rehearsal.training_endings import FAILURES
from core.rehearsal.training_files import BUCKETS
from core.trainings import adopting, billing, cleaning, sampling
from core.trainings.models import RunState, Stage
from core.trainings.service import judge, resume
from tests.journeys.training_world import STAFF, Trainings
from tests.journeys.world import World

OPERATOR = access.command_line("tester")
MINE = "BETWEEN '5ce9e000-0000-8000-0000-000000000000' AND '5ce9e000-0000-8fff-ffff-ffffffffffff'"


@pytest.fixture
def rehearsed(trainings: Trainings) -> Trainings:
    list(service.begin(OPERATOR, deliveries.current(), generations=1_500, days=60))
    return trainings


def cleared(world: World) -> None:
    assert list(service.clear(OPERATOR, deliveries.current()))
    for table, column in (
        ("lora_models", "id"),
        ("lora_training_jobs", "id"),
        ("lora_library", "lora_model_id"),
    ):
        assert world.sql(f"SELECT 1 FROM {table} WHERE {column} {MINE}") == []


def test_every_state_stage_and_category_is_there_with_ratings_tags_and_uses(rehearsed: Trainings) -> None:
    world = rehearsed.world
    stands = {tuple(row) for row in world.sql(f"SELECT state, stage FROM lora_training_jobs WHERE id {MINE}")}
    assert {state for state, _ in stands} == {state.value for state in RunState}
    assert {stage for state, stage in stands if state == "running"} == {
        stage.value for stage in Stage if stage is not Stage.COMPLETION
    }
    categories = {row[0] for row in world.sql("SELECT DISTINCT failure_category FROM lora_training_jobs")}
    assert categories >= {ending.category for ending in FAILURES}
    [(rated, tagged, used, versions, shown)] = world.sql(
        "SELECT count(*) FILTER (WHERE e.rating_count > 0), count(*) FILTER (WHERE cardinality(e.tags) > 0),"
        " count(*) FILTER (WHERE e.uses > 0), (SELECT count(*) FROM lora_versions),"
        " count(*) FILTER (WHERE cardinality(l.validation_image_urls) = 3)"
        f" FROM lora_library e JOIN lora_models l ON l.id = e.lora_model_id WHERE e.lora_model_id {MINE}"
    )
    assert min(rated, tagged, used, versions, shown) > 10
    for query, least in (
        ("SELECT 1 FROM lora_reports WHERE outcome IS NULL", 1),
        ("SELECT 1 FROM lora_models WHERE is_private", 1),
        ("SELECT 1 FROM lora_models WHERE hidden_at IS NOT NULL", 1),
        ("SELECT 1 FROM lora_models WHERE archived_at IS NOT NULL", 1),
        ("SELECT 1 FROM lora_uses u JOIN generations g ON g.id = u.generation_id", 20),
        ("SELECT 1 FROM lora_training_jobs WHERE queue_position > 0", 1),
        ("SELECT 1 FROM lora_training_jobs WHERE usd_per_hour > 0 AND state = 'running'", 1),
    ):
        assert len(world.sql(query)) >= least, query
    cleared(world)


def test_the_ledger_is_that_of_the_runs_and_nobody_has_more_than_the_quota(rehearsed: Trainings) -> None:
    world = rehearsed.world
    fold.run(datetime.now(UTC))
    assert (
        world.sql(
            f"SELECT 1 FROM job_costs c WHERE run_id {MINE} AND NOT EXISTS"
            " (SELECT FROM lora_training_jobs r WHERE r.id = c.run_id)"
        )
        == []
    )
    differing = world.sql(
        "SELECT l.name, l.training_cost, sum(c.amount_usd) FROM lora_models l"
        " JOIN lora_training_jobs r ON r.lora_model_id = l.id"
        " LEFT JOIN job_costs c ON c.run_id = r.id AND c.kind = 'settle'"
        f" WHERE l.id {MINE} GROUP BY l.id HAVING coalesce(sum(c.amount_usd), 0) <> l.training_cost"
    )
    assert differing == []
    open_ = world.sql(
        "SELECT r.state, sum(c.amount_usd) FROM lora_training_jobs r JOIN job_costs c ON c.run_id = r.id"
        f" WHERE r.id {MINE} AND c.kind IN ('reserve', 'release') GROUP BY r.id, r.state"
    )
    for state, left in open_:
        over = state in {"completed", "failed", "cancelled", "awaiting_verdict"}
        assert (left == 0) if over else (left > 0), state
    calls = world.sql(
        "SELECT c.id FROM training_calls c JOIN job_costs l ON l.run_id = c.run_id AND l.stage = 'training'"
        f" AND l.kind = 'settle' WHERE c.purpose = 'training' AND c.run_id {MINE} AND cost_usd <> amount_usd"
    )
    assert calls == []
    with database.reading() as connection:
        assert proof.differences(connection) == ()
    most = world.sql(
        "SELECT count(*) FROM lora_models WHERE training_status <> 'failed'"
        f" AND id {MINE} GROUP BY creator_key, date_trunc('month', created_at) ORDER BY 1 DESC LIMIT 1"
    )
    assert most[0][0] <= 5
    spent = world.sql("SELECT max(settled_usd + reserved_usd) FROM budget_totals WHERE scope = 'trainings'")
    assert spent[0][0] < 150
    cleared(world)


def test_no_job_takes_them_for_real(rehearsed: Trainings) -> None:
    """Nothing is asked of a provider, nothing moves, every file is found, and nobody is told of money."""
    world, tools = rehearsed.world, rehearsed.tools
    stood = "SELECT id, state, stage, next_attempt_at, updated_at FROM lora_training_jobs ORDER BY id"
    before, paid = world.sql(stood), world.sandbox.get("trainings")
    now = datetime.now(UTC)
    for _ in range(2):
        rehearsed.sweep()
        cleaning.sweep_orphans(tools)
        rehearsed.clean()
        billing.compare(tools)
        sampling.publish_due(tools)
        adopting.adopt(tools, "fal")
    assert world.sql(stood) == before
    assert world.sandbox.get("trainings") == paid
    assert proofs.prove(tools.storage, now, bytes_per_s=1e9) > 50
    assert world.sql(f"SELECT 1 FROM lora_weight_proofs WHERE state <> 'good' AND lora_model_id {MINE}") == []
    alerts.watch_trainings(now + timedelta(days=2))
    alerts.watch_money(now)
    alerts.watch_library(now)
    kinds = {row[0] for row in world.sql("SELECT kind FROM alerts")}
    never = {"training_success", "trainings_silent", "orphan_pods", "wrong_weights", "failure_cost"}
    assert kinds.isdisjoint(never)
    world.sql(
        "INSERT INTO alerts (kind, subject, severity, count, evidence, opened_at, last_seen_at)"
        " VALUES ('failure_cost', 'trainings 2026-11', 'warning', 1, '{}', now(), now())"
    )
    alerts.tell(now)
    assert world.sql("SELECT 1 FROM alerts WHERE kind = 'failure_cost' AND notified_at IS NULL")
    popularity.count(now)
    cleared(world)
    [(held,)] = world.sql("SELECT loras FROM lora_library_totals")
    assert held == world.sql("SELECT count(*) FROM lora_library")[0][0]
    assert world.sql("SELECT 1 FROM alerts WHERE kind = 'failure_cost'") == []


def test_pictures_open_and_a_person_judges_one(rehearsed: Trainings) -> None:
    world = rehearsed.world
    urls = world.sql(
        f"SELECT unnest(validation_image_urls) FROM lora_models WHERE id {MINE} ORDER BY id DESC LIMIT 4"
    )
    assert len(urls) == 4
    for (url,) in urls:
        found = world.web.get(url)
        assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
    [(run_id,), *_] = world.sql("SELECT id FROM lora_training_jobs WHERE state = 'awaiting_verdict'")
    for n in range(3):
        judge(STAFF, run_id, n, rehearsed.tools, shows=True)
    assert rehearsed.settle(run_id, RunState.COMPLETED).state is RunState.COMPLETED
    cleared(world)
    for bucket in BUCKETS:
        assert not list(rehearsed.tools.storage.find(bucket, "5ce9e000-0000-8"))


def test_a_failed_one_is_retried_through_the_sandbox(rehearsed: Trainings) -> None:
    world = rehearsed.world
    [(run_id,)] = world.sql(
        f"SELECT id FROM lora_training_jobs WHERE failure_category = 'rate_limit' AND id {MINE} LIMIT 1"
    )
    resume(STAFF, run_id, rehearsed.tools)
    assert rehearsed.settle(run_id).state is RunState.AWAITING_VERDICT
    assert len(rehearsed.paid(run_id)) == 4
    cleared(world)


def test_the_same_seed_gives_the_same_trainings() -> None:
    now = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    one, same, other = (trainings_course.trainings(now, seed=seed, days=60) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert [training.n for training in one] == list(range(len(one)))
    assert all(training.stopped_at <= now for training in one)
