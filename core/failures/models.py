"""A failure group and its states."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.deliveries.models import DeliveryState


class GroupState(StrEnum):
    """Where people stand with a failure group."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    IGNORED = "ignored"


G = GroupState
# One that was resolved, or ignored for a time, opens by itself when it comes back.
TRANSITIONS: dict[GroupState, frozenset[GroupState]] = {
    G.OPEN: frozenset({G.ACKNOWLEDGED, G.RESOLVED, G.IGNORED}),
    G.ACKNOWLEDGED: frozenset({G.OPEN, G.RESOLVED, G.IGNORED}),
    G.RESOLVED: frozenset({G.OPEN}),
    G.IGNORED: frozenset({G.OPEN, G.ACKNOWLEDGED, G.RESOLVED}),
}


class Stage(StrEnum):
    """Where on its way a generation fails."""

    SENDING = "sending"
    GENERATING = "generating"
    FETCHING = "fetching"
    STORING = "storing"
    KEEPING = "keeping"


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one signature. `n` stand like that now; `n_day` were begun within 24 hours, `n_day_before`
    within the 24 before; `days` by the day, oldest first. `users` customers among the newest `users_of`."""

    signature: str
    model: str
    stands: DeliveryState
    category: str
    code: str
    message: str
    n: int
    n_day: int
    n_day_before: int
    days: tuple[int, ...]
    users: int
    users_of: int
    first_seen_at: datetime
    newest_at: datetime
    state: GroupState
    ignored_until: datetime | None
    owner: str | None
    owner_id: str | None
    note: str | None
    changed_by: str | None
    changed_by_id: str | None
    changed_at: datetime | None
    reopened_at: datetime | None
