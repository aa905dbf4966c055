"""Failure groups in words: where people stand with one, at which stage it fails, how it develops."""

from datetime import tzinfo

from core.failures import policy
from core.failures.models import FailureGroup, GroupState, Stage
from core.failures.views import Counting
from pages.components import formats, times
from pages.components.health_panels import failure_title
from pages.components.states import Look

GROUPS: dict[GroupState, Look] = {
    GroupState.OPEN: Look("Open", "error", "bad", "Nobody sees to it yet."),
    GroupState.ACKNOWLEDGED: Look("In hand", "front_hand", "attention", "Somebody sees to it."),
    GroupState.RESOLVED: Look(
        "Resolved", "check_circle", "good", "It is over; it opens by itself if it comes back."
    ),
    GroupState.IGNORED: Look(
        "Ignored", "notifications_paused", "waiting", "It is left alone until that day."
    ),
}
STAGES: dict[Stage, str] = {
    Stage.SENDING: "while it is sent to the provider",
    Stage.GENERATING: "while it is generated",
    Stage.FETCHING: "while its file is fetched",
    Stage.STORING: "while its file is stored",
    Stage.KEEPING: "after the provider has deleted its file",
}


# A group's message is cut here.
_LONGEST = 160


def title(group: FailureGroup) -> str:
    """A failure group in one line."""
    return failure_title(group) + ("…" if len(group.message) >= _LONGEST else "")


def stage(group: FailureGroup) -> str:
    """At which stage its generations fail."""
    return STAGES[policy.stage(group)]


def trend(group: FailureGroup) -> tuple[str, str]:
    """How many of the last 24 hours against the 24 before, in words, and their sign's name."""
    if not group.n_day and not group.n_day_before:
        return "none in 48 h", "trending_flat"
    if group.n_day == group.n_day_before:
        return f"as many as the day before ({formats.count(group.n_day_before)})", "trending_flat"
    icon = "trending_up" if group.n_day > group.n_day_before else "trending_down"
    return f"{formats.count(group.n_day_before)} the day before", icon


def counted_until(found: Counting, zone: tzinfo) -> str:
    """Of when the groups' numbers are, beside the moment at which the page was drawn."""
    until = f"failures counted until {times.clock_time(found.at, zone)}" if found.at else "not counted yet"
    return f"{until}, newer ones are being counted" if found.more and found.at else until


def users(group: FailureGroup) -> str:
    """How many customers are affected."""
    if not group.users_of:
        return formats.NO_DATA
    said = formats.counted(group.users, "customer", "customers") if group.users else "no customer's"
    return said if group.users_of >= group.n else f"{said} of the newest {formats.count(group.users_of)}"
