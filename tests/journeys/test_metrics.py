"""The figures for Prometheus: the same that the database holds, to whoever has a key, and to nobody else."""

import uuid
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core import database
from core.work import limiter, runs
from core.work.limiter import Limit, Priority
from tests.conftest import Sandbox
from tests.journeys.world import World

Labels = tuple[tuple[str, str], ...]


def read(world: World) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and labels."""
    answer = world.web.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(samples: dict[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return samples[f"studio_ops_{name}", tuple(sorted(labels.items()))]


def test_an_empty_product_tells_zeros_not_nothing(world: World) -> None:
    samples = read(world)
    assert of(samples, "deliveries_under_way", state="awaiting_provider") == 0
    assert of(samples, "deliveries_waiting_for_people", state="lost") == 0
    assert of(samples, "generations_24h", state="delivered") == 0
    assert of(samples, "processes_alive", role="worker") == 0
    assert of(samples, "callbacks_waiting") == 0
    assert ("studio_ops_success_ratio_24h", ()) not in samples
    assert of(samples, "web_process_resident_memory_bytes") > 10_000_000


def test_the_figures_are_those_of_the_rows(world: World) -> None:
    made = world.create("delivered")
    world.finished_at_kie(made["taskId"])
    world.settle(made["generationId"], {"delivered"})
    held, _ = world.held()
    world.due(held)
    world.sql("UPDATE generations SET next_attempt_at = now() - interval '2 min' WHERE id = %s", held)
    world.sql("INSERT INTO generations (status, delivery_state) VALUES ('failed', 'lost')")
    runs.beat(uuid.uuid4(), "worker", datetime.now(UTC))
    samples = read(world)
    assert of(samples, "deliveries_under_way", state="awaiting_provider") == 1
    assert of(samples, "deliveries_overdue", state="awaiting_provider") == 1
    assert of(samples, "deliveries_waiting_for_people", state="lost") == 1
    assert of(samples, "generations_24h", state="delivered") == 1
    assert of(samples, "generations_24h", state="in_flight") == 1
    assert of(samples, "success_ratio_24h") == 0.5
    assert of(samples, "processes_alive", role="worker") == 1


def test_an_empty_product_has_no_training(world: World) -> None:
    samples = read(world)
    for state in ("running", "awaiting_verdict", "needs_attention"):
        assert of(samples, "trainings_under_way", state=state) == 0
    assert of(samples, "training_pods") == of(samples, "training_pods_usd_per_hour") == 0
    assert ("studio_ops_training_success_ratio_30d", ()) not in samples
    assert ("studio_ops_training_oldest_heartbeat_timestamp_seconds", ()) not in samples


def test_the_figures_of_trainings_are_those_of_their_rows(world: World) -> None:
    made = (
        ("running", 1, 400),
        ("ending", 1, 100),
        ("completed", 1, 9),
        ("completed", 40, 9),
        ("failed", 3, 9),
    )
    for state, days, silent in made:
        world.sql(
            "WITH l AS (INSERT INTO lora_models (name, training_status)"
            " VALUES (gen_random_uuid()::text, 'failed') RETURNING id)"
            " INSERT INTO lora_training_jobs (lora_model_id, state, stage, created_at, heartbeat_at)"
            " SELECT id, %s, 'training', now() - make_interval(days => %s), now() - make_interval(secs => %s)"
            " FROM l",
            state,
            days,
            silent,
        )
    world.sql(
        "INSERT INTO training_calls"
        " (id, run_id, purpose, provider, state, remote_id, accepted_at, usd_per_hour)"
        " SELECT gen_random_uuid(), id, 'training', 'runpod', 'accepted', 'pod-1', now(), 2.89"
        " FROM lora_training_jobs WHERE state = 'running'"
    )
    samples = read(world)
    assert of(samples, "trainings_under_way", state="running") == 2
    assert of(samples, "trainings_30d", state="completed") == 1
    assert of(samples, "trainings_30d", state="failed") == 1
    assert of(samples, "training_success_ratio_30d") == 0.5
    oldest = datetime.now(UTC).timestamp() - of(samples, "training_oldest_heartbeat_timestamp_seconds")
    assert 400 <= oldest < 460
    assert of(samples, "training_pods") == 1
    assert of(samples, "training_pods_usd_per_hour") == pytest.approx(2.89)
    assert of(samples, "training_images_generating") == 0


def test_how_far_ahead_a_providers_places_are_taken(world: World) -> None:
    limiter.reserve(Limit("kie:slow", 2.0), 6, Priority.SYNC)
    samples = read(world)
    assert of(samples, "provider_limit_per_second", limit="kie:slow") == 2
    assert 2.0 < of(samples, "provider_limit_taken_seconds", limit="kie:slow") <= 3.0
    world.sql("DELETE FROM provider_limits WHERE key = 'kie:slow'")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_read(world: World, method: str) -> None:
    answer = world.web.request(method, "/metrics")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_database_that_is_away_is_said_and_not_told_as_zero(world: World, sandbox: Sandbox) -> None:
    url = world.environment["DATABASE_URL"]
    database.connect(url.rsplit("/", 1)[0] + "/no_such_database")
    try:
        answer = world.web.get("/metrics")
    finally:
        database.connect(url)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "database_failed"
