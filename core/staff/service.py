"""Lets people in and out: sign-ins, who is on the list, and what each may do. Everything is audited."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping

from core import access, audit, database, log, settings, standing
from core.access import Action, Actor, Role
from core.errors import Conflict, InvalidInput, NotFound, NotSignedIn
from core.staff import policy
from core.staff.models import Identity
from core.staff.repository import SQL

# What a person does is written down at most so often.
SEEN_EVERY = timedelta(seconds=60)
# Sign-ins that are over are remembered for so long.
FORGET_AFTER = timedelta(days=90)
_FIRST_ADMIN = "the setting FIRST_ADMIN"
_log = log.get(__name__)


def enter(identity: Identity, address: str | None, now: datetime) -> Actor:
    """The person behind a login, whose sign-in begins with the first call and counts until it ends.

    NotSignedIn says why somebody does not come in, or no longer.
    """
    key = policy.key_of(identity)
    if standing.known(key) is None:
        try:
            _begin(identity, key, address, now)
        except NotSignedIn as refused:
            _log.warning("staff.refused", email=identity.email, issuer=identity.issuer, why=refused.message)
            raise
        standing.forget()
    return access.signed_in(key)


def _begin(identity: Identity, key: str, address: str | None, now: datetime) -> None:
    current = settings.current()
    policy.check_address(identity, current.allowed_domains)
    until = policy.span(identity, now, timedelta(hours=current.session_hours))
    with database.transaction() as connection:
        if identity.email == current.first_admin_email:
            _make_first_admin(connection, identity, now)
        person = SQL["person"].first(connection, email=identity.email)
        if person is None:
            raise NotSignedIn(policy.unknown(identity.email, _admins(connection)))
        if not person["active"]:
            raise NotSignedIn(
                f"The access of {identity.email} was taken away. Ask an admin if that is a mistake."
            )
        begun = SQL["begin_session"].run(
            connection,
            key=key,
            email=identity.email,
            name=identity.name or person["name"],
            address=address,
            now=now,
            expires_at=until,
        )
        if begun:
            after = {"until": until.isoformat()}
            who = _who(identity, address)
            audit.record(connection, who, "staff.sign_in", "person", identity.email, after=after)


def _who(identity: Identity, address: str | None) -> Actor:
    """The person of a login that begins; what they may do is asked later."""
    name = identity.name or identity.email
    return Actor("person", identity.email, name, frozenset(), "page", email=identity.email, address=address)


def _make_first_admin(connection: Connection, identity: Identity, now: datetime) -> None:
    """The person named in the settings becomes an admin while there is none."""
    SQL["lock_staff"].run(connection)
    if _admins(connection):
        return
    SQL["make_admin"].run(connection, email=identity.email, name=identity.name, by=_FIRST_ADMIN, now=now)
    audit.record(
        connection,
        access.command_line(_FIRST_ADMIN),
        "staff.first_admin",
        "person",
        identity.email,
        after={"roles": [Role.ADMIN.value]},
    )


def seen(actor: Actor, at: datetime) -> None:
    """The person did something at that time, so that their sign-in does not end for idleness."""
    if actor.session is None:
        return
    found = standing.known(actor.session)
    if found is None or at - found.seen_at < SEEN_EVERY:
        return
    with database.statement() as connection:
        SQL["seen"].run(connection, key=actor.session, at=at)
    standing.forget()


def sign_out(actor: Actor | None, now: datetime) -> int:
    """End every sign-in of the person, on every machine; how many there were."""
    actor = access.check(actor, Action.VIEW)
    if actor.email is None:
        return 0
    with database.transaction() as connection:
        ended = _end(connection, actor, actor.email, None, "signed_out", now)
        if ended:
            audit.record(
                connection, actor, "staff.sign_out", "person", actor.email, after={"sign_ins_ended": ended}
            )
    standing.forget()
    return ended


def end_sessions(actor: Actor | None, email: str, now: datetime, key: str | None = None) -> int:
    """End one sign-in of a person, or all of them; how many. Conflict when none was open."""
    actor = access.check(actor, Action.MANAGE_STAFF)
    with database.transaction() as connection:
        ended = _end(connection, actor, email, key, "ended_by_admin", now)
        if not ended:
            raise Conflict(f"No sign-in of {email[: policy.MAX_EMAIL]} is open any more. Look again.")
        audit.record(
            connection, actor, "staff.end_sign_ins", "person", email, after={"sign_ins_ended": ended}
        )
    standing.forget()
    return ended


def add(actor: Actor | None, email: str, name: str, roles: Iterable[str], now: datetime) -> None:
    """Put somebody on the list. Raises InvalidInput for what cannot be meant, Conflict for who is there."""
    actor = access.check(actor, Action.MANAGE_STAFF)
    who = policy.email(email, settings.current().allowed_domains)
    called, wanted = policy.name(name), _words(policy.roles(roles))
    with database.transaction() as connection:
        by = {"by": actor.name, "by_id": actor.id}
        added = SQL["add"].run(connection, email=who, name=called, roles=wanted, now=now, **by)
        if not added:
            raise Conflict(f"{who} is on the list already. Change their roles there.")
        audit.record(connection, actor, "staff.add", "person", who, after={"name": called, "roles": wanted})


def change_roles(
    actor: Actor | None,
    email: str,
    roles: Iterable[str],
    now: datetime,
    *,
    seen_roles: Iterable[str],
    reason: str = "",
) -> None:
    """Give somebody these roles in place of those that were seen, within seconds everywhere.

    Raises Conflict when others have changed them meanwhile, or when no admin would be left.
    """
    actor = access.check(actor, Action.MANAGE_STAFF)
    wanted, before, why = policy.roles(roles), policy.roles(seen_roles), policy.reason(reason)
    if wanted == before:
        raise InvalidInput("roles", "These are the roles already; nothing was changed.")
    with database.transaction() as connection:
        SQL["lock_staff"].run(connection)
        person = SQL["person"].first(connection, email=email)
        if person is None:
            raise NotFound(f"There is nobody {email[: policy.MAX_EMAIL]!r} on the list.")
        if frozenset(person["roles"]) != before:
            raise Conflict("Somebody else has just changed these roles. Look again.")
        policy.check_an_admin_stays(
            _admins(connection), email, stays=Role.ADMIN in wanted or not _is_admin(person)
        )
        SQL["set_roles"].run(connection, email=email, roles=_words(wanted), now=now)
        audit.record(
            connection,
            actor,
            "staff.roles",
            "person",
            email,
            before={"roles": _words(before)},
            after={"roles": _words(wanted)},
            reason=why,
        )
    standing.forget()


def set_active(actor: Actor | None, email: str, now: datetime, *, active: bool, reason: str = "") -> None:
    """Take somebody's access away, which ends their sign-ins, or give it back with the roles they had.

    Raises Conflict when it is so already, or when no admin would be left.
    """
    actor = access.check(actor, Action.MANAGE_STAFF)
    why = policy.reason(reason)
    with database.transaction() as connection:
        SQL["lock_staff"].run(connection)
        person = SQL["person"].first(connection, email=email)
        if person is None:
            raise NotFound(f"There is nobody {email[: policy.MAX_EMAIL]!r} on the list.")
        if person["active"] is active:
            raise Conflict("That is so already. Look again.")
        policy.check_an_admin_stays(_admins(connection), email, stays=active or not _is_admin(person))
        SQL["set_active"].run(connection, email=email, active=active, now=now)
        ended = 0 if active else _end(connection, actor, email, None, "deactivated", now)
        audit.record(
            connection,
            actor,
            "staff.reactivate" if active else "staff.deactivate",
            "person",
            email,
            before={"active": not active},
            after={"active": active, "sign_ins_ended": ended},
            reason=why,
        )
    standing.forget()


def prune(now: datetime) -> int:
    """Forget sign-ins that have long been over; how many. Their cookies are refused by their age."""
    with database.statement() as connection:
        return SQL["forget_sessions"].run(connection, before=now - FORGET_AFTER)


def _end(connection: Connection, actor: Actor, email: str, key: str | None, why: str, now: datetime) -> int:
    by = {"by": actor.name, "by_id": actor.id}
    return SQL["end_sessions"].run(connection, email=email, key=key, why=why, now=now, **by)


def _admins(connection: Connection) -> list[str]:
    return [row["email"] for row in SQL["admins"].all(connection)]


def _is_admin(person: RowMapping) -> bool:
    return bool(person["active"]) and Role.ADMIN in person["roles"]


def _words(roles: Iterable[Role]) -> list[str]:
    """Roles as they are written down, always in the same order."""
    wanted = set(roles)
    return [role.value for role in Role if role in wanted]
