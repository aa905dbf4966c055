"""What operations decide: how much a month may cost, and more for once. Each with its reason, audited."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from core import access, audit, database
from core.access import Action, Actor
from core.budget import policy
from core.budget.models import SCOPES, Override
from core.budget.repository import SQL, position, to_override
from core.errors import Conflict, InvalidInput


def set_limit(
    actor: Actor | None, scope: str, limit_usd: Decimal, alert_usd: Decimal, reason: str, now: datetime
) -> None:
    """What a month of this scope may cost from now on, and from which sum on it is spoken of.

    Raises InvalidInput for what cannot be meant, Conflict when that holds already.
    """
    actor = access.check(actor, Action.MANAGE_BUDGET)
    _check_scope(scope)
    limit, alert = (
        policy.amount("limit_usd", limit_usd, zero=True),
        policy.amount("alert_usd", alert_usd, zero=True),
    )
    if alert > limit:
        raise InvalidInput(
            "alert_usd", f"The alert of ${alert:.2f} would come after the limit of ${limit:.2f}."
        )
    why = policy.reason(reason)
    with database.transaction() as connection:
        stands = position(connection, scope, policy.month_of(now), now)
        before = stands.limit_usd - stands.override_usd
        if (before, stands.alert_usd) == (limit, alert):
            raise Conflict("That holds already; nothing was changed.")
        written = SQL["add_limit"].run(
            connection,
            scope=scope,
            limit_usd=limit,
            alert_usd=alert,
            valid_from=now,
            set_by=actor.name,
            set_by_id=actor.id,
            reason=why,
        )
        if not written:
            raise Conflict("Somebody else has just changed it. Look again.")
        audit.record(
            connection,
            actor,
            "budget.limit",
            "budget",
            scope,
            before={"limit_usd": str(before), "alert_usd": str(stands.alert_usd)},
            after={"limit_usd": str(limit), "alert_usd": str(alert)},
            reason=why,
        )


def override(
    actor: Actor | None,
    override_id: UUID,
    scope: str,
    amount_usd: Decimal,
    reason: str,
    expires_at: datetime,
    now: datetime,
) -> Override:
    """More money for this month, until `expires_at` or the month's end; once an id, however often pressed.

    Raises InvalidInput for what is no amount, reason or expiry, Conflict where nothing limits the scope.
    """
    actor = access.check(actor, Action.MANAGE_BUDGET)
    _check_scope(scope)
    amount, why, month = policy.amount("amount_usd", amount_usd), policy.reason(reason), policy.month_of(now)
    until = policy.expiry(expires_at, month, now)
    with database.transaction() as connection:
        if not position(connection, scope, month, now).has_limit:
            raise Conflict(f"Nothing limits {scope}, so nothing has to be overridden.")
        written = SQL["add_override"].run(
            connection,
            id=override_id,
            scope=scope,
            month=month,
            amount_usd=amount,
            reason=why,
            approved_by=actor.name,
            approved_by_id=actor.id,
            now=now,
            expires_at=until,
        )
        if written:
            audit.record(
                connection,
                actor,
                "budget.override",
                "budget",
                scope,
                after={
                    "override": str(override_id),
                    "amount_usd": str(amount),
                    "expires_at": until.isoformat(),
                },
                reason=why,
            )
        known = [to_override(row) for row in SQL["overrides"].all(connection, month=month)]
    found = next((one for one in known if one.id == override_id), None)
    if found is None:
        raise Conflict("This override was given in another month. Begin with a new one.")
    return found


def end_override(actor: Actor | None, override_id: UUID, now: datetime) -> Override:
    """Take an override back; what was reserved by it stays reserved. Raises Conflict when it has ended."""
    actor = access.check(actor, Action.MANAGE_BUDGET)
    with database.transaction() as connection:
        row = SQL["end_override"].first(connection, id=override_id, now=now, by=actor.name, by_id=actor.id)
        if row is None:
            raise Conflict("It has ended already. Look again.")
        ended = to_override(row)
        audit.record(
            connection,
            actor,
            "budget.override_ended",
            "budget",
            ended.scope,
            before={"override": str(override_id), "amount_usd": str(ended.amount_usd)},
        )
    return ended


def _check_scope(scope: str) -> None:
    if scope not in SCOPES:
        raise InvalidInput("scope", f"There is no budget {scope[:40]!r}. There are: {', '.join(SCOPES)}.")
