"""A run, its paid call and a provider's record as the tests of rules want them."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from core.providers.training import TrainingRecord, TrainingState
from core.trainings.models import Call, CallState, Purpose, Run, RunState, Stage

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ID = UUID("11111111-2222-4333-8444-555555555555")

_RUN = Run(
    id=ID,
    lora_id=ID,
    lora_name="Ada",
    description=None,
    user_id=None,
    creator_key="staff:ada",
    creator_name="Ada",
    state=RunState.RUNNING,
    stage=Stage.TRAINING,
    trainer="fal",
    steps=1000,
    learning_rate=None,
    rank=None,
    trigger_word="ada_v1",
    publish=False,
    images=6,
    attempt=0,
    created_at=NOW,
    started_at=NOW,
    completed_at=None,
    next_attempt_at=NOW,
    lease_until=None,
    lease_token=None,
    heartbeat_at=NOW,
    ends_as=None,
    ending_since=None,
    progress=60,
    time_left_s=None,
    provider_state=None,
    provider_read_at=None,
    queue_position=None,
    pod_id=None,
    usd_per_hour=None,
    error_message=None,
    failure_category=None,
    failure_retryable=None,
    failure_words=None,
    next_action=None,
    quoted_usd=Decimal("2.1050"),
    reservation_key="training:1",
    reservations=1,
    zip_bucket="character-references",
    zip_path="a.zip",
    zip_bytes=1,
    zip_sha256="0",
    weights_path=None,
    weights_sha256=None,
    weights_bytes=None,
    huggingface_url=None,
    training_cost=None,
)
_CALL = Call(
    id=ID,
    run_id=ID,
    purpose=Purpose.TRAINING,
    n=0,
    round=1,
    provider="fal",
    reservation_key="training:1",
    state=CallState.ACCEPTED,
    prompt=None,
    seed=None,
    tries=1,
    remote_id="request_1",
    handle={},
    created_at=NOW,
    submitted_at=NOW,
    accepted_at=NOW,
    ended_at=None,
    released_at=None,
    progress=None,
    usd_per_hour=None,
    result_url=None,
    result_kind=None,
    bucket=None,
    path=None,
    url=None,
    failure_category=None,
    failure_code=None,
    failure_retryable=None,
    failure_words=None,
    cost_usd=None,
    shows=None,
    judged_by=None,
    judged_by_id=None,
)


def run(**changes: Any) -> Run:
    """One that trains at fal since NOW; with `changes`."""
    return replace(_RUN, **changes)


def call(**changes: Any) -> Call:
    """Its training, accepted at NOW; with `changes`."""
    return replace(_CALL, **changes)


def picture(n: int, **changes: Any) -> Call:
    """A test picture that is here; with `changes`."""
    values: dict[str, Any] = {
        "purpose": Purpose.PICTURE,
        "n": n,
        "state": CallState.SUCCEEDED,
        "result_url": "https://fal.media/1.jpg",
        "path": "1.jpg",
    }
    return replace(_CALL, **{**values, **changes})


def record(state: TrainingState, **more: Any) -> TrainingRecord:
    """What the provider says of it."""
    return TrainingRecord("request_1", state, more.pop("state_word", str(state)), **more)
