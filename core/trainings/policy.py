"""What to do next with a run: pure decisions over its row, its paid calls, a record and the time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_never

from core.errors import ErrorCategory, ProviderError
from core.providers import training_registry
from core.providers.training import TrainingRecord, TrainingState
from core.trainings import reasons
from core.trainings.models import Call, CallState, Purpose, Run, RunState, Stage, Trouble

# How long a row belongs to the worker that took it; it renews while it works. With the tick of every 5 s,
# what a killed worker held is taken up by another within a minute.
LEASE = timedelta(seconds=40)
# A run whose worker has been silent for this long is called crashed; the next tick takes it up.
SILENT = timedelta(seconds=60)
POLL = timedelta(seconds=30)
PICTURE_POLL = timedelta(seconds=5)
SLOW_POLL = timedelta(minutes=5)
# Who won the right to send and has not done so within this time must not send any more.
SEND_WITHIN = timedelta(seconds=20)
# A lost answer is known again by a webhook or by looking at the provider; then a person decides.
LOST_ANSWER_WAIT = timedelta(minutes=30)
# A test picture takes seconds, and its webhook comes right after it.
LOST_PICTURE_WAIT = timedelta(minutes=10)
# A provider that has not confirmed a stop by then leaves it to a person.
STOP_WITHIN = timedelta(minutes=30)
LOOK_AGAIN = timedelta(seconds=15)
# A provider may not know a training for a moment after it took it.
UNKNOWN_GRACE = timedelta(minutes=5)
EMPTY_RESULT_GRACE = timedelta(minutes=10)
# A pod of ours tells of itself every 15 s; only while it pushes its weights it may be busy for longer.
UNHEARD = timedelta(minutes=45)
# So often a request that certainly was not taken is tried again, and a step of ours that failed.
MAX_TRIES = 6
# A training that the provider reports failed and worth repeating is begun once more.
MAX_ROUNDS = 2
PICTURES = 3
SHOWN_AT_LEAST = 2
SUCCESS_TARGET = 0.95
# Just under a megapixel, by which fal's pictures are paid.
PICTURE_SIZE = (992, 992)
PICTURE_TIME = timedelta(minutes=20)

# The overall percentage at which each stage begins and ends.
SPAN: dict[Stage, tuple[int, int]] = {
    Stage.INITIALIZING: (0, 30),
    Stage.ZIP_CREATION: (30, 60),
    Stage.TRAINING: (60, 90),
    Stage.STORING: (90, 93),
    Stage.HUGGINGFACE_UPLOAD: (93, 95),
    Stage.VALIDATION: (95, 99),
    Stage.COMPLETION: (99, 100),
}
# How long each stage usually takes in seconds; a training's own figure is its trainer's.
USUAL_S: dict[Stage, int] = {
    Stage.INITIALIZING: 5,
    Stage.ZIP_CREATION: 30,
    Stage.TRAINING: 600,
    Stage.STORING: 30,
    Stage.HUGGINGFACE_UPLOAD: 40,
    Stage.VALIDATION: 60,
    Stage.COMPLETION: 5,
}
# The middle of what each typically takes, until our own history tells.
TRAINER_S = {name: 30 * sum(trainer.minutes) for name, trainer in training_registry.TRAINERS.items()}
ORDER = tuple(Stage)


@dataclass(frozen=True)
class Watch:
    """Look again at `at`; what is known of it meanwhile."""

    at: datetime


@dataclass(frozen=True)
class Store:
    """The provider has finished: fetch these weights."""

    url: str
    kind: str


@dataclass(frozen=True)
class Fail:
    """The training is over without weights."""

    trouble: Trouble
    state: CallState = CallState.FAILED


@dataclass(frozen=True)
class Overdue:
    """It runs for longer than its trainer's ceiling: cancel, give back, settle."""

    trouble: Trouble


@dataclass(frozen=True)
class Attention:
    """No rule can decide; a person must."""

    trouble: Trouble


Decision = Watch | Store | Fail | Overdue | Attention


def next_stage(stage: Stage, *, publish: bool) -> Stage:
    """The stage behind `stage`; publishing is left out where nobody chose it."""
    following = ORDER[ORDER.index(stage) + 1]
    if following is Stage.HUGGINGFACE_UPLOAD and not publish:
        return Stage.VALIDATION
    return following


def overall(stage: Stage, progress: int) -> int:
    """The run's percentage when its stage has done `progress` per cent."""
    begin, end = SPAN[stage]
    return begin + (end - begin) * max(0, min(progress, 100)) // 100


def usual_seconds(stage: Stage, trainer: str, own_p50_s: float | None = None) -> float:
    """How long the stage takes: the trainer's own median once known, else the table's figure."""
    if stage is not Stage.TRAINING:
        return USUAL_S[stage]
    return TRAINER_S.get(trainer, USUAL_S[stage]) if own_p50_s is None else own_p50_s


def time_left(
    stage: Stage,
    trainer: str,
    *,
    publish: bool,
    progress: int | None,
    elapsed: timedelta,
    own_p50_s: float | None = None,
) -> int:
    """Seconds until the pictures are there: of this stage by its progress if told, then of all behind it."""
    usual = usual_seconds(stage, trainer, own_p50_s)
    spent = max(elapsed.total_seconds(), 0.0)
    if progress and progress >= 5:
        left = spent * (100 - progress) / progress
    else:
        left = max(usual - spent, usual * 0.1)
    behind = [
        later
        for later in ORDER[ORDER.index(stage) + 1 :]
        if later is not Stage.COMPLETION and (publish or later is not Stage.HUGGINGFACE_UPLOAD)
    ]
    return round(left + sum(usual_seconds(later, trainer, own_p50_s) for later in behind))


def next_step(
    run: Run,
    call: Call,
    record: TrainingRecord,
    ceiling: timedelta,
    now: datetime,
    *,
    starts_within: timedelta | None = None,
) -> Decision:
    """What the provider's record means for this run."""
    age = now - call.begun_at
    label = training_registry.label(run.trainer)
    match record.state:
        case TrainingState.SUCCEEDED:
            return _finished(record, label, now)
        case TrainingState.FAILED:
            return Fail(reasons.of_failure(record.failure, label))
        case TrainingState.CANCELLED:
            return Fail(reasons.cancelled_there(label), CallState.CANCELLED)
        case TrainingState.NOT_FOUND if age > UNKNOWN_GRACE:
            return Fail(reasons.vanished(label))
        case TrainingState.UNKNOWN if age > ceiling:
            return Attention(reasons.strange(label, record.state_word))
        case TrainingState.QUEUED | TrainingState.STARTING | TrainingState.RUNNING if age > ceiling:
            return Overdue(reasons.too_long(label, ceiling))
        case TrainingState.STARTING if starts_within is not None and age > starts_within:
            return Overdue(reasons.never_began(label, starts_within))
        case TrainingState.RUNNING if record.heard_at is not None and now - record.heard_at > UNHEARD:
            return Overdue(reasons.unheard(label, UNHEARD))
        case (
            TrainingState.QUEUED
            | TrainingState.STARTING
            | TrainingState.RUNNING
            | TrainingState.NOT_FOUND
            | TrainingState.UNKNOWN
        ):
            return Watch(now + POLL)
    assert_never(record.state)


def _finished(record: TrainingRecord, label: str, now: datetime) -> Decision:
    if record.weights_url:
        return Store(record.weights_url, record.weights_kind)
    ended = record.ended_at or now
    if record.ended_at is not None and now - ended < EMPTY_RESULT_GRACE:
        return Watch(now + POLL)
    return Fail(
        Trouble(
            f"{label} says that the training succeeded, but there are no weights"
            f" ({record.result_problem or 'none named'}).",
            ErrorCategory.FILE_ERROR,
            retryable=False,
            next_action=f"Look at the training at {label}; if the weights are gone, start it again.",
            words=record.result_problem or "",
        ),
        CallState.SUCCEEDED,
    )


def after_read_error(
    call: Call, error: ProviderError, ceiling: timedelta, now: datetime
) -> Watch | Attention:
    """The record could not be read: look again, slower when a person has to mend something first."""
    if now - call.begun_at > 2 * ceiling:
        return Attention(
            Trouble(
                f"The provider could not be asked for twice the time that a training takes: {error.message}",
                error.category,
                retryable=True,
                next_action="Mend the access to the provider, then have it looked at again.",
                words=error.words,
            )
        )
    return Watch(now + (POLL if error.retryable else SLOW_POLL))


def after_lost_answer(call: Call, label: str, now: datetime) -> Watch | Attention:
    """Nobody knows whether the provider took the request: look and wait, never send again."""
    deadline = call.begun_at + lost_answer_wait(call)
    if now < deadline:
        return Watch(min(now + LOOK_AGAIN, deadline))
    return Attention(
        Trouble(
            f"{label}'s answer was lost, and neither a webhook nor a look there could tell whether it took"
            " the request. Nothing was sent twice, and the money stays reserved.",
            ErrorCategory.NETWORK,
            retryable=False,
            next_action=f"Look at {label}'s own list. If it runs there, cancel it there; if not,"
            " say so here and the run goes on with a new request.",
        )
    )


def picture_is_late(call: Call, now: datetime) -> bool:
    """Whether a test picture has had its time: it is stopped at fal before another is asked for."""
    return now - call.begun_at > PICTURE_TIME


def picture_is_stuck(call: Call, now: datetime) -> bool:
    """Whether fal has had its time to confirm that a late picture is stopped."""
    return call.state is CallState.ACCEPTED and now - call.begun_at > PICTURE_TIME + STOP_WITHIN


def lost_answer_wait(call: Call) -> timedelta:
    """How long a call whose answer was lost is looked for before a person is asked."""
    return LOST_PICTURE_WAIT if call.purpose is Purpose.PICTURE else LOST_ANSWER_WAIT


def stop_is_overdue(run: Run, now: datetime) -> bool:
    """Whether a provider has had its time to confirm that nothing of an ending run goes on."""
    return run.ending_since is not None and now - run.ending_since >= STOP_WITHIN


def not_stopped(label: str, error: ProviderError | None) -> Trouble:
    """Trouble of a run whose provider does not confirm its end."""
    why = f" ({error.message})" if error else ""
    minutes = STOP_WITHIN.total_seconds() / 60
    return Trouble(
        f"{label} has not confirmed in {minutes:.0f} minutes that nothing of this run goes on there{why}. It"
        " may be costing money, which stays reserved; it is told to stop again every few minutes.",
        error.category if error else ErrorCategory.SERVICE_ERROR,
        retryable=False,
        next_action=f"Stop it in {label}'s own console. When it is gone there, look again; if {label} goes on"
        " saying nothing, cancel the run here with your word that nothing runs.",
        words=error.words if error else "",
    )


def may_send(call: Call, now: datetime) -> bool:
    """Whether who moved the call to sending may still send it: a process that slept meanwhile may not."""
    return call.submitted_at is not None and now - call.submitted_at < SEND_WITHIN


def may_train_again(
    trouble: Trouble, round_: int, spent: Decimal, again: Decimal, reserved: Decimal | None
) -> bool:
    """Whether a failed training is begun once more by itself, within what is reserved for the run."""
    fits = reserved is not None and spent + again <= reserved
    return trouble.retryable and round_ < MAX_ROUNDS and fits


def pause(tries: int) -> timedelta:
    """The pause after the n-th failure of a step of ours: 5 s, doubling, at most five minutes."""
    return min(timedelta(seconds=5 * 2 ** min(tries, 8)), timedelta(minutes=5))


def is_crashed(run: Run, now: datetime) -> bool:
    """Whether nobody has had an active run in hand for longer than its next look is away."""
    if run.state not in {RunState.RUNNING, RunState.ENDING}:
        return False
    due = max(filter(None, (run.heartbeat_at, run.next_attempt_at, run.lease_until)), default=run.created_at)
    return now - due > SILENT


# Money.


def cost_quantity(call: Call, run: Run, record: TrainingRecord | None, unit: str, now: datetime) -> Decimal:
    """How many units of its price a training has cost: what nobody tells is counted by what was done.

    A pod costs its time. Of what was paid by steps a success costs all of them, and what fal failed with an
    error of its own is free, as it documents; Replicate says nothing of failed trainings, and bills time.
    """
    if unit == "hour":
        start = (record and record.started_at) or call.begun_at
        end = (record and record.ended_at) or call.ended_at or now
        hours = max(Decimal((end - start).total_seconds()) / 3600, Decimal(0))
        return hours.quantize(Decimal("0.0001"))
    state = record.state if record else None
    if state is TrainingState.SUCCEEDED:
        return Decimal(run.steps)
    if state is TrainingState.FAILED and call.provider == "fal" and _is_their_fault(record):
        return Decimal(0)
    done = (record.progress if record else None) or call.progress or 0
    return (Decimal(run.steps) * done / 100).to_integral_value()


def _is_their_fault(record: TrainingRecord | None) -> bool:
    failure = record.failure if record else None
    return failure is None or failure.category in {ErrorCategory.SERVICE_ERROR, ErrorCategory.TIMEOUT}


def is_estimate(record: TrainingRecord | None, unit: str) -> bool:
    """Whether what a training has cost is our own guess: only successes have a known price by the step."""
    return unit == "step" and (record is None or record.state is not TrainingState.SUCCEEDED)


def money_lasts(left: Decimal, usd_per_hour: Decimal, stopping: timedelta) -> timedelta:
    """How long a pod may run on what is left for it, so that it can be stopped before that is used up."""
    hours = max(left, Decimal(0)) / usd_per_hour
    return max(timedelta(hours=float(hours)) - stopping, timedelta())


def month_of(now: datetime) -> datetime:
    """The beginning of the calendar month in UTC, by which the quota counts."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
