"""What a failure group is, and what may be done with it: pure decisions."""

from datetime import datetime, timedelta

from core.deliveries.models import RESULT_GONE, STORAGE_FAILED, STORAGE_REFUSED, DeliveryState
from core.errors import Conflict, ErrorCategory, InvalidInput
from core.failures.models import TRANSITIONS, FailureGroup, GroupState, Stage

LONGEST_NOTE, LONGEST_OWNER = 500, 80
# One that is seen for the first time within this is new.
NEW_FOR = timedelta(hours=24)
LONGEST_IGNORED = timedelta(days=90)
_SENDING = frozenset({ErrorCategory.AUTHENTICATION, ErrorCategory.RATE_LIMIT})


def stage(group: FailureGroup) -> Stage:
    """Where on their way its generations fail."""
    if group.code in {STORAGE_FAILED, STORAGE_REFUSED}:
        return Stage.STORING
    if group.stands is DeliveryState.LOST or group.code == RESULT_GONE:
        return Stage.KEEPING
    if group.category == ErrorCategory.FILE_ERROR:
        return Stage.FETCHING
    if group.category in _SENDING or (
        group.stands is DeliveryState.NEEDS_ATTENTION and group.category == ErrorCategory.NETWORK
    ):
        return Stage.SENDING
    return Stage.GENERATING


def is_new(group: FailureGroup, now: datetime) -> bool:
    """Whether it was seen for the first time within the last day."""
    return now - group.first_seen_at <= NEW_FOR


def check_until(until: datetime | None, now: datetime) -> datetime:
    """Until when it is ignored. Raises InvalidInput for none, one that is over, or one too far away."""
    if until is None or until <= now:
        raise InvalidInput("until", "Choose a day to come, until which it is ignored.")
    if until > now + LONGEST_IGNORED:
        raise InvalidInput("until", f"It can be ignored for at most {LONGEST_IGNORED.days} days at once.")
    return until


def check_change(group: FailureGroup, state: GroupState, seen: GroupState) -> None:
    """Raise Conflict with the reason why it cannot become that, for somebody who saw it at `seen`."""
    if group.state is not seen:
        who = f" by {group.changed_by}" if group.changed_by else ""
        raise Conflict(f"It has become {group.state}{who} since you saw it. Look again.")
    if state is not group.state and state not in TRANSITIONS[group.state]:
        raise Conflict(f"It is {group.state}, and cannot become {state}.")
