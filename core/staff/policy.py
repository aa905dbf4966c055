"""Who may come in: pure rules over what a provider says and what is written down here."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from core.access import Role
from core.errors import Conflict, InvalidInput, NotSignedIn
from core.staff.models import Identity

MAX_EMAIL = 254
MAX_NAME = 120
MAX_REASON = 500
_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\".]+")


def identity_of(claims: Mapping[str, Any]) -> Identity:
    """Who a provider says that somebody is. NotSignedIn for claims that name no login of anybody."""
    words = {name: str(claims.get(name) or "").strip() for name in ("iss", "sub", "nonce", "email", "name")}
    if not words["iss"] or not words["sub"] or not words["nonce"]:
        raise NotSignedIn(
            "The sign-in provider did not say which login this is. Sign in again; if it stays, an admin"
            " has to look at the provider's settings."
        )
    verified = claims.get("email_verified")
    return Identity(
        issuer=words["iss"],
        subject=words["sub"],
        nonce=words["nonce"],
        email=words["email"].lower()[:MAX_EMAIL],
        verified=verified is True or verified == "true",
        name=words["name"][:MAX_NAME],
        issued_at=_moment(claims.get("iat")),
    )


def _moment(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def key_of(identity: Identity) -> str:
    """What a login is known by: the same for every copy of its cookie, and nothing can be read from it."""
    parts = (identity.issuer, identity.subject, identity.nonce)
    return hashlib.sha256("\n".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def check_address(identity: Identity, domains: Sequence[str]) -> None:
    """NotSignedIn unless the address is verified and of a domain that is let in; no domains: any."""
    if not identity.email:
        raise NotSignedIn("The sign-in provider gave no mail address. Use an account that has one.")
    if not identity.verified:
        raise NotSignedIn(
            f"The sign-in provider has not verified that {identity.email} is yours, so it opens nothing here."
            " Verify the address there, then sign in again."
        )
    if not is_allowed(identity.email, domains):
        raise NotSignedIn(
            f"{identity.email} is not an address of the company. Sign out there and use your work account."
        )


def is_allowed(email: str, domains: Sequence[str]) -> bool:
    """Whether the address is of one of the domains, or there are none."""
    return not domains or email.rpartition("@")[2] in domains


def span(identity: Identity, now: datetime, lasts: timedelta) -> datetime:
    """Until when this login counts, from the moment when the provider issued it.

    NotSignedIn for one that is over, or that says nothing of its age: a cookie that somebody kept.
    """
    if identity.issued_at is None or now >= min(identity.issued_at, now) + lasts:
        raise NotSignedIn("This sign-in is too old to begin with. Sign in again.")
    return min(identity.issued_at, now) + lasts


def unknown(email: str, admins: Sequence[str]) -> str:
    """Whom somebody who is not known here has to ask, as a sentence.

    Admins are named to people of their own domain alone.
    """
    domain = email.rpartition("@")[2]
    colleagues = [admin for admin in admins if admin.rpartition("@")[2] == domain]
    if colleagues:
        return f"{email} is not on the list of people here. Ask {' or '.join(colleagues[:3])} to add you."
    if admins:
        return f"{email} is not on the list of people here. Ask the admin of Studio Ops to add you."
    return (
        f"{email} is not on the list of people here, and nobody is yet. Whoever runs Studio Ops names the"
        " first admin in the setting FIRST_ADMIN."
    )


def email(text: str, domains: Sequence[str]) -> str:
    """A person's address in lower case. InvalidInput for what is none, or of a domain that is not let in."""
    found = text.strip().lower()
    if len(found) > MAX_EMAIL or not _EMAIL.fullmatch(found) or not found.isprintable():
        raise InvalidInput("email", "That is no mail address. It looks like ada@example.com.")
    if not is_allowed(found, domains):
        allowed = ", ".join(domains)
        raise InvalidInput("email", f"Only addresses of {allowed} are let in (setting STAFF_DOMAINS).")
    return found


def name(text: str) -> str:
    """A person's name on one line. InvalidInput for one that is too long."""
    found = " ".join(text.split())
    if len(found) > MAX_NAME:
        raise InvalidInput("name", f"A name has at most {MAX_NAME} characters; this has {len(found)}.")
    return found


def roles(given: Iterable[str]) -> frozenset[Role]:
    """The roles by their words. InvalidInput for none, or for one that there is not."""
    wanted = set(given)
    if not wanted:
        raise InvalidInput("roles", "Choose a role; without any somebody could do nothing here.")
    if unknown_ones := wanted - set(Role):
        raise InvalidInput("roles", f"There is no role {sorted(unknown_ones)[0][:40]!r}.")
    return frozenset(map(Role, wanted))


def reason(text: str) -> str | None:
    """Why, or None for nothing said. InvalidInput for a text that is too long."""
    found = text.strip()
    if len(found) > MAX_REASON:
        raise InvalidInput("reason", f"At most {MAX_REASON} characters; this has {len(found)}.")
    return found or None


def check_an_admin_stays(admins: Iterable[str], email: str, *, stays: bool) -> None:
    """Conflict when nobody but `email` is an admin, and they would not be one any more."""
    others = set(admins) - {email}
    if not stays and not others:
        raise Conflict(f"{email} is the last admin. Make somebody else an admin first.")
