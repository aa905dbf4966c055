"""Trainings at Replicate and on pods of ours: found again, pushed, given back, and never paid for twice."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.trainings import cleaning, costs, service, views
from core.trainings.models import RunState
from tests.journeys.training_world import STAFF, Trainings
from tests.journeys.world import until


def strike(trainings: Trainings, **faults: Any) -> None:
    trainings.world.sandbox.put("faults", **faults)


def trained(trainings: Trainings, run_id: Any) -> list[dict[str, Any]]:
    return [one for one in trainings.paid(run_id) if one["kind"] == "training"]


@pytest.mark.parametrize("trainer", ["replicate", "runpod"])
def test_a_training_elsewhere_comes_to_its_weights(trainings: Trainings, trainer: str) -> None:
    made = trainings.launch(trainer=trainer, learning_rate=Decimal("0.0001"), rank=16)
    stored = trainings.at(made.id, "validation")
    assert stored.weights_path
    assert stored.weights_sha256
    [call] = trainings.calls(made.id)
    assert (call.state, call.provider) == ("succeeded", trainer)
    assert call.released_at is not None
    assert (stored.pod_id is not None) is (trainer == "runpod")
    assert trainings.tools.storage.find("lora-models", "incoming/") == []
    assert views.pods(STAFF, trainings.tools.clock()) == ()
    [training] = trained(trainings, made.id)
    assert training["service"] == trainer


@pytest.mark.parametrize("trainer", ["replicate", "runpod"])
def test_a_lost_answer_elsewhere_is_looked_up(trainings: Trainings, trainer: str) -> None:
    faults = {"trainer_answer_lost": {"at": [f"{trainer}_submit"]}}
    strike(trainings, **faults, webhook_never={"at": ["replicate_training"]})
    made = trainings.launch(trainer=trainer)
    trainings.at(made.id, "training")
    trainings.step(made.id)
    strike(trainings)
    trainings.at(made.id, "storing")
    assert "bound" in trainings.events(made.id)
    assert len(trained(trainings, made.id)) == 1


def test_without_a_machine_free_another_trainer_does_it_before_anything_is_paid(trainings: Trainings) -> None:
    strike(trainings, no_capacity={"at": ["runpod_submit"]})
    made = trainings.launch(trainer="runpod", rank=16)
    before = trainings.reserved()
    ended = trainings.at(made.id, "storing")
    assert ended.trainer == "replicate"
    assert "fell_back" in trainings.events(made.id)
    assert [one["service"] for one in trained(trainings, made.id)] == ["replicate"]
    assert before == Decimal("7.4440")
    assert trainings.ledger(made.id)["settle"] == Decimal("2.0000")


def test_a_pod_is_terminated_when_its_run_is_cancelled_and_paid_by_its_time(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", training_seconds=60)
    strike(trainings, terminate_fails={"at": ["runpod_training"], "value": 1})
    made = trainings.launch(trainer="runpod")
    trainings.at(made.id, "training")
    trainings.step(made.id)
    until(lambda: trainings.step(made.id).usd_per_hour)
    [pod] = views.pods(STAFF, trainings.tools.clock())
    assert pod.usd_per_hour
    assert views.usd_per_hour(STAFF, trainings.tools.clock()) == pod.usd_per_hour
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    assert trainings.settle(made.id).state == "cancelled"
    assert [one["stage"] for one in trained(trainings, made.id)] == ["cancelled"]
    assert trainings.reserved() == 0
    assert views.pods(STAFF, trainings.tools.clock()) == ()


def test_a_pod_that_never_runs_is_terminated_long_before_the_ceiling(trainings: Trainings) -> None:
    strike(trainings, pod_never_runs={"at": ["runpod_training"]})
    made = trainings.launch(trainer="runpod")
    trainings.at(made.id, "training")
    trainings.step(made.id)
    assert trainings.step(made.id).state == "running"
    trainings.age(made.id, "46 min")
    ended = trainings.settle(made.id)
    assert (ended.state, ended.failure_category) == ("failed", "timeout")
    assert "not begun to train after 45 minutes" in str(ended.error_message)
    assert [one["stage"] for one in trained(trainings, made.id)] == ["cancelled"]
    assert views.pods(STAFF, trainings.tools.clock()) == ()
    assert trainings.reserved() == 0


def test_a_pod_whose_training_fails_is_ended_however_often_runpod_refuses(trainings: Trainings) -> None:
    faults = {"terminate_fails": {"at": ["runpod_training"], "value": 2}}
    strike(trainings, training_fails={"at": ["runpod_training"]}, **faults)
    trainings.world.sandbox.put("settings", pods_linger=True)
    made = trainings.launch(trainer="runpod")
    ended = trainings.settle(made.id)
    assert (ended.state, ended.stage, ended.failure_category) == ("failed", "training", "service_error")
    assert views.pods(STAFF, trainings.tools.clock()) == ()
    # A failure that may pass is tried once more within the reservation.
    assert [call.released_at is not None for call in trainings.calls(made.id)] == [True, True]
    assert trainings.reserved() == 0


def test_a_pod_that_nobody_knows_is_ended_by_the_sweep(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", training_seconds=60)
    made = trainings.launch(trainer="runpod")
    trainings.at(made.id, "training")
    trainings.step(made.id)
    trainings.world.sql("DELETE FROM training_calls")
    assert cleaning.sweep_orphans(trainings.tools) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "POD_GRACE", cleaning.POD_GRACE * 0)
        trainer = trainings.tools.trainers["runpod"]
        with pytest.MonkeyPatch.context() as elsewhere:
            # Another installation with the same account.
            elsewhere.setattr(trainer, "mark", "another")
            assert cleaning.sweep_orphans(trainings.tools) == 0
        assert cleaning.sweep_orphans(trainings.tools) == 1
    assert trainings.run(made.id).state is RunState.RUNNING


def test_a_pod_is_reserved_until_its_ceiling_and_quoted_as_usual_and_at_most(trainings: Trainings) -> None:
    quote = views.quote(STAFF, "runpod", 1000, trainings.tools)
    assert (quote.launch_usd, quote.usual_usd) == (Decimal("7.4440"), Decimal("1.4475"))
    made = trainings.launch(trainer="runpod")
    assert (made.quoted_usd, trainings.reserved()) == (Decimal("7.4440"), Decimal("7.4440"))
    [row] = trainings.world.sql("SELECT expected_usd FROM lora_training_jobs WHERE id = %s", made.id)
    assert row.expected_usd == Decimal("1.4475")
    trainings.settle(made.id, RunState.AWAITING_VERDICT)
    assert trainings.reserved() == 0


def test_a_second_pod_runs_no_longer_than_what_the_first_left(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", training_seconds=60)
    made = trainings.launch(trainer="runpod")
    trainings.at(made.id, "training")
    until(lambda: trainings.step(made.id).usd_per_hour)
    trainings.world.sql(
        "INSERT INTO training_calls (id, run_id, purpose, n, round, provider, reservation_key, state,"
        " cost_usd, ended_at, released_at)"
        " SELECT gen_random_uuid(), id, 'training', 0, 0, 'runpod', reservation_key, 'failed', 3.58, now(),"
        " now() FROM lora_training_jobs WHERE id = %s",
        made.id,
    )
    [_, call] = trainings.calls(made.id)
    seen = trainings.tools.trainers["runpod"].read(call.submission)
    ceiling = costs.ceiling(trainings.run(made.id), call, seen, timedelta(hours=4))
    assert abs(ceiling - timedelta(hours=2)) < timedelta(seconds=1)
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    trainings.settle(made.id, RunState.CANCELLED)
    assert trainings.reserved() == 0
