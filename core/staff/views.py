"""The list of people, and who is signed in, for the admins' page."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core import access, database, settings
from core.access import Action, Actor
from core.staff.models import Person, Session
from core.staff.repository import SQL, to_person, to_session


def people(actor: Actor | None, now: datetime) -> Sequence[Person]:
    """Everybody on the list, those with access first, by name."""
    access.check(actor, Action.MANAGE_STAFF)
    with database.reading() as connection:
        return [to_person(row) for row in SQL["people"].all(connection, now=now, idle=_idle(now))]


def sessions(actor: Actor | None, email: str, now: datetime) -> Sequence[Session]:
    """A person's sign-ins that have not ended, newest first."""
    access.check(actor, Action.MANAGE_STAFF)
    with database.statement() as connection:
        return [
            to_session(row) for row in SQL["sessions"].all(connection, email=email, now=now, idle=_idle(now))
        ]


def _idle(now: datetime) -> datetime:
    """A sign-in whose person has done nothing since then is over."""
    return now - timedelta(minutes=settings.current().session_idle_minutes)
