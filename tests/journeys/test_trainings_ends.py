"""What ends badly: stops that nobody confirms, pictures that never come, what was taken all the same."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.errors import Conflict
from core.providers import training_registry
from core.providers.training import WebhookEvent
from core.trainings import cleaning, detail, pushing, service
from core.trainings.models import Run, RunState
from core.trainings.tools import WEIGHTS
from tests.journeys.test_trainings_faults import heal, nothing_left, strike
from tests.journeys.training_world import STAFF, Trainings
from tests.journeys.world import until


def unconfirmed(trainings: Trainings, trainer: str = "fal") -> Run:
    """A run that somebody has cancelled, half an hour ago, and whose provider answers with errors since."""
    strike(trainings, trainer_error={"at": [f"{trainer}_cancel"], "value": 503})
    trainings.world.sandbox.put("settings", training_seconds=60)
    made = trainings.launch(trainer=trainer)
    trainings.at(made.id, "training")
    trainings.step(made.id)
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    assert trainings.step(made.id).state == "ending"
    half_an_hour_passes(trainings, made.id)
    return trainings.step(made.id)


def half_an_hour_passes(trainings: Trainings, run_id: UUID) -> None:
    trainings.world.sql(
        "UPDATE lora_training_jobs SET ending_since = ending_since - interval '30 min' WHERE id = %s", run_id
    )


def stages(trainings: Trainings, run_id: UUID, kind: str) -> list[str]:
    """How each of a run's paid trainings or images stands at the sandbox."""
    return sorted(one["stage"] for one in trainings.paid(run_id) if one["kind"] == kind)


@pytest.mark.parametrize("trainer", ["fal", "replicate", "runpod"])
def test_a_stop_that_is_not_confirmed_needs_a_person_and_ends_by_itself_once_it_is(
    trainings: Trainings, trainer: str
) -> None:
    waits = unconfirmed(trainings, trainer)
    assert (waits.state, waits.ends_as) == ("needs_attention", "cancelled")
    assert "has not confirmed in 30 minutes" in str(waits.error_message)
    assert training_registry.label(trainer) in str(waits.next_action)
    assert trainings.reserved() > 0
    seen = detail.of_run(STAFF, waits.id, trainings.tools)
    assert seen.doubt
    assert "being stopped" in str(seen.why_not_resume)
    with pytest.raises(Conflict, match="being stopped"):
        service.resume(STAFF, waits.id, trainings.tools)
    assert cleaning.sweep_orphans(trainings.tools) == 0
    assert trainings.run(waits.id).state == "needs_attention"
    heal(trainings)
    assert cleaning.sweep_orphans(trainings.tools) == 1
    ended = trainings.settle(waits.id, RunState.CANCELLED)
    assert ended.error_message is None
    assert stages(trainings, waits.id, "training") == ["cancelled"]
    assert trainings.world.sandbox.get("stats")["trainings"]["pods_alive"] == 0
    assert nothing_left(trainings)


def test_looking_again_stops_it_and_never_has_it_go_on(trainings: Trainings) -> None:
    waits = unconfirmed(trainings)
    assert service.look_again(STAFF, waits.id, trainings.tools).state == "ending"
    assert trainings.step(waits.id).state == "ending"
    heal(trainings)
    assert trainings.settle(waits.id).state == "cancelled"
    assert nothing_left(trainings)


def test_a_persons_word_ends_what_nobody_confirms(trainings: Trainings) -> None:
    waits = unconfirmed(trainings, "runpod")
    with pytest.raises(Conflict, match="has not confirmed"):
        service.cancel(STAFF, waits.id, trainings.tools, reason="gone there")
    service.cancel(STAFF, waits.id, trainings.tools, reason="gone there", nothing_runs=True)
    assert trainings.settle(waits.id).state == "cancelled"
    assert nothing_left(trainings)
    [call] = trainings.calls(waits.id)
    assert call.state == "cancelled"
    assert call.cost_usd is not None
    heal(trainings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "POD_GRACE", timedelta())
        assert cleaning.sweep_orphans(trainings.tools) == 1, "the word was wrong, and its pod is ended"
    assert trainings.world.sandbox.get("stats")["trainings"]["pods_alive"] == 0


def test_what_ended_it_stands_on_a_run_whose_stop_was_confirmed_late(trainings: Trainings) -> None:
    strike(
        trainings,
        training_queued={"at": ["fal_training"]},
        trainer_error={"at": ["fal_cancel"], "value": 503},
    )
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    trainings.age(made.id, "61 min")
    assert trainings.step(made.id).state == "ending"
    half_an_hour_passes(trainings, made.id)
    assert trainings.step(made.id).failure_category == "service_error"
    heal(trainings)
    assert cleaning.sweep_orphans(trainings.tools) == 1
    ended = trainings.settle(made.id)
    assert (ended.state, ended.failure_category) == ("failed", "timeout")
    assert nothing_left(trainings)


def test_a_run_cancelled_over_a_lost_answer_is_never_taken_up_again(trainings: Trainings) -> None:
    strike(trainings, trainer_dead={"at": ["fal_submit"], "times": 1})
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    trainings.age(made.id, "31 min")
    assert trainings.step(made.id).state == "needs_attention"
    assert service.look_again(STAFF, made.id, trainings.tools).state == "ending"
    trainings.age(made.id, "31 min")
    assert trainings.step(made.id).state == "needs_attention"
    service.cancel(STAFF, made.id, trainings.tools, reason="gone", nothing_runs=True)
    assert trainings.settle(made.id).state == "cancelled"
    assert trainings.paid(made.id) == []
    assert nothing_left(trainings)


# Test pictures.


def at_its_pictures(trainings: Trainings) -> Run:
    """A run whose three pictures are asked for and take a minute."""
    trainings.world.sandbox.put("settings", lora_image_seconds=60)
    made = trainings.launch()
    trainings.at(made.id, "validation")
    trainings.step(made.id)
    return made


def test_a_late_picture_is_stopped_before_another_is_paid(trainings: Trainings) -> None:
    made = at_its_pictures(trainings)
    trainings.world.sandbox.put("settings", lora_image_seconds=0.1)
    trainings.age(made.id, "21 min")
    assert trainings.settle(made.id).state == "awaiting_verdict"
    assert stages(trainings, made.id, "image") == ["cancelled"] * 3 + ["succeeded"] * 3
    assert trainings.ledger(made.id)["settle"] == Decimal("2.1050")
    assert nothing_left(trainings)


def test_a_late_picture_that_cannot_be_stopped_is_not_paid_again(trainings: Trainings) -> None:
    made = at_its_pictures(trainings)
    strike(trainings, trainer_error={"at": ["fal_cancel"], "value": 503})
    trainings.age(made.id, "21 min")
    assert trainings.step(made.id).state == "running"
    assert len(stages(trainings, made.id, "image")) == 3
    trainings.age(made.id, "30 min")
    stuck = trainings.step(made.id)
    assert (stuck.state, stuck.ends_as, stuck.failure_category) == ("ending", "failed", "timeout")
    heal(trainings)
    assert trainings.settle(made.id).state == "failed"
    assert stages(trainings, made.id, "image") == ["cancelled"] * 3
    assert nothing_left(trainings)


# What goes on costing.


def test_a_pod_that_failed_is_given_back_before_the_next_is_begun(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", pods_linger=True)
    strike(trainings, training_fails={"at": ["runpod_training"]})
    made = trainings.launch(trainer="runpod")
    trainings.at(made.id, "training")

    def retried() -> bool:
        trainings.step(made.id)
        return "retried" in trainings.events(made.id)

    until(retried)
    [first] = trainings.calls(made.id)
    assert first.released_at is not None
    assert trainings.world.sandbox.get("stats")["trainings"]["pods_alive"] == 0
    heal(trainings)
    trainings.at(made.id, "validation")
    assert [(call.round, call.state) for call in trainings.calls(made.id)] == [
        (1, "failed"),
        (2, "succeeded"),
    ]


def test_the_sweep_gives_back_a_failed_pod_of_a_run_that_goes_on(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", pods_linger=True)
    made = trainings.launch(trainer="runpod")
    trainings.at(made.id, "validation")
    trainings.world.sql(
        "UPDATE training_calls SET released_at = NULL, ended_at = ended_at - interval '6 min'"
    )
    assert cleaning.sweep_orphans(trainings.tools) == 1
    assert cleaning.sweep_orphans(trainings.tools) == 0


def test_what_was_taken_although_a_person_said_no_is_stopped_and_paid(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", training_seconds=60)
    strike(
        trainings,
        trainer_answer_lost={"at": ["fal_submit"], "times": 1},
        webhook_never={"at": ["fal_training"]},
    )
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    trainings.age(made.id, "31 min")
    assert trainings.step(made.id).state == "needs_attention"
    [taken] = trainings.paid(made.id)
    heal(trainings)
    trainings.world.sandbox.put("settings", training_seconds=0.3)
    service.resume(STAFF, made.id, trainings.tools, nothing_runs=True)
    trainings.at(made.id, "storing")
    event = WebhookEvent(taken["id"], "delivery-1", "OK")
    service.receive_webhook("fal", made.id, event, trainings.tools)
    trainings.world.sandbox.post(f"trainings/{taken['id']}/finish")
    trainings.world.sql(
        "UPDATE training_calls SET ended_at = ended_at - interval '6 min' WHERE state = 'not_sent'"
    )
    assert cleaning.sweep_orphans(trainings.tools) == 1
    first, second = trainings.calls(made.id)
    assert (first.state, first.remote_id, first.cost_usd) == ("not_sent", taken["id"], Decimal("2.0000"))
    assert second.state == "succeeded"
    assert trainings.ledger(made.id)["settle"] == Decimal("4.0000")
    assert cleaning.sweep_orphans(trainings.tools) == 0


def put(trainings: Trainings, path: str) -> None:
    with trainings.tools.storage.upload(WEIGHTS) as upload:
        upload.write(b"weights")
        upload.commit(path, "application/octet-stream")


def left(trainings: Trainings) -> list[str]:
    return [info.path for info in trainings.tools.storage.find(WEIGHTS, pushing.INCOMING)]


def test_pushed_weights_that_nobody_wants_any_more_are_taken_away(trainings: Trainings) -> None:
    done, going = (trainings.launch(trainer="runpod") for _ in range(2))
    trainings.at(done.id, "validation")
    paths = {run.id: pushing.incoming_path(run.id) for run in (done, going)}
    trainings.world.sandbox.put("settings", training_seconds=60)
    trainings.at(going.id, "training")
    trainings.step(going.id)
    for path in paths.values():
        put(trainings, path)
    assert trainings.clean() == 1
    assert left(trainings) == [paths[going.id]]
    service.cancel(STAFF, going.id, trainings.tools, reason="enough")
    trainings.settle(going.id)
    assert trainings.clean() == 1
    assert left(trainings) == []


def test_a_zip_that_no_run_names_is_taken_away(trainings: Trainings) -> None:
    made = trainings.launch()
    trainings.at(made.id, "training")
    path = str(trainings.run(made.id).zip_path)
    zips = trainings.tools.dataset.zips
    # As if it had been cancelled when the ZIP was stored and not recorded yet.
    trainings.world.sql(
        "UPDATE lora_training_jobs SET zip_path = NULL, zip_bucket = NULL, state = 'cancelled'"
    )
    assert trainings.clean() == 0
    trainings.world.sql("UPDATE training_zips SET used_at = now() - interval '25 h'")
    assert trainings.clean() == 1
    assert zips.stat("character-references", path) is None
    assert trainings.clean() == 0


def test_what_a_killed_worker_left_on_the_disk_is_gone_a_day_later(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned: Any = trainings.tools.folder / "work-abandoned"
    abandoned.mkdir(parents=True)
    monkeypatch.setattr("core.trainings.candidates._ABANDONED_AFTER_S", -1)
    made = trainings.launch()
    trainings.at(made.id, "validation")
    assert not abandoned.exists()
