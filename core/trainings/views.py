"""What pages and the API show of trainings: read only, one consistent snapshot a call."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from core import access, database
from core.access import Action, Actor
from core.budget import policy as budget_policy
from core.budget import views as budget
from core.budget.models import BudgetExceeded, Position
from core.providers.training import Bounds
from core.trainings import costs, launch_rules, launching, policy
from core.trainings.counted import ALL, Counted
from core.trainings.models import (
    ACTIVE,
    QuotaExceeded,
    Run,
    RunState,
    Stage,
    status_of,
)
from core.trainings.repository import SQL, to_run
from core.trainings.tools import Tools

MAX_PAGE = 100
_LABELS = {
    RunState.RUNNING: "running",
    RunState.AWAITING_VERDICT: "waits for a verdict",
    RunState.ENDING: "being stopped",
    RunState.COMPLETED: "completed",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
    RunState.NEEDS_ATTENTION: "needs attention",
}


@dataclass(frozen=True)
class Filter:
    """Which runs a page wants; None: all. `search` is a part of the LoRA's name, `counted` what a number or
    an alert has counted."""

    states: frozenset[RunState] | None = None
    trainer: str | None = None
    creator_key: str | None = None
    lora_id: UUID | None = None
    search: str | None = None
    counted: Counted = ALL

    @property
    def standing(self) -> frozenset[RunState] | None:
        """Where its runs stand; None: anywhere."""
        counted = self.counted.states
        if self.states is None or counted is None:
            return counted if self.states is None else self.states
        return self.states & counted


@dataclass(frozen=True)
class Row:
    """One run of a list. `state_label` is for people; `crashed`: its worker is silent."""

    id: UUID
    lora_id: UUID
    name: str
    creator: str
    state: RunState
    state_label: str
    status: str
    stage: Stage
    trainer: str
    progress: int
    time_left_s: int | None
    queue_position: int | None
    crashed: bool
    launched_at: datetime
    ended_at: datetime | None
    error: str | None
    cost_usd: Decimal | None


@dataclass(frozen=True)
class Page:
    """A keyset page, newest first; `next_before` continues it, None at the end."""

    rows: tuple[Row, ...]
    next_before: tuple[datetime, UUID] | None


@dataclass(frozen=True)
class TrainerChoice:
    """A trainer as the form offers it; `missing` says why it cannot be chosen."""

    name: str
    bounds: Bounds | None
    missing: str | None


@dataclass(frozen=True)
class Quote:
    """What a launch would cost at the most and take, and what is left afterwards. `usual_usd` is what the
    launch usually comes to: less than is reserved where time is paid.

    `generated_usd` is what the images cost that are still to be generated for it, before the launch.
    """

    training_usd: Decimal
    pictures_usd: Decimal
    generated_usd: Decimal
    total_usd: Decimal
    usual_usd: Decimal
    p50_s: float
    p90_s: float
    from_own_history: bool
    budget: Position
    left_after_usd: Decimal
    used: int
    quota: int
    refusal: str | None

    @property
    def launch_usd(self) -> Decimal:
        """What the launch itself reserves."""
        return self.training_usd + self.pictures_usd


@dataclass(frozen=True)
class Pod:
    """A pod that runs now."""

    run_id: UUID
    name: str
    pod_id: str
    since: datetime
    usd_per_hour: Decimal | None
    usd_so_far: Decimal | None


@dataclass(frozen=True)
class Counts:
    """Runs by where they stand; completed and failed ones are those launched since the given time."""

    running: int
    awaiting_verdict: int
    needs_attention: int
    completed: int
    failed: int
    cancelled: int

    @property
    def success_rate(self) -> float | None:
        """Completed ÷ (completed + failed), 0 to 1; None when none has ended."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


def runs(
    actor: Actor | None,
    wanted: Filter,
    now: datetime,
    *,
    limit: int = 25,
    before: tuple[datetime, UUID] | None = None,
) -> Page:
    """Runs by filter, newest first."""
    access.check(actor, Action.VIEW)
    limit = max(1, min(limit, MAX_PAGE))
    states = wanted.standing
    with database.reading() as connection, database.planned_anew(connection):
        found = SQL["runs"].all(
            connection,
            states=[*states] if states is not None else None,
            trainer=wanted.trainer,
            creator_key=wanted.creator_key,
            lora_id=wanted.lora_id,
            **wanted.counted.values(),
            pattern=f"%{_escaped(wanted.search)}%" if wanted.search else None,
            before_at=before[0] if before else None,
            before_id=before[1] if before else None,
            limit=limit + 1,
        )
    rows = tuple(row_of(to_run(row), now) for row in found[:limit])
    last = rows[-1] if rows else None
    return Page(rows, (last.launched_at, last.id) if len(found) > limit and last else None)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def row_of(run: Run, now: datetime) -> Row:
    """A run as a list shows it."""
    crashed = policy.is_crashed(run, now)
    return Row(
        id=run.id,
        lora_id=run.lora_id,
        name=run.lora_name,
        creator=run.creator_name or "unknown",
        state=run.state,
        state_label="crashed, being taken up again" if crashed else _LABELS[run.state],
        status=status_of(run.state, run.stage),
        stage=run.stage,
        trainer=run.trainer,
        progress=run.progress,
        time_left_s=run.time_left_s if run.state in ACTIVE else None,
        queue_position=run.queue_position,
        crashed=crashed,
        launched_at=run.created_at,
        ended_at=run.completed_at,
        error=run.error_message,
        cost_usd=run.training_cost,
    )


def choices(actor: Actor | None, tools: Tools) -> tuple[TrainerChoice, ...]:
    """The trainers that there are, and what each takes."""
    access.check(actor, Action.VIEW)
    ready = tuple(TrainerChoice(name, trainer.bounds, None) for name, trainer in tools.trainers.items())
    return (*ready, *(TrainerChoice(name, None, reason) for name, reason in tools.missing.items()))


def quote(
    actor: Actor | None,
    trainer: str,
    steps: int,
    tools: Tools,
    *,
    generated_usd: Decimal = Decimal(0),
    trainings: int = 1,
) -> Quote:
    """What so many launches of the actor's would cost and take; `refusal` says which limit they would meet.

    `generated_usd` is for the images that are to be generated before them.
    """
    actor = access.check(actor, Action.VIEW)
    now = tools.clock()
    with database.reading() as connection:
        expected = costs.quote(connection, trainer, steps, now)
        own = SQL["own_p50"].one(connection, trainer=trainer)
        creator = launching.creator_of(connection, actor)
        used = SQL["creators_loras"].one(
            connection,
            user_id=creator.user_id,
            creator_key=creator.key,
            name="",
            except_id=None,
            month=policy.month_of(now),
        )["used"]
    position = budget.position(actor, now)
    total = expected.total_usd * trainings + generated_usd
    known = own["samples"] >= costs.OWN_SAMPLES
    usually = costs.expected(expected, trainer, float(own["p50_s"]) if known else None)
    usual = policy.usual_seconds(Stage.TRAINING, trainer)
    return Quote(
        training_usd=expected.training_usd * trainings,
        pictures_usd=expected.images_usd * trainings,
        generated_usd=generated_usd,
        total_usd=total,
        usual_usd=usually * trainings,
        p50_s=float(own["p50_s"]) if known else usual,
        p90_s=float(own["p90_s"]) if known else 2 * usual,
        from_own_history=known,
        budget=position,
        left_after_usd=position.left_usd - total,
        used=used,
        quota=launch_rules.QUOTA,
        refusal=_refusal(position, total, used + trainings - 1, now),
    )


def _refusal(position: Position, amount: Decimal, used: int, now: datetime) -> str | None:
    try:
        launch_rules.check_quota(used, now)
        budget_policy.check_affordable(position, amount)
    except (QuotaExceeded, BudgetExceeded) as refusal:
        return refusal.message
    return None


def pods(actor: Actor | None, now: datetime) -> tuple[Pod, ...]:
    """The pods that run now, and what they have cost so far."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["pods"].all(connection)
    return tuple(
        Pod(
            row["run_id"],
            row["lora_name"],
            row["remote_id"],
            row["accepted_at"],
            row["usd_per_hour"],
            _so_far(row["usd_per_hour"], now - row["accepted_at"]),
        )
        for row in rows
    )


def _so_far(usd_per_hour: Decimal | None, age: timedelta) -> Decimal | None:
    if usd_per_hour is None:
        return None
    return (usd_per_hour * Decimal(max(age.total_seconds(), 0)) / 3600).quantize(Decimal("0.0001"))


def usd_per_hour(actor: Actor | None, now: datetime) -> Decimal:
    """What all pods together cost an hour just now."""
    return sum((pod.usd_per_hour for pod in pods(actor, now) if pod.usd_per_hour), Decimal(0))


def counts(actor: Actor | None, now: datetime, *, since: datetime | None = None) -> Counts:
    """Runs by where they stand; ended ones since the given time, by default this month."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["counts"].all(connection, since=since or policy.month_of(now))
    by_state = {row["state"]: row["n"] for row in rows}
    return Counts(
        running=by_state.get(RunState.RUNNING, 0) + by_state.get(RunState.ENDING, 0),
        awaiting_verdict=by_state.get(RunState.AWAITING_VERDICT, 0),
        needs_attention=by_state.get(RunState.NEEDS_ATTENTION, 0),
        completed=by_state.get(RunState.COMPLETED, 0),
        failed=by_state.get(RunState.FAILED, 0),
        cancelled=by_state.get(RunState.CANCELLED, 0),
    )
