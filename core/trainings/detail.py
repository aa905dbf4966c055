"""Everything that a page shows of one run: read only, one consistent snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from core import access, database
from core.access import Action, Actor
from core.errors import Conflict, NotFound
from core.trainings import policy, steering
from core.trainings.models import Call, EventKind, Purpose, Run, Stage
from core.trainings.repository import SQL, calls_of, find, pictures_of
from core.trainings.tools import WEIGHTS, Tools
from core.trainings.views import Row, row_of

MAX_LINES = 500


@dataclass(frozen=True)
class StageRow:
    """One stage of a run; `state` is waiting, running, skipped, or how it ended."""

    stage: Stage
    state: str
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    progress: int
    time_left_s: int | None
    error: str | None
    category: str | None
    retryable: bool | None
    words: str | None
    next_action: str | None


@dataclass(frozen=True)
class LogRow:
    """A line of the log; `source` is studio or the provider."""

    id: int
    at: datetime
    stage: str | None
    source: str
    level: str
    message: str


@dataclass(frozen=True)
class Step:
    """One step of the timeline."""

    at: datetime
    kind: EventKind
    stage: str | None
    attempt: int | None
    duration_ms: int | None
    bytes: int | None
    error_category: str | None
    words: str | None
    detail: dict[str, Any]
    request_id: str | None


@dataclass(frozen=True)
class Picture:
    """A test picture: `url` None while it is made, or when it is no longer kept."""

    index: int
    prompt: str
    url: str | None
    state: str
    shows: bool | None
    judged_by: str | None
    judged_by_id: str | None
    problem: str | None


@dataclass(frozen=True)
class PaidCall:
    """Something that was paid: a training's attempt or a picture."""

    purpose: Purpose
    n: int
    round: int
    provider: str
    state: str
    remote_id: str | None
    submitted_at: datetime | None
    ended_at: datetime | None
    released_at: datetime | None
    cost_usd: Decimal | None
    problem: str | None


@dataclass(frozen=True)
class LedgerLine:
    """A line of the ledger; amounts in USD."""

    kind: str
    provider: str | None
    service: str | None
    stage: str | None
    quantity: Decimal | None
    unit: str | None
    unit_price: Decimal | None
    amount_usd: Decimal
    occurred_at: datetime
    price_version: str | None
    note: str | None


@dataclass(frozen=True)
class SeenWebhook:
    """A message of the provider's whose signature was good."""

    provider: str
    remote_id: str
    says: str
    received_at: datetime
    duplicates: int


@dataclass(frozen=True)
class Detail:
    """Everything known of one run. `why_not_*` say why a button is off; None: it may be pressed. `doubt`: a
    request's answer was lost, or its stop is not confirmed, so that cancelling and going on need a person's
    word that nothing runs."""

    row: Row
    run: Run
    stages: tuple[StageRow, ...]
    log: tuple[LogRow, ...]
    timeline: tuple[Step, ...]
    pictures: tuple[Picture, ...]
    calls: tuple[PaidCall, ...]
    ledger: tuple[LedgerLine, ...]
    webhooks: tuple[SeenWebhook, ...]
    weights_url: str | None
    why_not_cancel: str | None
    why_not_resume: str | None
    resumes_at: Stage | None
    doubt: bool


def of_run(actor: Actor | None, run_id: UUID, tools: Tools) -> Detail:
    """Everything known of one run; NotFound when there is none."""
    actor = access.check(actor, Action.VIEW)
    now = tools.clock()
    with database.reading() as connection:
        run = find(connection, run_id)
        if run is None:
            raise NotFound(f"There is no training {run_id}.")
        known = calls_of(connection, run_id)
        stages = _stages(connection, run, now)
        lines = SQL["log_lines"].all(connection, run_id=run_id, after=0, limit=MAX_LINES)
        steps = SQL["timeline"].all(connection, run_id=run_id, limit=500)
        ledger = SQL["ledger"].all(connection, run_id=run_id)
        webhooks = SQL["webhooks"].all(connection, run_id=run_id)
    why = steering.why_not_resume(run, known)
    return Detail(
        row=row_of(run, now),
        run=run,
        stages=stages,
        log=tuple(LogRow(**line) for line in lines),
        timeline=tuple(Step(**{**step, "kind": EventKind(step["kind"])}) for step in steps),
        pictures=tuple(_picture(call) for call in pictures_of(known)),
        calls=tuple(_paid(call) for call in known),
        ledger=tuple(LedgerLine(**line) for line in ledger),
        webhooks=tuple(SeenWebhook(**row) for row in webhooks),
        weights_url=_weights_url(run, tools, actor.session),
        why_not_cancel=_why_not_cancel(run),
        why_not_resume=why,
        resumes_at=steering.resume_stage(run, known) if why is None else None,
        doubt=steering.in_doubt(run, known),
    )


def log_since(actor: Actor | None, run_id: UUID, after: int = 0, limit: int = MAX_LINES) -> Sequence[LogRow]:
    """The newest lines of a run's log behind the id `after`, oldest first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        lines = SQL["log_lines"].all(connection, run_id=run_id, after=after, limit=min(limit, MAX_LINES))
    return [LogRow(**line) for line in lines]


def _stages(connection: Connection, run: Run, now: datetime) -> tuple[StageRow, ...]:
    """Every stage in order, those that have not begun too."""
    begun = {row["stage"]: row for row in SQL["stages"].all(connection, run_id=run.id)}
    found = []
    for stage in policy.ORDER:
        row = begun.get(stage)
        if row is None:
            skipped = stage is Stage.HUGGINGFACE_UPLOAD and not run.publish
            state = "skipped" if skipped else "waiting"
            found.append(StageRow(stage, state, 0, None, None, None, 0, None, None, None, None, None, None))
            continue
        until = row["ended_at"] or now
        found.append(
            StageRow(
                stage=stage,
                state=row["outcome"] or "running",
                attempts=row["attempts"],
                started_at=row["started_at"],
                ended_at=row["ended_at"],
                seconds=max((until - row["started_at"]).total_seconds(), 0.0),
                progress=row["progress"],
                time_left_s=row["time_left_s"],
                error=row["error_message"],
                category=row["failure_category"],
                retryable=row["failure_retryable"],
                words=row["failure_words"],
                next_action=row["next_action"],
            )
        )
    return tuple(found)


def _picture(call: Call) -> Picture:
    return Picture(
        call.n,
        call.prompt or "",
        call.url,
        call.state,
        call.shows,
        call.judged_by,
        call.judged_by_id,
        call.failure_words,
    )


def _paid(call: Call) -> PaidCall:
    return PaidCall(
        call.purpose,
        call.n,
        call.round,
        call.provider,
        call.state,
        call.remote_id,
        call.submitted_at,
        call.ended_at,
        call.released_at,
        call.cost_usd,
        call.failure_words,
    )


def _weights_url(run: Run, tools: Tools, session: str | None) -> str | None:
    if run.weights_path is None:
        return None
    return tools.storage.signed_url(WEIGHTS, run.weights_path, timedelta(hours=1), session)


def _why_not_cancel(run: Run) -> str | None:
    try:
        steering.check_can_cancel(run)
    except Conflict as conflict:
        return conflict.message
    return None
