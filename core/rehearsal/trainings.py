"""Fills a history of trainings: LoRAs, runs with their stages and calls, their files, and what they cost."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from core import database
from core.deliveries.tools import Tools
from core.rehearsal import ledger, library, training_files, trainings_course
from core.rehearsal.models import TRAINING_CALL, numbered_id
from core.rehearsal.pictures import SIDE, Sample
from core.rehearsal.repository import SQL
from core.rehearsal.training_endings import Ending
from core.rehearsal.training_files import File
from core.rehearsal.trainings_course import PICTURES, POD_USD_PER_HOUR, Training
from core.trainings import cleaning, policy
from core.trainings.models import CallState, EventKind, Purpose, RunState, Stage, status_of
from core.trainings.tools import PICTURES as SHOTS
from core.trainings.validating import PROMPTS

# No job ever takes up what is due then: nothing of a rehearsal is asked of a provider by itself.
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
# Of these newest runs the images are kept that they were trained with, and of all that may still go on.
_WITH_IMAGES = 24
Values = dict[str, Any]


def fill(
    now: datetime, *, seed: int, days: int, generations: int, samples: Sequence[Sample], tools: Tools
) -> int:
    """Write the history's trainings and their files; how many."""
    found = trainings_course.trainings(now, seed=seed, days=days)
    stills = [sample.content for sample in samples if sample.kind == "image"]
    weights = {one.n: training_files.weights(one, tools) for one in found if one.has_weights}
    shots = {one.n: training_files.shots(one, stills, tools) for one in found if _keeps_pictures(one, now)}
    rows: dict[str, list[Values]] = {
        "fill_loras": [_lora(one, weights.get(one.n), shots.get(one.n, ())) for one in found],
        "fill_runs": [_run(one) for one in found],
        "fill_calls": [call for one in found for call in _calls(one, shots.get(one.n, ()))],
        "fill_stages": [stage for one in found for stage in _stages(one)],
        "fill_steps": [step for one in found for step in _steps(one)],
        "fill_images": list(_images(_kept(found), stills, tools)),
    }
    with database.transaction() as connection:
        for name, values in rows.items():
            SQL[name].run(connection, rows=json.dumps(values, default=str))
        ledger.fill(connection, found)
        library.fill(connection, found, now, seed=seed, generations=generations)
    return len(found)


def _kept(found: Sequence[Training]) -> list[Training]:
    over = {RunState.COMPLETED, RunState.CANCELLED}
    newest = found[-_WITH_IMAGES:]
    return [one for one in found if one in newest or one.ending.state not in over]


def _keeps_pictures(one: Training, now: datetime) -> bool:
    return one.has_pictures and now - one.stopped_at < cleaning.PICTURES_KEPT - timedelta(days=1)


def _lora(one: Training, weights: File | None, shots: Sequence[File]) -> Values:
    state = one.ending.state
    return {
        "id": one.lora_id,
        "user_id": one.user_id,
        "name": one.name,
        "trigger_word": one.trigger_word,
        "description": f"Made for pictures and films: {', '.join(one.tags)}.",
        "tags": one.tags,
        "training_status": status_of(state, one.ending.stage),
        "storage_path": weights.path if weights else None,
        "storage_url": weights.url if weights else None,
        "file_size": weights.bytes if weights else None,
        "weights_sha256": weights.sha256 if weights else None,
        "validation_image_urls": [shot.url for shot in shots],
        "passed": state is RunState.COMPLETED,
        "cost": ledger.spent(one),
        "created_at": one.launched_at,
        "completed_at": one.stopped_at if state is RunState.COMPLETED else None,
    }


def _run(one: Training) -> Values:
    ending, under_way = one.ending, one.ending.is_under_way
    return {
        "id": one.run_id,
        "lora_id": one.lora_id,
        "user_id": one.user_id,
        "state": ending.state,
        "stage": ending.stage,
        "trainer": one.trainer,
        "steps": one.steps,
        "trigger_word": one.trigger_word,
        "images": one.images,
        "publish": one.publishes,
        "quoted_usd": one.reserved_usd,
        "reservation_key": None if one.ended_at else ledger.key_of(one),
        "progress": 100 if ending.state is RunState.COMPLETED else _progress(ending),
        "time_left": _time_left(one) if under_way else None,
        "next_attempt_at": NEVER if under_way else None,
        "ends_as": RunState.CANCELLED if ending.state is RunState.ENDING else None,
        "says": ending.says,
        "queue_position": ending.queue_position,
        "usd_per_hour": POD_USD_PER_HOUR if one.trainer == "runpod" else None,
        "category": ending.category,
        "message": ending.message,
        "words": ending.words,
        "next_action": ending.next_action,
        "retryable": ending.retryable if ending.category else None,
        "created_at": one.launched_at,
        "stopped_at": one.stopped_at,
        "completed_at": one.ended_at,
    }


def _progress(ending: Ending) -> int:
    return policy.overall(ending.stage, ending.progress)


def _time_left(one: Training) -> int:
    return policy.time_left(
        one.ending.stage,
        one.trainer,
        publish=one.publishes,
        progress=one.ending.progress,
        elapsed=_at(one, one.ending.stage)[1] - _at(one, one.ending.stage)[0],
    )


def _calls(one: Training, shots: Sequence[File]) -> Iterator[Values]:
    """The paid training, and the three test pictures."""
    if Stage.TRAINING in one.reached:
        yield _training_call(one)
    if Stage.VALIDATION in one.reached:
        yield from (_picture_call(one, n, shots[n] if shots else None) for n in range(PICTURES))


def _training_call(one: Training) -> Values:
    ending = one.ending
    state, accepted = CallState.SUCCEEDED, True
    if not one.is_trained:
        state = _CALL_STATES[ending.state]
        accepted = state is not CallState.UNKNOWN
    begun, ended = _at(one, Stage.TRAINING)
    return _call(one, begun) | {
        "id": one.run_id,
        "purpose": Purpose.TRAINING,
        "n": 0,
        "provider": one.trainer,
        "state": state,
        "remote_id": f"rehearsal-{one.n}" if accepted else None,
        "accepted_at": begun if accepted else None,
        "ended_at": ended if accepted and state.is_over else None,
        "progress": None if state.is_over else ending.progress,
        "usd_per_hour": POD_USD_PER_HOUR if one.trainer == "runpod" else None,
        "cost": one.trained_usd if accepted and state.is_over else None,
        "words": None if one.is_trained else ending.words,
    }


_CALL_STATES = {
    RunState.RUNNING: CallState.ACCEPTED,
    RunState.ENDING: CallState.ACCEPTED,
    RunState.FAILED: CallState.FAILED,
    RunState.CANCELLED: CallState.CANCELLED,
    RunState.NEEDS_ATTENTION: CallState.UNKNOWN,
}


def _picture_call(one: Training, n: int, shot: File | None) -> Values:
    begun, ended = _at(one, Stage.VALIDATION)
    return _call(one, begun) | {
        "id": numbered_id(TRAINING_CALL, one.n * PICTURES + n),
        "purpose": Purpose.PICTURE,
        "n": n,
        "provider": "fal",
        "state": CallState.SUCCEEDED if one.has_pictures else CallState.ACCEPTED,
        "remote_id": f"rehearsal-{one.n}-{n}",
        "prompt": PROMPTS[n].format(trigger=one.trigger_word),
        "accepted_at": begun,
        "ended_at": ended if one.has_pictures else None,
        "cost": trainings_course.PICTURE_USD if one.has_pictures else None,
        "bucket": SHOTS if shot else None,
        "path": shot.path if shot else None,
        "url": shot.url if shot else None,
        "shows": True if one.ending.state is RunState.COMPLETED else None,
    }


def _call(one: Training, begun: datetime) -> Values:
    return {"run_id": one.run_id, "submitted_at": begun, "reservation_key": ledger.key_of(one)}


def _at(one: Training, stage: Stage) -> tuple[datetime, datetime]:
    """From when to when the run was at a stage: the training takes most of the time."""
    shares = [6.0 if reached is Stage.TRAINING else 1.0 for reached in one.reached]
    n = list(one.reached).index(stage)
    begin, end = sum(shares[:n]) / sum(shares), sum(shares[: n + 1]) / sum(shares)
    return one.launched_at + begin * one.takes, one.launched_at + end * one.takes


def _stages(one: Training) -> Iterator[Values]:
    ending = one.ending
    for stage in one.reached:
        begun, ended = _at(one, stage)
        last = stage is ending.stage
        open_ = last and ending.is_open
        succeeded = not last or ending.state is RunState.COMPLETED
        told = last and ending.category is not None
        yield {
            "run_id": one.run_id,
            "stage": stage,
            "started_at": begun,
            "ended_at": None if open_ else ended,
            "progress": 100 if succeeded else ending.progress,
            "outcome": None if open_ else "succeeded" if succeeded else ending.state,
            "message": ending.message if told else None,
            "category": ending.category if told else None,
            "retryable": ending.retryable if told else None,
            "words": ending.words if told else None,
            "next_action": ending.next_action if told else None,
        }


def _steps(one: Training) -> Iterator[Values]:
    """Its timeline, each step also a line of its log."""
    ending = one.ending
    said: list[tuple[datetime, EventKind, Stage, str]] = [
        (one.launched_at, EventKind.LAUNCHED, Stage.INITIALIZING, "Launched"),
    ]
    for stage in one.reached:
        begun, ended = _at(one, stage)
        said.append((begun, EventKind.STAGE_STARTED, stage, f"Stage “{stage.label}” begins"))
        if stage is not ending.stage or ending.state is RunState.COMPLETED:
            said.append((ended, EventKind.STAGE_ENDED, stage, f"Stage “{stage.label}” is done"))
    if ending.state is RunState.ENDING:
        words = "Cancel requested: wrong images."
        said.append((one.stopped_at, EventKind.CANCEL_REQUESTED, ending.stage, words))
    elif not ending.is_open:
        how = EventKind(str(ending.state))
        said.append((one.stopped_at, how, ending.stage, ending.message or how.capitalize()))
    for n, (at, kind, stage, words) in enumerate(said):
        ends = n == len(said) - 1 and ending.category is not None
        yield {
            "run_id": one.run_id,
            "n": n,
            "at": at,
            "kind": kind,
            "stage": stage,
            "message": words,
            "level": "error" if ends else "info",
            "category": ending.category if ends else None,
            "words": ending.words if ends else None,
        }


def _images(kept: Sequence[Training], stills: Sequence[bytes], tools: Tools) -> Iterator[Values]:
    """What they were trained with; they share the files of a small pool."""
    pool = training_files.pool(stills, tools)
    for one in kept:
        for n in range(one.images):
            which = (one.n + n) % len(stills)
            yield {
                "lora_id": one.lora_id,
                "n": n + 1,
                "owner": one.user_id,
                "name": f"{one.trigger_word}-{n + 1}.jpg",
                "bucket": training_files.IMAGES,
                "path": pool[which].file.path,
                "sha256": pool[which].file.sha256,
                "bytes": pool[which].file.bytes,
                "side": SIDE,
                "thumbnail": pool[which].thumbnail.hex(),
                "created_at": one.launched_at - timedelta(minutes=4),
            }
