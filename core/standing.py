"""Whether a sign-in still stands, and what its person may do today; asked before everything that they do."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import database, queries, settings
from core.errors import NotSignedIn

# How long an answer is kept in this process: within this time a role that was taken, or a sign-in that
# another process has ended, still counts. Seconds.
KEPT_S = 3.0
MOST_KEPT = 2_000

_SQL = queries.load("standing")
_kept: "OrderedDict[str, tuple[float, Standing | None]]" = OrderedDict()
_guard = threading.Lock()

_ENDED = {
    "signed_out": "You have signed out. Sign in again to go on.",
    "ended_by_admin": "An admin has ended this sign-in. Sign in again to go on.",
    "deactivated": "Your access was taken away. Ask an admin if that is a mistake.",
}


@dataclass(frozen=True)
class Standing:
    """A sign-in as it is written down; `roles` are those of its person today, by their words."""

    email: str
    name: str
    address: str | None
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_why: str | None
    roles: frozenset[str]
    active: bool


def refusal(found: Standing, now: datetime, idle: timedelta) -> str | None:
    """Why this sign-in no longer counts, as a sentence; None while it does."""
    if not found.active:
        return _ENDED["deactivated"]
    if found.ended_at is not None:
        return _ENDED.get(found.ended_why or "", _ENDED["signed_out"])
    if now >= found.expires_at:
        return "This sign-in is too old to go on with. Sign in again."
    if now >= found.seen_at + idle:
        return "You were signed out because nothing was done here for a while. Sign in again."
    return None


def known(key: str) -> Standing | None:
    """The sign-in of this key, whether or not it still counts; None for one that never began."""
    at = time.monotonic()
    with _guard:
        kept = _kept.get(key)
    if kept is not None and at < kept[0]:
        return kept[1]
    with database.statement() as connection:
        row = _SQL["of_session"].first(connection, key=key)
    found = Standing(**{**row, "roles": frozenset(row["roles"])}) if row else None
    with _guard:
        _kept[key] = (at + KEPT_S, found)
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return found


def of(key: str) -> Standing:
    """The sign-in of this key, which counts. NotSignedIn says why one does not."""
    found = known(key)
    if found is None:
        raise NotSignedIn("This sign-in is not known here. Sign in again.")
    why_not = refusal(found, database.now(), timedelta(minutes=settings.current().session_idle_minutes))
    if why_not is not None:
        raise NotSignedIn(why_not)
    return found


def forget() -> None:
    """Ask anew from now on; after a change in this process."""
    with _guard:
        _kept.clear()
