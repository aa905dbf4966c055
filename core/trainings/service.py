"""What people, providers and other systems ask of trainings: launch, cancel, resume, judge, report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from core import access, audit, database
from core.access import Action, Actor
from core.errors import Conflict, ErrorCategory, InvalidInput, NotFound, StudioOpsError
from core.providers.training import Submission, WebhookEvent
from core.trainings import (
    calls,
    costs,
    doubts,
    ending,
    launch_rules,
    launching,
    moving,
    policy,
    sending,
    steering,
    validating,
)
from core.trainings.launching import Creator
from core.trainings.models import (
    ACTIVE,
    Call,
    CallState,
    Event,
    EventKind,
    Launch,
    Run,
    RunState,
    Stage,
    Trouble,
)
from core.trainings.repository import (
    SQL,
    add_event,
    calls_of,
    find,
    pictures_of,
    say,
    to_call,
    to_run,
)
from core.trainings.tools import Tools
from core.work import queue


def launch(actor: Actor | None, wanted: Launch, tools: Tools) -> Run:
    """Begin a training: LoRA, run, reservation and job in one transaction, once a request key.

    Raises InvalidInput, NameTaken, QuotaExceeded, BudgetExceeded or Conflict with the sentence for people;
    nothing was begun or paid then.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    launch_rules.check_text(wanted)
    with database.transaction() as connection:
        creator = launching.creator_of(connection, actor)
        known = _by_request_key(connection, wanted, creator)
        if known is not None:
            return _same(known, wanted)
        return launching.begin(connection, actor, creator, wanted, tools)


def launch_all(
    actor: Actor | None, wishes: Sequence[Launch], tools: Tools, *, notes: Sequence[str] = ()
) -> list[Run]:
    """Begin several trainings, each with its own place in the quota and its own reservation: all or none.

    `notes` are written into each one's log. The same request keys again are the same runs. Raises the
    refusals of `launch`, with the name of the LoRA that met it before the sentence.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    for wanted in wishes:
        with _about(wanted, wishes):
            launch_rules.check_text(wanted)
    with database.transaction() as connection:
        creator = launching.creator_of(connection, actor)
        known = [_by_request_key(connection, wanted, creator) for wanted in wishes]
        runs = [_same(run, wanted) for run, wanted in zip(known, wishes, strict=True) if run is not None]
        if runs and len(runs) == len(wishes):
            return runs
        if runs:
            names = ", ".join(run.lora_name for run in runs)
            raise Conflict(f"Launched already: {names}. Choose only the others.")
        for wanted in wishes:
            with _about(wanted, wishes):
                run = launching.begin(connection, actor, creator, wanted, tools)
            for note in notes:
                say(connection, run, tools.clock(), note, level="warning")
            runs.append(run)
        return runs


@contextmanager
def _about(wanted: Launch, wishes: Sequence[Launch]) -> Iterator[None]:
    """Of several, say which one was refused."""
    try:
        yield
    except StudioOpsError as refusal:
        if len(wishes) > 1 and wanted.name:
            refusal.message = f"{wanted.name}: {refusal.message}"
        raise


def _by_request_key(connection: Connection, wanted: Launch, creator: Creator) -> Run | None:
    """The run of this form, once nobody else of the same creator is just making one."""
    SQL["lock_creator"].run(connection, creator_key=creator.key)
    row = SQL["by_request_key"].first(connection, request_key=wanted.request_key)
    return to_run(row) if row else None


def _same(known: Run, wanted: Launch) -> Run:
    if (known.lora_id, known.lora_name) != (wanted.draft_id, wanted.name):
        raise Conflict("This request key has begun another training already. Use a new one.")
    return known


def cancel(
    actor: Actor | None, run_id: UUID, tools: Tools, *, reason: str, nothing_runs: bool = False
) -> Run:
    """Stop a run: confirmed by the provider, given back and settled by the next job.

    `nothing_runs` is a person's word about a request whose answer was lost, or a stop that nobody confirms.
    Raises Conflict with the reason.
    """
    actor = access.check(actor, Action.STEER_TRAINING)
    if not reason.strip():
        raise InvalidInput("reason", "Say why; it stands in the audit log.")
    with database.transaction() as connection:
        run = _existing(connection, run_id)
        steering.check_can_cancel(run)
        doubts.settle(connection, run, tools, nothing_runs=nothing_runs)
        if not ending.begin(connection, run, RunState.CANCELLED, None, tools):
            raise Conflict("The run has just moved on. Look again.")
        add_event(
            connection, run, tools.clock(), Event(EventKind.CANCEL_REQUESTED, detail={"by": actor.name})
        )
        say(connection, run, tools.clock(), f"cancelled by {actor.name}: {reason.strip()}", level="warning")
        audit.record(
            connection,
            actor,
            "training.cancel",
            "training",
            str(run_id),
            before={"state": run.state, "stage": run.stage},
            reason=reason.strip(),
        )
        return _existing(connection, run_id)


def resume(actor: Actor | None, run_id: UUID, tools: Tools, *, nothing_runs: bool = False) -> Run:
    """Have a failed run, or one that needs a person, go on at the stage where it stopped.

    What was made is kept: a failed upload or validation never trains again. What has to be paid is reserved
    again, and a new training counts in this month's quota. Raises Conflict with the reason, and the
    refusals of `launch`.
    """
    actor = access.check(actor, Action.STEER_TRAINING)
    with database.transaction() as connection:
        run = _existing(connection, run_id)
        SQL["lock_creator"].run(connection, creator_key=run.creator_key)
        run = _existing(connection, run_id)
        known = calls_of(connection, run_id)
        why = steering.why_not_resume(run, known)
        if why:
            raise Conflict(why)
        doubts.settle(connection, run, tools, nothing_runs=nothing_runs)
        known = calls_of(connection, run_id)
        stage = steering.resume_stage(run, known)
        run = _pay_again(connection, run, known, stage, tools)
        if not calls.wake(connection, run, tools.clock(), stage=stage):
            raise Conflict("The run has just moved on. Look again.")
        _note_resume(connection, actor, run, stage, tools, nothing_runs=nothing_runs)
        return _existing(connection, run_id)


def _pay_again(connection: Connection, run: Run, known: list[Call], stage: Stage, tools: Tools) -> Run:
    """Reserve what a resumed run has ahead, unless that is reserved still, and write its new pictures."""
    now = tools.clock()
    if run.state is RunState.FAILED:
        _check_quota(connection, run, now)
        SQL["count_lora_again"].run(connection, id=run.lora_id, now=now)
    if run.reservation_key is None:
        quoted = costs.quote(connection, run.trainer, run.steps, now)
        ahead = quoted.images_usd
        if policy.ORDER.index(stage) <= policy.ORDER.index(Stage.TRAINING):
            ahead += quoted.training_usd
        if stage is not Stage.COMPLETION:
            costs.reserve(connection, run, ahead, now)
        run = _existing(connection, run.id)
    if stage is Stage.VALIDATION:
        validating.write(connection, run, pictures_of(known), tools, anew=True)
    return run


def _check_quota(connection: Connection, run: Run, now: datetime) -> None:
    found = SQL["creators_loras"].one(
        connection,
        user_id=run.user_id,
        creator_key=run.creator_key,
        name=run.lora_name,
        except_id=run.lora_id,
        month=policy.month_of(now),
    )
    launch_rules.check_quota(found["used"], now)


def _note_resume(
    connection: Connection, actor: Actor, run: Run, stage: Stage, tools: Tools, *, nothing_runs: bool
) -> None:
    now = tools.clock()
    detail = {"by": actor.name, "from": run.state, "at": stage}
    add_event(connection, run, now, Event(EventKind.RESUMED, detail=detail))
    say(connection, run, now, f"{actor.name} has it go on at: {stage.label}")
    audit.record(
        connection,
        actor,
        "training.resume",
        "training",
        str(run.id),
        before={"state": run.state, "stage": run.stage},
        after={"state": RunState.RUNNING, "stage": stage, "nothing_runs": nothing_runs},
    )


def look_again(actor: Actor | None, run_id: UUID, tools: Tools) -> Run:
    """Have a run looked at now; one that needs a person is looked for at its provider once more."""
    actor = access.check(actor, Action.STEER_TRAINING)
    now = tools.clock()
    with database.transaction() as connection:
        run = _existing(connection, run_id)
        if run.state is RunState.NEEDS_ATTENTION:
            calls.wake(connection, run, now)
            SQL["search_again"].run(connection, run_id=run_id, now=now)
            audit.record(connection, actor, "training.look_again", "training", str(run_id))
        elif run.state in ACTIVE:
            sending.hurry(connection, run_id, now)
        return _existing(connection, run_id)


def publish_samples(actor: Actor | None, run_id: UUID, tools: Tools) -> Run:
    """Have a published LoRA's test images added to its card; a job does it within a minute.

    Raises Conflict for a run that is not completed or was not published.
    """
    actor = access.check(actor, Action.STEER_TRAINING)
    with database.transaction() as connection:
        run = _existing(connection, run_id)
        if run.state is not RunState.COMPLETED or run.huggingface_url is None:
            raise Conflict("Only a completed LoRA that was published has a card.")
        SQL["card_due"].run(connection, id=run_id, now=tools.clock())
        audit.record(connection, actor, "training.publish_samples", "training", str(run_id))
        return _existing(connection, run_id)


def judge(actor: Actor | None, run_id: UUID, index: int, tools: Tools, *, shows: bool) -> Run:
    """A person's word on a test image, counted from 0.

    When all three are judged, two that show the character complete the run; fewer end it as failed. Raises
    Conflict when nothing waits for a verdict.
    """
    actor = access.check(actor, Action.STEER_TRAINING)
    now = tools.clock()
    with database.transaction() as connection:
        SQL["hold"].first(connection, id=run_id)
        run = _existing(connection, run_id)
        if run.state is not RunState.AWAITING_VERDICT:
            raise Conflict("No test images of this run wait for a verdict.")
        pictures = pictures_of(calls_of(connection, run_id))
        if not 0 <= index < len(pictures):
            raise InvalidInput("index", f"There are {len(pictures)} test images, counted from 0.")
        who = {"by": actor.name, "by_id": actor.id}
        SQL["judge"].first(connection, id=pictures[index].id, shows=shows, now=now, **who)
        add_event(
            connection,
            run,
            now,
            Event(EventKind.JUDGED, detail={"by": actor.name, "n": index, "shows": shows}),
        )
        audit.record(
            connection, actor, "training.judge", "training", str(run_id), after={"n": index, "shows": shows}
        )
        _decide(connection, run, tools)
        return _existing(connection, run_id)


def _decide(connection: Connection, run: Run, tools: Tools) -> None:
    pictures = pictures_of(calls_of(connection, run.id))
    passed = steering.verdict(pictures)
    if passed is None:
        return
    now = tools.clock()
    if passed:
        moving.end_stage(connection, run, "succeeded", now)
        calls.wake(connection, run, now, stage=Stage.COMPLETION)
        return
    shown = sum(bool(call.shows) for call in pictures)
    ending.begin(connection, run, RunState.FAILED, _not_shown(shown), tools)


def _not_shown(shown: int) -> Trouble:
    return Trouble(
        f"Only {shown} of {policy.PICTURES} test images {'shows' if shown == 1 else 'show'} the character;"
        f" {policy.SHOWN_AT_LEAST} have to.",
        ErrorCategory.VALIDATION,
        retryable=False,
        next_action="Make new test images, or launch it again with better images or more steps.",
    )


def _existing(connection: Connection, run_id: UUID) -> Run:
    run = find(connection, run_id)
    if run is None:
        raise NotFound(f"There is no training {run_id}.")
    return run


@dataclass(frozen=True)
class Received:
    """What became of a webhook."""

    run_id: UUID
    duplicate: bool


def receive_webhook(provider: str, call_id: UUID | None, event: WebhookEvent, tools: Tools) -> Received:
    """Record a verified webhook once and make its run due now. Its contents are never believed.

    NotFound when no call of ours belongs to it.
    """
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["call"].first(connection, id=call_id) if call_id else None
        row = row or SQL["call_by_remote"].first(connection, provider=provider, remote_id=event.remote_id)
        if row is None or row["provider"] != provider:
            raise NotFound("No training of ours belongs to this webhook.")
        call = to_call(row)
        kept = SQL["receive_webhook"].one(
            connection,
            provider=provider,
            delivery_id=event.delivery_id[:200],
            call_id=call.id,
            run_id=call.run_id,
            remote_id=event.remote_id[:200],
            says=event.says[:40],
            now=now,
        )
        duplicate = kept["duplicates"] > 0
        run = find(connection, call.run_id)
        if run is not None and not duplicate:
            detail = {"says": event.says[:40], "remote_id": event.remote_id, "call": str(call.id)}
            add_event(connection, run, now, Event(EventKind.WEBHOOK, detail=detail))
            _hurry(connection, run, call, now)
    if call.state is CallState.NOT_SENT and call.remote_id is None:
        found = Submission(event.remote_id)
        calls.bind(call.run_id, call, found, Event(EventKind.BOUND, detail={"by": "webhook"}), tools)
    return Received(call.run_id, duplicate)


def _hurry(connection: Connection, run: Run, call: Call, now: datetime) -> None:
    if run.state is RunState.NEEDS_ATTENTION and call.state is CallState.UNKNOWN:
        calls.wake(connection, run, now)
        SQL["search_again"].run(connection, run_id=run.id, now=now)
        return
    if SQL["hurry"].first(connection, id=run.id, now=now) is not None:
        moving.enqueue(connection, run.id, queue.URGENT)
