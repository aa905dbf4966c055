"""Keeps the numbers of failure groups, and takes what people say of them."""

from datetime import datetime, timedelta

from core import access, audit, database, said
from core.access import Action, Actor
from core.deliveries import windows
from core.deliveries.rollups import KEPT
from core.deliveries.windows import DAY, Filter
from core.errors import Conflict
from core.failures import policy
from core.failures.models import FailureGroup, GroupState
from core.failures.repository import SQL, find, to_group

COURSE_DAYS = 14
# So many groups are looked at more closely in a run, each by so many of its newest rows.
GROUPS_AT_ONCE, ROWS_LOOKED_AT = 50, 1_000
# What the audit log calls it when a group comes to stand so.
_ACTS = {
    GroupState.OPEN: "failure.reopen",
    GroupState.ACKNOWLEDGED: "failure.acknowledge",
    GroupState.RESOLVED: "failure.resolve",
    GroupState.IGNORED: "failure.ignore",
}


def count(now: datetime) -> int:
    """Bring every group's numbers up to date, and open those that came back; how many changed.

    Reads the hourly and daily counts, and of groups that have changed some rows by their index.
    """
    today, day_since = windows.day_of(now), Filter("24h").span(now)[0]
    with database.transaction() as connection:
        changed = SQL["count_groups"].one(
            connection,
            since=today - KEPT,
            day_since=day_since,
            day_before=day_since - DAY,
            course_since=today - timedelta(days=COURSE_DAYS - 1),
            today=today,
        )["changed"]
        SQL["look_at_rows"].run(connection, groups=GROUPS_AT_ONCE, rows=ROWS_LOOKED_AT)
        job = access.job("failure_groups")
        for row in SQL["reopen_due"].all(connection, now=now):
            audit.record(
                connection,
                job,
                "failure.reopen",
                "failure",
                row["signature"],
                after={"state": GroupState.OPEN},
                reason="It came back.",
            )
        SQL["drop_gone"].run(connection)
    return int(changed)


def change(
    actor: Actor | None,
    signature: str,
    state: GroupState,
    now: datetime,
    *,
    seen: GroupState,
    note: str = "",
    owner: str = "",
    until: datetime | None = None,
) -> FailureGroup:
    """Say where people stand with a group that was seen at `seen`; `until` is when ignoring it ends.

    Who acknowledges one has it, unless another `owner` is named. Raises NotFound, InvalidInput at its field,
    or Conflict with the reason.
    """
    actor = access.check(actor, Action.MANAGE_FAILURES)
    words = said.text("note", note, policy.LONGEST_NOTE)
    whose = said.text("owner", owner, policy.LONGEST_OWNER)
    ends = policy.check_until(until, now) if state is GroupState.IGNORED else None
    with database.transaction() as connection:
        before = find(connection, signature)
        policy.check_change(before, state, seen)
        takes = (before.owner, before.owner_id)
        if whose:
            takes = (whose, None)
        elif state is GroupState.ACKNOWLEDGED:
            takes = (actor.name, actor.id)
        row = SQL["change"].first(
            connection,
            signature=signature,
            state=state,
            ignored_until=ends,
            owner=takes[0],
            owner_id=takes[1],
            note=words or before.note,
            by=actor.name,
            by_id=actor.id,
            now=now,
            from_states=[seen],
        )
        if row is None:
            policy.check_change(find(connection, signature), state, seen)
            raise Conflict("It has changed since you saw it. Look again.")
        after = to_group(row)
        audit.record(
            connection,
            actor,
            _ACTS[state],
            "failure",
            signature,
            before={"state": before.state, "owner": before.owner},
            after={"state": after.state, "owner": after.owner, "ignored_until": ends},
            reason=words,
        )
    return after
