"""What is decided about a run of a training: a row for each reason."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.errors import ErrorCategory, ProviderError
from core.providers.training import Failure, TrainingState
from core.trainings import policy
from core.trainings.models import (
    CALL_TRANSITIONS,
    TRANSITIONS,
    CallState,
    Run,
    RunState,
    Stage,
    Status,
    Trouble,
    status_of,
)
from tests.unit.training_runs import NOW, call, picture, record, run

S, M, H = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours"))
CEILING = H
URL = "https://v3.fal.media/files/lora.safetensors"
T, C = TrainingState, CallState


@dataclass(frozen=True)
class Step:
    """The provider says `state` when the training is `age` old: what follows, and why."""

    reason: str
    state: TrainingState
    age: timedelta
    kind: type
    category: str | None = None
    record: dict[str, Any] = field(default_factory=dict)


THEIRS = Failure(ErrorCategory.SERVICE_ERROR, retryable=True, words="the runner died")
OURS = FAILURE = Failure(ErrorCategory.VALIDATION, retryable=False, words="image_too_small")
STEPS = (
    Step("it waits at the provider", T.QUEUED, M, policy.Watch),
    Step("it starts", T.STARTING, M, policy.Watch),
    Step("it runs", T.RUNNING, M, policy.Watch, record={"progress": 40}),
    Step("it may still be running at its ceiling", T.RUNNING, H, policy.Watch),
    Step("beyond its ceiling it is stopped", T.RUNNING, H + S, policy.Overdue, "timeout"),
    Step("so is one that never began", T.QUEUED, H + S, policy.Overdue, "timeout"),
    Step(
        "one that has long told nothing of itself is stopped",
        T.RUNNING,
        46 * M,
        policy.Overdue,
        "timeout",
        {"heard_at": NOW},
    ),
    Step(
        "one that told of itself a while ago is not",
        T.RUNNING,
        45 * M,
        policy.Watch,
        record={"heard_at": NOW},
    ),
    Step("a finished one is fetched", T.SUCCEEDED, M, policy.Store, record={"weights_url": URL}),
    Step("however late it finished", T.SUCCEEDED, 9 * H, policy.Store, record={"weights_url": URL}),
    Step("a success without weights is none", T.SUCCEEDED, M, policy.Fail, "file_error"),
    Step(
        "but may name them in a moment",
        T.SUCCEEDED,
        M,
        policy.Watch,
        record={"ended_at": NOW + M, "result_problem": "not yet"},
    ),
    Step("it failed", T.FAILED, M, policy.Fail, "validation", {"failure": FAILURE}),
    Step("it failed without a reason", T.FAILED, M, policy.Fail, "service_error"),
    Step("somebody cancelled it there", T.CANCELLED, M, policy.Fail, "service_error"),
    Step("it is not known yet", T.NOT_FOUND, 5 * M, policy.Watch),
    Step("it is not known any more", T.NOT_FOUND, 5 * M + S, policy.Fail, "service_error"),
    Step("a word that nobody knows is watched", T.UNKNOWN, M, policy.Watch),
    Step("and in the end a person's", T.UNKNOWN, H + S, policy.Attention, "service_error"),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.reason)
def test_what_a_record_means(step: Step) -> None:
    now = NOW + step.age
    decision = policy.next_step(run(), call(), record(step.state, **step.record), CEILING, now)
    assert type(decision) is step.kind
    trouble = getattr(decision, "trouble", None)
    assert (trouble and trouble.category) == step.category
    if isinstance(decision, policy.Watch):
        assert decision.at == now + policy.POLL
    if trouble is not None:
        assert trouble.message
        assert trouble.next_action


@pytest.mark.parametrize(
    ("state", "age", "starts_within", "kind"),
    [
        (T.STARTING, 45 * M, 45 * M, policy.Watch),
        (T.STARTING, 45 * M + S, 45 * M, policy.Overdue),
        (T.STARTING, 46 * M, None, policy.Watch),
        (T.RUNNING, 46 * M, 45 * M, policy.Watch),
        (T.QUEUED, 46 * M, 45 * M, policy.Watch),
    ],
)
def test_what_costs_while_it_starts_is_stopped_when_it_does_not_begin(
    state: TrainingState, age: timedelta, starts_within: timedelta | None, kind: type
) -> None:
    decision = policy.next_step(run(), call(), record(state), CEILING, NOW + age, starts_within=starts_within)
    assert type(decision) is kind
    if isinstance(decision, policy.Overdue):
        assert "after 45 minutes" in decision.trouble.message
        assert decision.trouble.next_action


def test_every_state_of_a_record_is_decided() -> None:
    assert {step.state for step in STEPS} == set(TrainingState)


def error(*, retryable: bool) -> ProviderError:
    return ProviderError("fal is away.", category=ErrorCategory.NETWORK, retryable=retryable)


@pytest.mark.parametrize(
    ("reason", "age", "retryable", "pause"),
    [
        ("asked again soon", M, True, policy.POLL),
        ("slower while a key has to be mended", M, False, policy.SLOW_POLL),
        ("for twice its ceiling", 2 * H, True, policy.POLL),
        ("then it is a person's", 2 * H + S, True, None),
    ],
)
def test_a_record_that_cannot_be_read(
    reason: str, age: timedelta, retryable: bool, pause: timedelta | None
) -> None:
    now = NOW + age
    decision = policy.after_read_error(call(), error(retryable=retryable), CEILING, now)
    assert (decision.at - now if isinstance(decision, policy.Watch) else None) == pause, reason


@pytest.mark.parametrize(
    ("age", "at"),
    [
        (timedelta(), policy.LOOK_AGAIN),
        (29 * M + 50 * S, 30 * M),
        (30 * M, None),
    ],
)
def test_a_lost_answer_is_looked_for_until_a_person_has_to(age: timedelta, at: timedelta | None) -> None:
    sent = call(state=C.SENDING, accepted_at=None, remote_id=None)
    decision = policy.after_lost_answer(sent, "fal", NOW + age)
    assert (decision.at - NOW if isinstance(decision, policy.Watch) else None) == at


def test_who_slept_before_sending_may_not_send_any_more() -> None:
    sent = call(state=C.SENDING)
    assert policy.may_send(sent, NOW + 19 * S)
    assert not policy.may_send(sent, NOW + 20 * S)
    assert not policy.may_send(call(submitted_at=None), NOW)
    assert policy.SEND_WITHIN < policy.LEASE


def trouble(*, retryable: bool) -> Trouble:
    return Trouble("no", ErrorCategory.SERVICE_ERROR, retryable, "again")


@pytest.mark.parametrize(
    ("reason", "retryable", "rounds", "spent", "reserved", "again"),
    [
        ("worth repeating, and paid for", True, 1, "0", "2.1050", True),
        ("the same would fail again", False, 1, "0", "2.1050", False),
        ("it has been repeated", True, 2, "0", "2.1050", False),
        ("the first one has cost something", True, 1, "0.5", "2.1050", False),
        ("nothing is reserved any more", True, 1, "0", None, False),
    ],
)
def test_a_failed_training_is_begun_once_more_within_its_money(
    reason: str, retryable: bool, rounds: int, spent: str, reserved: str | None, again: bool
) -> None:
    found = policy.may_train_again(
        trouble(retryable=retryable),
        rounds,
        Decimal(spent),
        Decimal("2.1050"),
        Decimal(reserved) if reserved else None,
    )
    assert found is again, reason


@pytest.mark.parametrize(
    ("stage", "publish", "after"),
    [
        (Stage.INITIALIZING, False, Stage.ZIP_CREATION),
        (Stage.ZIP_CREATION, False, Stage.TRAINING),
        (Stage.TRAINING, True, Stage.STORING),
        (Stage.STORING, True, Stage.HUGGINGFACE_UPLOAD),
        (Stage.STORING, False, Stage.VALIDATION),
        (Stage.HUGGINGFACE_UPLOAD, True, Stage.VALIDATION),
        (Stage.VALIDATION, False, Stage.COMPLETION),
    ],
)
def test_the_stages_follow_each_other(stage: Stage, publish: bool, after: Stage) -> None:
    assert policy.next_stage(stage, publish=publish) is after


@pytest.mark.parametrize(
    ("stage", "progress", "overall"),
    [
        (Stage.INITIALIZING, 0, 0),
        (Stage.ZIP_CREATION, 0, 30),
        (Stage.ZIP_CREATION, 100, 60),
        (Stage.TRAINING, 0, 60),
        (Stage.TRAINING, 50, 75),
        (Stage.TRAINING, 100, 90),
        (Stage.STORING, 0, 90),
        (Stage.COMPLETION, 100, 100),
        (Stage.TRAINING, 400, 90),
        (Stage.TRAINING, -3, 60),
    ],
)
def test_the_overall_percentage(stage: Stage, progress: int, overall: int) -> None:
    assert policy.overall(stage, progress) == overall


@pytest.mark.parametrize(
    ("reason", "progress", "elapsed", "own", "left"),
    [
        ("by the trainer's usual time", None, timedelta(), None, 450 + 30 + 60),
        ("less what has passed", None, 100 * S, None, 350 + 30 + 60),
        ("never nothing while it runs", None, H, None, 45 + 30 + 60),
        ("by its own progress", 50, 200 * S, None, 200 + 30 + 60),
        ("by our own history", None, timedelta(), 300.0, 300 + 30 + 60),
        ("a clock that is behind", None, -M, None, 450 + 30 + 60),
    ],
)
def test_the_time_left(
    reason: str, progress: int | None, elapsed: timedelta, own: float | None, left: int
) -> None:
    found = policy.time_left(
        Stage.TRAINING, "fal", publish=False, progress=progress, elapsed=elapsed, own_p50_s=own
    )
    assert found == left, reason


@pytest.mark.parametrize(
    ("reason", "state", "age", "crashed"),
    [
        ("a worker had it a moment ago", RunState.RUNNING, 59 * S, False),
        ("nobody has had it for a minute", RunState.RUNNING, 61 * S, True),
        ("while it is being stopped too", RunState.ENDING, 61 * S, True),
        ("it waits for a person", RunState.AWAITING_VERDICT, H, False),
        ("it is over", RunState.FAILED, H, False),
    ],
)
def test_a_crashed_run_is_told_from_a_failed_one(
    reason: str, state: RunState, age: timedelta, crashed: bool
) -> None:
    assert policy.is_crashed(run(state=state), NOW + age) is crashed, reason
    waiting = run(state=state, next_attempt_at=NOW + age)
    assert not policy.is_crashed(waiting, NOW + age), "it is due only now"


@pytest.mark.parametrize(
    ("reason", "unit", "state", "more", "quantity"),
    [
        ("a success costs its steps", "step", T.SUCCEEDED, {}, "1000"),
        ("what fal itself failed costs nothing", "step", T.FAILED, {"progress": 40, "failure": THEIRS}, "0"),
        ("nor what it failed without a word", "step", T.FAILED, {"progress": 40}, "0"),
        (
            "what it failed for our sake may cost",
            "step",
            T.FAILED,
            {"progress": 40, "failure": OURS},
            "400",
        ),
        ("what it has lost costs what was done", "step", T.NOT_FOUND, {}, "0"),
        ("a cancelled one what was done", "step", T.CANCELLED, {"progress": 40}, "400"),
        ("nothing done, nothing owed", "step", T.CANCELLED, {}, "0"),
        ("a pod costs its time", "hour", T.SUCCEEDED, {"ended_at": NOW + 90 * M}, "1.5000"),
        ("failed or not", "hour", T.FAILED, {"ended_at": NOW + 30 * M}, "0.5000"),
        ("until now while it runs", "hour", T.RUNNING, {}, "2.0000"),
    ],
)
def test_how_much_a_training_has_cost_at_fal(
    reason: str, unit: str, state: TrainingState, more: dict[str, Any], quantity: str
) -> None:
    found = policy.cost_quantity(call(), run(), record(state, **more), unit, NOW + 2 * H)
    assert found == Decimal(quantity), reason


def test_a_failed_training_elsewhere_may_be_billed_for_what_it_did() -> None:
    seen = record(T.FAILED, progress=40, failure=THEIRS)
    at_replicate = call(provider="replicate")
    assert policy.cost_quantity(at_replicate, run(), seen, "step", NOW) == Decimal(400)
    assert policy.is_estimate(seen, "step")
    assert policy.is_estimate(None, "step")
    assert not policy.is_estimate(record(T.SUCCEEDED), "step")
    assert not policy.is_estimate(seen, "hour")


@pytest.mark.parametrize(
    ("left", "rate", "lasts"),
    [("7.339", "1.79", 240 * M), ("7.339", "3.58", 117 * M), ("0.1", "1.79", 0 * M), ("-1", "1.79", 0 * M)],
)
def test_a_pod_runs_as_long_as_its_money_lasts(left: str, rate: str, lasts: timedelta) -> None:
    found = policy.money_lasts(Decimal(left), Decimal(rate), 6 * M)
    assert abs(found - lasts) < S


@pytest.mark.parametrize(
    ("since", "overdue"), [(None, False), (NOW, False), (NOW - 29 * M, False), (NOW - 30 * M, True)]
)
def test_a_provider_has_its_time_to_confirm_a_stop(since: Any, overdue: bool) -> None:
    ending = run(state=RunState.ENDING, ending_since=since)
    assert policy.stop_is_overdue(ending, NOW) is overdue


def test_a_stop_that_is_not_confirmed_says_where_and_what_to_do() -> None:
    broken = ProviderError("fal is down.", category=ErrorCategory.SERVICE_ERROR, retryable=True, words="503")
    trouble = policy.not_stopped("fal", broken)
    assert trouble.message.startswith("fal has not confirmed in 30 minutes")
    assert "fal is down." in trouble.message
    assert "fal's own console" in trouble.next_action
    assert (trouble.words, trouble.retryable) == ("503", False)


@pytest.mark.parametrize(
    ("age", "late", "stuck"),
    [(20 * M, False, False), (20 * M + S, True, False), (50 * M, True, False), (50 * M + S, True, True)],
)
def test_a_picture_that_takes_too_long_is_stopped_and_in_the_end_given_up(
    age: timedelta, late: bool, stuck: bool
) -> None:
    waiting = picture(0, state=C.ACCEPTED, path=None, result_url=None)
    assert policy.picture_is_late(waiting, NOW + age) is late
    assert policy.picture_is_stuck(waiting, NOW + age) is stuck
    assert not policy.picture_is_stuck(picture(0), NOW + age)


def test_the_customers_column_knows_five_words() -> None:
    found = {status_of(state, stage) for state in RunState for stage in Stage}
    assert found == set(Status)
    assert status_of(RunState.NEEDS_ATTENTION, Stage.TRAINING) is Status.TRAINING
    assert status_of(RunState.CANCELLED, Stage.TRAINING) is Status.FAILED
    assert status_of(RunState.AWAITING_VERDICT, Stage.VALIDATION) is Status.VALIDATING


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert set(CALL_TRANSITIONS) == set(CallState)
    assert all(state.is_over is not (state in {C.INTENT, C.SENDING, C.ACCEPTED}) for state in CallState)
    assert CallState.SENDING not in {
        state for state, targets in CALL_TRANSITIONS.items() if CallState.INTENT in targets
    } - {CallState.SENDING}


def test_the_pause_doubles_up_to_five_minutes() -> None:
    assert [policy.pause(n).total_seconds() for n in (0, 1, 2, 8, 40)] == [5, 10, 20, 300, 300]


def test_a_run_is_a_run() -> None:
    assert isinstance(run(), Run)
    assert not run().is_over
    assert run(state=RunState.CANCELLED).is_over
