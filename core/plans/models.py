"""A plan of a bulk resync, its items, and their states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.deliveries.windows import Filter


class PlanState(StrEnum):
    """Where a plan stands; a draft is a dry run that nobody has started."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    ABORTED = "aborted"


P = PlanState
TRANSITIONS: dict[PlanState, frozenset[PlanState]] = {
    P.DRAFT: frozenset({P.RUNNING}),
    P.RUNNING: frozenset({P.PAUSED, P.FINISHED, P.ABORTED}),
    P.PAUSED: frozenset({P.RUNNING, P.ABORTED}),
    P.FINISHED: frozenset(),
    P.ABORTED: frozenset(),
}
# What has been started; only `start` starts a draft.
STARTED = frozenset(PlanState) - {P.DRAFT}


class Group(StrEnum):
    """How the dry run sorts a generation; only what is eligible is touched."""

    ELIGIBLE = "eligible"
    DELIVERED = "delivered"
    IN_FLIGHT = "in_flight"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    NOT_YOURS = "not_yours"


class ItemState(StrEnum):
    """What became of an item. `answered`: its provider was asked and has no file for it (yet); `failed`: it
    could not be asked, or the file not be fetched; `skipped`: nothing was left to do; `not_begun`: the plan
    was aborted before."""

    LEFT_OUT = "left_out"
    WAITING = "waiting"
    WORKING = "working"
    DELIVERED = "delivered"
    ANSWERED = "answered"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_BEGUN = "not_begun"


# An item in one of these is over.
OVER = (ItemState.DELIVERED, ItemState.ANSWERED, ItemState.FAILED, ItemState.SKIPPED, ItemState.NOT_BEGUN)
# In these a plan has really asked for it.
DONE = (ItemState.DELIVERED, ItemState.ANSWERED, ItemState.FAILED)


@dataclass(frozen=True)
class Source:
    """The list that a plan is made from: a filter of Delivery health, a customer's tasks within one, pasted
    ids, or what failed in another plan."""

    filter: Filter | None = None
    user_id: UUID | None = None
    names: tuple[str, ...] = ()
    failed_of: UUID | None = None

    def query(self) -> dict[str, str]:
        """Its parameters for an address; pasted ids are only counted."""
        given = dict(self.filter.query()) if self.filter else {}
        if self.user_id is not None:
            given["user"] = str(self.user_id)
        if self.names:
            given["ids"] = str(len(self.names))
        if self.failed_of is not None:
            given["failed_of"] = str(self.failed_of)
        return given


@dataclass(frozen=True)
class Plan:
    """One plan. `counts` by group and `reads` by provider are the dry run's, `expected_s` is how long the
    providers' limits make it take; `results` by state, once it is over. Beside the names of people stand
    their ids, which are their addresses."""

    id: UUID
    name: str
    source: Mapping[str, str]
    state: PlanState
    reason: str | None
    counts: Mapping[str, int]
    reads: Mapping[str, int]
    expected_s: float
    results: Mapping[str, int] | None
    created_by: str
    created_by_id: str | None
    created_at: datetime
    started_by: str | None
    started_by_id: str | None
    started_at: datetime | None
    changed_by: str | None
    changed_by_id: str | None
    changed_at: datetime | None
    ended_at: datetime | None

    @property
    def eligible(self) -> int:
        """How many items it acts on."""
        return self.counts.get(Group.ELIGIBLE, 0)

    @property
    def total(self) -> int:
        """How many items it has, those left out included."""
        return sum(self.counts.values())

    @property
    def calls(self) -> int:
        """How many calls to providers it makes."""
        return sum(self.reads.values())


@dataclass(frozen=True)
class Item:
    """One item as a page or a file shows it; `changed`: its row was another one by the time of its turn."""

    n: int
    generation_id: UUID | None
    named: str | None
    provider: str | None
    stood: str | None
    sorted: Group
    state: ItemState
    sentence: str | None
    tries: int
    changed: bool
    begun_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Taken:
    """An item in the hands of a worker; `begun_at` is when the first of them took it."""

    plan_id: UUID
    n: int
    generation_id: UUID
    version: str
    stood: str
    tries: int
    begun_at: datetime


@dataclass(frozen=True)
class Judged:
    """What a generation is to a plan, and why, as a sentence; `calls` is how many reads it takes."""

    group: Group
    sentence: str
    calls: int = 0


@dataclass(frozen=True)
class Progress:
    """Items by state now; `pace` is how many were over within the last minute."""

    by_state: Mapping[str, int] = field(default_factory=dict)
    pace: int = 0

    @property
    def over(self) -> int:
        """How many are over."""
        return sum(self.by_state.get(state, 0) for state in OVER)

    @property
    def left(self) -> int:
        """How many are waiting or in work."""
        return sum(self.by_state.get(state, 0) for state in (ItemState.WAITING, ItemState.WORKING))

    @property
    def of(self) -> int:
        """How many there are to do."""
        return self.over + self.left

    def known(self) -> dict[str, Any]:
        """The counts as a plan keeps them when it is over."""
        return {state: n for state, n in self.by_state.items() if state != ItemState.LEFT_OUT}
