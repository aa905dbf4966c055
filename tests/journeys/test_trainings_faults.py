"""Every failure of a training names its end: what it comes to, what was paid, and what was given back."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.errors import Conflict
from core.trainings import following, policy, service
from core.trainings.models import RunState
from core.web.webhooks import _id
from tests.journeys.training_world import STAFF, Trainings
from tests.journeys.world import until


def strike(trainings: Trainings, **faults: Any) -> None:
    """These faults and no others from now on."""
    trainings.world.sandbox.put("faults", **faults)


def heal(trainings: Trainings) -> None:
    strike(trainings)


def nothing_left(trainings: Trainings) -> bool:
    return trainings.reserved() == 0


# The submission.


def test_a_request_that_was_refused_for_now_is_sent_later(trainings: Trainings) -> None:
    strike(trainings, trainer_rate_limited={"at": ["fal_submit"], "times": 1})
    made = trainings.launch()
    refused = trainings.at(made.id, "training")
    refused = trainings.step(made.id)
    assert refused.failure_category == "rate_limit"
    assert refused.next_action
    assert [call.state for call in trainings.calls(made.id)] == ["intent"]
    trainings.at(made.id, "storing")
    assert len(trainings.paid(made.id)) == 1


def test_a_request_that_was_refused_for_good_ends_the_run_and_gives_the_money_back(
    trainings: Trainings,
) -> None:
    strike(trainings, trainer_error={"at": ["fal_submit"], "value": 403})
    made = trainings.launch()
    ended = trainings.settle(made.id)
    assert (ended.state, ended.stage, ended.failure_category) == ("failed", "training", "authentication")
    assert ended.error_message
    assert ended.next_action
    assert trainings.paid(made.id) == []
    assert nothing_left(trainings)
    heal(trainings)
    service.resume(STAFF, made.id, trainings.tools)
    trainings.at(made.id, "storing")
    assert trainings.events(made.id).count("zip_stored") == 1


@pytest.mark.parametrize("fault", ["trainer_answer_lost", "trainer_accepted_then_error"])
def test_a_lost_answer_is_found_by_its_webhook(trainings: Trainings, fault: str) -> None:
    strike(trainings, **{fault: {"at": ["fal_submit"], "times": 1}})
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    assert [call.state for call in trainings.calls(made.id)] == ["sending"]
    until(lambda: "webhook" in trainings.events(made.id))
    trainings.at(made.id, "storing")
    assert "bound" in trainings.events(made.id)
    assert len(trainings.paid(made.id)) == 1


def lost(trainings: Trainings) -> Any:
    """A run whose training nobody can find."""
    strike(trainings, trainer_dead={"at": ["fal_submit"], "times": 1})
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    for _ in range(3):
        waits = trainings.step(made.id)
        assert waits.state == "running"
    trainings.age(made.id, "31 min")
    return trainings.step(made.id)


def test_a_lost_answer_that_nobody_can_find_needs_a_person_with_the_money_reserved(
    trainings: Trainings,
) -> None:
    waits = lost(trainings)
    assert (waits.state, waits.failure_category) == ("needs_attention", "network")
    assert trainings.reserved() == Decimal("2.1050")
    assert trainings.world.calls("fal_submit")
    assert trainings.paid(waits.id) == []
    with pytest.raises(Conflict, match="nothing runs at the provider"):
        service.resume(STAFF, waits.id, trainings.tools)
    with pytest.raises(Conflict, match="nothing runs at the provider"):
        service.cancel(STAFF, waits.id, trainings.tools, reason="no more")
    looked = service.look_again(STAFF, waits.id, trainings.tools)
    assert looked.state == "running"
    assert trainings.step(waits.id).state == "needs_attention"
    service.resume(STAFF, waits.id, trainings.tools, nothing_runs=True)
    trainings.at(waits.id, "storing")
    assert len(trainings.paid(waits.id)) == 1
    assert trainings.reserved() == Decimal("0.1050")


def test_a_run_in_doubt_is_cancelled_on_a_persons_word(trainings: Trainings) -> None:
    waits = lost(trainings)
    service.cancel(STAFF, waits.id, trainings.tools, reason="no more", nothing_runs=True)
    assert trainings.settle(waits.id).state == "cancelled"
    assert nothing_left(trainings)


def test_who_slept_before_sending_sends_no_more_and_the_next_one_does(trainings: Trainings) -> None:
    """A worker stopped between its guarded move and the POST for longer than it may take."""
    made = trainings.launch()
    trainings.at(made.id, "training")
    outside = trainings.tools

    def later() -> datetime:
        sending = "SELECT 1 FROM training_calls WHERE run_id = %s AND state = 'sending'"
        slept = timedelta(minutes=2) if trainings.world.sql(sending, made.id) else timedelta()
        return outside.clock() + slept

    sleepy = replace(outside, clock=later)
    trainings.due(made.id)
    following.advance(made.id, sleepy)
    assert trainings.world.calls("fal_submit") == []
    assert [call.state for call in trainings.calls(made.id)] == ["intent"]
    trainings.at(made.id, "storing")
    assert len(trainings.paid(made.id)) == 1


# The training.


def test_a_training_that_fails_at_the_provider_is_begun_once_more_within_its_money(
    trainings: Trainings,
) -> None:
    strike(trainings, training_fails={"at": ["fal_training"]})
    made = trainings.launch()
    trainings.at(made.id, "training")
    until(lambda: trainings.step(made.id).attempt == 0 and "retried" in trainings.events(made.id))
    heal(trainings)
    trainings.at(made.id, "storing")
    rounds = [(call.round, call.state) for call in trainings.calls(made.id)]
    assert rounds == [(1, "failed"), (2, "succeeded")]
    assert trainings.ledger(made.id)["settle"] == Decimal("2.0000")


def test_a_training_that_fails_twice_has_failed_with_the_providers_words(trainings: Trainings) -> None:
    strike(trainings, training_fails={"at": ["fal_training"]})
    made = trainings.launch()
    ended = trainings.settle(made.id)
    assert (ended.state, ended.stage) == ("failed", "training")
    assert ended.failure_words
    assert ended.next_action
    assert len(trainings.paid(made.id)) == 2
    assert "settle" not in trainings.ledger(made.id)
    assert nothing_left(trainings)
    [lora] = trainings.world.sql("SELECT training_status FROM lora_models WHERE id = %s", made.lora_id)
    assert lora.training_status == "failed"


def test_a_training_beyond_its_ceiling_is_cancelled_and_given_back(trainings: Trainings) -> None:
    strike(trainings, training_queued={"at": ["fal_training"]})
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    trainings.age(made.id, "61 min")
    ended = trainings.settle(made.id)
    assert (ended.state, ended.failure_category) == ("failed", "timeout")
    assert [one["stage"] for one in trainings.paid(made.id)] == ["cancelled"]
    assert nothing_left(trainings)


def test_a_provider_that_cannot_be_asked_is_asked_again(trainings: Trainings) -> None:
    strike(trainings, trainer_error={"at": ["fal_read"], "value": 503, "times": 2})
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    waits = trainings.step(made.id)
    assert (waits.state, waits.failure_category) == ("running", "service_error")
    assert waits.next_attempt_at is not None
    assert trainings.at(made.id, "storing").error_message is None


# The weights.


def test_weights_that_break_off_are_fetched_again(trainings: Trainings) -> None:
    strike(trainings, weights_break_off={"at": ["weights"], "times": 1})
    made = trainings.launch()
    trainings.at(made.id, "validation")
    assert "retried" in trainings.events(made.id)


@pytest.mark.parametrize("fault", ["weights_truncated", "weights_not_safetensors", "weights_gone"])
def test_weights_that_are_none_end_the_run_with_the_training_paid_and_nothing_trained_again(
    trainings: Trainings, fault: str
) -> None:
    strike(trainings, **{fault: {"at": ["fal_training"]}})
    made = trainings.launch()
    ended = trainings.settle(made.id)
    assert (ended.state, ended.stage, ended.failure_category) == ("failed", "storing", "file_error")
    assert trainings.ledger(made.id)["settle"] == Decimal("2.0000")
    assert nothing_left(trainings)
    heal(trainings)
    resumed = service.resume(STAFF, made.id, trainings.tools)
    assert resumed.stage == "storing"
    assert len(trainings.paid(made.id)) == 1


# The test pictures.


def test_a_picture_that_fails_is_made_once_more_and_then_resumed_without_training(
    trainings: Trainings,
) -> None:
    strike(trainings, validation_image_fails={"at": ["fal_image"]})
    made = trainings.launch()
    ended = trainings.settle(made.id)
    assert (ended.state, ended.stage) == ("failed", "validation")
    assert str(ended.error_message).startswith("A test image was not made at fal: ")
    assert "nothing is trained again" in str(ended.next_action)
    assert trainings.ledger(made.id)["settle"] == Decimal("2.0000")
    assert nothing_left(trainings)
    heal(trainings)
    resumed = service.resume(STAFF, made.id, trainings.tools)
    assert (resumed.stage, trainings.reserved()) == ("validation", Decimal("0.1050"))
    assert trainings.settle(made.id).state == "awaiting_verdict"
    assert len([one for one in trainings.paid(made.id) if one["kind"] == "training"]) == 1
    assert trainings.ledger(made.id)["settle"] == Decimal("2.1050")
    assert nothing_left(trainings)


def test_a_lora_that_does_not_show_its_character_has_failed_and_may_be_tested_anew(
    trainings: Trainings,
) -> None:
    made = trainings.launch()
    trainings.settle(made.id)
    trainings.judge(made.id, True, False, False)
    ended = trainings.settle(made.id, RunState.FAILED)
    assert (ended.stage, ended.failure_category) == ("validation", "validation")
    assert "Only 1 of 3" in str(ended.error_message)
    service.resume(STAFF, made.id, trainings.tools)
    trainings.settle(made.id)
    trainings.judge(made.id, True, True, True)
    assert trainings.settle(made.id, RunState.COMPLETED).progress == 100
    kinds = sorted(one["kind"] for one in trainings.paid(made.id))
    assert kinds == ["image"] * 6 + ["training"]
    assert nothing_left(trainings)


def test_a_lost_answer_of_a_picture_is_never_paid_twice(trainings: Trainings) -> None:
    made = trainings.launch()
    trainings.at(made.id, "validation")
    strike(trainings, trainer_dead={"at": ["fal_submit"], "times": 1})
    trainings.step(made.id)
    heal(trainings)

    def two_are_here() -> bool:
        trainings.step(made.id)
        return sum(call.path is not None for call in trainings.calls(made.id)) == 2

    until(two_are_here)
    assert trainings.step(made.id).state == "running"
    trainings.age(made.id, "10 min")
    assert trainings.step(made.id).state == "needs_attention"
    assert len([one for one in trainings.paid(made.id) if one["kind"] == "image"]) == 2
    service.resume(STAFF, made.id, trainings.tools, nothing_runs=True)
    assert trainings.settle(made.id).state == "awaiting_verdict"


def test_a_persons_word_holds_for_every_picture_whose_answer_was_lost(trainings: Trainings) -> None:
    made = trainings.launch()
    trainings.at(made.id, "validation")
    strike(trainings, trainer_dead={"at": ["fal_submit"]})
    trainings.step(made.id)
    heal(trainings)
    trainings.age(made.id, "10 min")
    assert trainings.step(made.id).state == "needs_attention"
    assert sorted(call.state for call in trainings.calls(made.id)) == ["sending"] * 2 + [
        "succeeded",
        "unknown",
    ]
    service.resume(STAFF, made.id, trainings.tools, nothing_runs=True)
    assert trainings.settle(made.id).state == "awaiting_verdict"
    assert len([one for one in trainings.paid(made.id) if one["kind"] == "image"]) == 3


# Cancelling.


@pytest.mark.parametrize("stage", ["initializing", "zip_creation", "training"])
def test_a_run_is_cancelled_before_anything_was_paid(trainings: Trainings, stage: str) -> None:
    made = trainings.launch()
    trainings.at(made.id, stage)
    stopping = service.cancel(STAFF, made.id, trainings.tools, reason="a mistake")
    assert stopping.state == "ending"
    ended = trainings.settle(made.id)
    assert (ended.state, ended.error_message) == ("cancelled", None)
    assert trainings.world.calls("fal_submit") == []
    assert nothing_left(trainings)


def test_a_run_is_cancelled_while_it_trains_and_settled_to_what_it_cost(trainings: Trainings) -> None:
    trainings.world.sandbox.put("settings", training_seconds=4)
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)

    def half_done() -> bool:
        return (trainings.step(made.id).progress or 0) > 60

    until(half_done)
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    ended = trainings.settle(made.id)
    assert ended.state == "cancelled"
    assert [one["stage"] for one in trainings.paid(made.id)] == ["cancelled"]
    assert Decimal(0) < trainings.ledger(made.id)["settle"] < Decimal(2)
    assert nothing_left(trainings)
    assert "cancelled_at_provider" in trainings.events(made.id)
    with pytest.raises(Conflict, match="cancelled already"):
        service.cancel(STAFF, made.id, trainings.tools, reason="again")


def test_a_cancel_that_comes_too_late_pays_for_the_whole_training(trainings: Trainings) -> None:
    strike(trainings, cancel_too_late={"at": ["fal_training"]})
    trainings.world.sandbox.put("settings", training_seconds=30)
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    assert trainings.settle(made.id).state == "cancelled"
    assert trainings.ledger(made.id)["settle"] == Decimal("2.0000")
    assert nothing_left(trainings)


def test_a_cancel_that_the_provider_does_not_take_is_tried_until_it_does(trainings: Trainings) -> None:
    strike(trainings, trainer_error={"at": ["fal_cancel"], "value": 503, "times": 2})
    trainings.world.sandbox.put("settings", training_seconds=30)
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    service.cancel(STAFF, made.id, trainings.tools, reason="enough")
    assert trainings.step(made.id).state == "ending"
    assert trainings.reserved() > 0
    assert trainings.settle(made.id).state == "cancelled"
    assert nothing_left(trainings)


# Publishing.


def test_a_failed_upload_to_hugging_face_never_trains_again(trainings: Trainings) -> None:
    strike(trainings, publish_fails={"at": ["hub_commit"], "value": 403})
    made = trainings.launch(publish=True)
    ended = trainings.settle(made.id)
    assert (ended.state, ended.stage) == ("failed", "huggingface_upload")
    heal(trainings)
    service.resume(STAFF, made.id, trainings.tools)
    assert trainings.at(made.id, "validation").huggingface_url
    assert len(trainings.paid(made.id)) == 1


def test_the_address_of_a_webhook_carries_the_runs_own_id(trainings: Trainings) -> None:
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    [call] = trainings.calls(made.id)
    url = trainings.tools.webhook_url("fal", call.id)
    assert url.endswith(f"/api/fal/webhook?run={made.id}")
    assert _id(str(made.id), "run") == made.id
    assert policy.LEASE < policy.SILENT
