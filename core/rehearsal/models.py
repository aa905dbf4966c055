"""A rehearsal: what stands of it, and how its rows are told from all others."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

# Every generation and customer of a rehearsal has an id in this range. They are UUIDs of version 8,
# which no database and no library makes by itself, so no other row can be among them.
MARK = "5ce9e000-0000-8"
FIRST = UUID(f"{MARK}000-0000-000000000000")
LAST = UUID(f"{MARK}fff-ffff-ffffffffffff")
# The next digit says what it is.
HISTORY, PRESENT, LIVE, TRAINING, LORA, TRAINING_CALL, CUSTOMER = "0", "1", "2", "3", "4", "5", "f"

# The worker's job that fills, clears and makes traffic.
TASK = "rehearse"

SMALLEST, MOST = 500, 5_000_000
SHORTEST_DAYS, MOST_DAYS = 1, 365
MOST_PER_MINUTE = 60
MOST_MINUTES = 120


class State(StrEnum):
    """Where a rehearsal stands; filling and clearing can be broken off and begun again."""

    FILLING = "filling"
    READY = "ready"
    CLEARING = "clearing"


@dataclass(frozen=True)
class Standing:
    """The rehearsal as it is. While it is filled or cleared, `done` of `total` rows are."""

    state: State
    seed: int
    days: int
    generations: int
    done: int
    total: int
    begun_at: datetime
    begun_by: str
    usage_taken_at: tuple[datetime, ...]
    traffic_per_minute: int
    traffic_since: datetime | None
    traffic_until: datetime | None

    @property
    def is_ready(self) -> bool:
        """Whether it can be rehearsed with."""
        return self.state is State.READY

    @property
    def is_filling(self) -> bool:
        """Whether its history is being written."""
        return self.state is State.FILLING

    def runs(self, now: datetime) -> bool:
        """Whether live generations are being made."""
        return self.traffic_per_minute > 0 and self.traffic_until is not None and now < self.traffic_until


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind belong to the rehearsal."""

    generations: int
    events: int
    callbacks: int
    costs: int
    files: int
    trainings: int
    customers: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Progress:
    """How far something long is: `done` of `total`, and what is being done."""

    what: str
    done: int
    total: int


def numbered_id(kind: str, n: int) -> UUID:
    """The n-th id of a kind, the same on every machine; history's are made by `fill` in the same way."""
    return UUID(f"{MARK}{kind}00-b000-{n:012x}")


def random_id(kind: str) -> UUID:
    """A new id of a kind."""
    drawn = uuid.uuid4().hex
    return UUID(f"{MARK}{kind}00-b{drawn[:3]}-{drawn[-12:]}")


def is_marked(generation_id: UUID) -> bool:
    """Whether the id belongs to a rehearsal."""
    return FIRST <= generation_id <= LAST
