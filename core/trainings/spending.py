"""Whether trainings are worth what they cost: by run, by creator, against what was quoted; and quotas."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import RowMapping

from core import access, database, queries
from core.access import Action, Actor
from core.budget.policy import next_month
from core.trainings import launch_rules, policy
from core.trainings.models import RunState

SQL = queries.load("spending")
ENDED_BADLY = {RunState.FAILED, RunState.CANCELLED}
ENDED = {RunState.COMPLETED, *ENDED_BADLY}
CREATORS = 12
# With a budget for some hundred trainings a month all of its creators are read.
MOST_CREATORS = 10_000
# An alert names as many pods without a run.
MOST_PODS = 20


@dataclass(frozen=True)
class Drift:
    """What a trainer's ended runs were quoted at, and what they came to."""

    trainer: str
    runs: int
    quoted_usd: Decimal
    settled_usd: Decimal

    @property
    def share(self) -> float | None:
        """How much more, or less, than quoted, as a share of that."""
        return float((self.settled_usd - self.quoted_usd) / self.quoted_usd) if self.quoted_usd else None


@dataclass(frozen=True)
class Creator:
    """Who spent how much of the month."""

    key: str
    name: str | None
    runs: int
    settled_usd: Decimal
    reserved_usd: Decimal


@dataclass(frozen=True)
class Worth:
    """A month's trainings by what they came to. `ended_usd` is what runs cost that are over."""

    completed: int
    failed: int
    ended_usd: Decimal
    failures_usd: Decimal
    drifts: tuple[Drift, ...]
    creators: tuple[Creator, ...]

    @property
    def per_completed_usd(self) -> Decimal | None:
        """What a completed LoRA costs, the failed ones' share included; None without one."""
        return self.ended_usd / self.completed if self.completed else None

    @property
    def failure_share(self) -> float | None:
        return float(self.failures_usd / self.ended_usd) if self.ended_usd else None


@dataclass(frozen=True)
class Quota:
    """How many of a creator's LoRAs count in a month."""

    creator: str
    name: str | None
    used: int
    quota: int = launch_rules.QUOTA


def worth(actor: Actor | None, month: date) -> Worth:
    """What the month's trainings came to, corrections included."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["runs_of_month"].all(connection, month=month)
    over = [row for row in rows if row["state"] in ENDED]
    badly = [row for row in over if row["state"] in ENDED_BADLY]
    creators = sorted(_by_creator(rows), key=lambda one: (one.settled_usd, one.reserved_usd), reverse=True)
    return Worth(
        completed=sum(row["runs"] for row in over if row["state"] == RunState.COMPLETED),
        failed=sum(row["runs"] for row in badly),
        ended_usd=_total(over),
        failures_usd=_total(badly),
        drifts=tuple(_drifts(over)),
        creators=tuple(creators[:CREATORS]),
    )


def _total(rows: Iterable[RowMapping]) -> Decimal:
    return sum((row["settled_usd"] for row in rows), Decimal(0))


def _grouped(rows: Iterable[RowMapping], by: Callable[[RowMapping], str]) -> dict[str, list[RowMapping]]:
    found: defaultdict[str, list[RowMapping]] = defaultdict(list)
    for row in rows:
        found[by(row)].append(row)
    return found


def _by_creator(rows: Iterable[RowMapping]) -> Iterable[Creator]:
    for key, group in _grouped(rows, lambda row: row["creator_key"] or "").items():
        name = next((row["creator_name"] for row in group if row["creator_name"]), None)
        reserved = sum((row["reserved_usd"] for row in group), Decimal(0))
        yield Creator(key, name, sum(row["runs"] for row in group), _total(group), reserved)


def _drifts(over: Iterable[RowMapping]) -> Iterable[Drift]:
    for name, group in sorted(_grouped(over, lambda row: row["trainer"] or "").items()):
        quoted = sum((row["quoted_usd"] for row in group), Decimal(0))
        yield Drift(name, sum(row["runs"] for row in group), quoted, _total(group))


def quotas(actor: Actor | None, month: date) -> tuple[Quota, ...]:
    """Creators by how many LoRAs of theirs count in the month, from the LoRAs themselves."""
    access.check(actor, Action.VIEW)
    following = next_month(month)
    with database.reading() as connection:
        rows = SQL["quotas"].all(
            connection,
            month=datetime(month.year, month.month, 1, tzinfo=UTC),
            next_month=datetime(following.year, following.month, 1, tzinfo=UTC),
            limit=MOST_CREATORS,
        )
    return tuple(Quota(row["creator"], row["name"], row["used"]) for row in rows)


@dataclass(frozen=True)
class OrphanPod:
    """A pod of ours that belonged to no run; `ended_at` is None while it runs."""

    pod_id: str
    usd_per_hour: Decimal | None
    seen_at: datetime
    ended_at: datetime | None


def orphan_pods(actor: Actor | None, pods: Sequence[str]) -> tuple[OrphanPod, ...]:
    """The pods without a run of these ids, which an alert names; those that run first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["orphans_named"].all(connection, pods=list(pods[:MOST_PODS]))
    return tuple(OrphanPod(**row) for row in rows)


def keep_counts(now: datetime) -> int:
    """Keep `user_training_limits`, which other systems read, in its month and in step; how many changed."""
    with database.statement() as connection:
        return SQL["reset_counts"].run(connection, month=policy.month_of(now), now=now)


def keep_count(user_id: UUID, now: datetime) -> None:
    """Bring one user's row of `user_training_limits` into this month, for who comes before the job does."""
    with database.statement() as connection:
        SQL["reset_count"].run(connection, user_id=user_id, month=policy.month_of(now), now=now)
