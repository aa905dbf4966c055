"""Whether people can sign in: the settings, what the provider says of itself, and who may come in first."""

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from core import database
from core.configuration.models import Verdict
from core.door import LOOPBACK, SIGN_IN_NEEDS
from core.errors import ErrorCategory, ProviderError
from core.providers import oidc
from core.providers.oidc import Metadata
from core.settings import Settings
from core.staff.repository import SQL

_REMEDIES = {
    ErrorCategory.NETWORK: "Check OIDC_METADATA_URL, and whether this machine may reach it.",
    ErrorCategory.TIMEOUT: "Check whether this machine may reach it; else the provider has to be waited for.",
    ErrorCategory.SERVICE_ERROR: "The provider itself is not well; nobody new comes in until it is.",
}
_ADDRESS = "Set OIDC_METADATA_URL to the address that the provider names, which ends in " + oidc.WELL_KNOWN


def sign_in(found: Settings, _: datetime) -> Iterator[Verdict]:
    """The settings, the provider's metadata, the redirect address that it must know, and the domains."""
    if not found.signs_in:
        yield _not_set(found)
        return
    yield Verdict("sign-in", good=True, message=f"{', '.join(SIGN_IN_NEEDS)} are set")
    yield _provider(found)
    told = f"{found.redirect_uri} must be registered at the provider, also as the address after a sign-out"
    yield Verdict("redirect address", good=True, message=told)
    if found.allowed_domains:
        yield Verdict("STAFF_DOMAINS", good=True, message=f"lets in {', '.join(found.allowed_domains)} alone")
    else:
        told = "is not set: addresses of every domain can be let in. Set it to the company's own, such as"
        yield Verdict("STAFF_DOMAINS", good=True, message=f"{told} example.com", warning=True)


def _not_set(found: Settings) -> Verdict:
    """The settings stand together or not at all; some of them alone stop the start."""
    if found.profile == "local":
        return Verdict("sign-in", good=True, message="in the local profile the operator needs none")
    told = f"is not set, so the pages do not start. Set {', '.join(SIGN_IN_NEEDS)}, see .env.example."
    return Verdict("sign-in", good=True, message=told, warning=True)


def _provider(found: Settings) -> Verdict:
    host = oidc.host_of(found.oidc_metadata_url)
    try:
        said = oidc.read(found.oidc_metadata_url)
    except ProviderError as error:
        remedy = _REMEDIES.get(error.category, f"{_ADDRESS}.")
        words = f"{host}: {error.words}." if error.words else error.message
        return Verdict("sign-in provider", good=False, message=f"{words} {remedy}")
    if open_ones := [name for name, url in _endpoints(said).items() if not _is_safe(url)]:
        told = (
            f"{host} names {', '.join(open_ones)} without https://, where secrets would travel in the open."
        )
        return Verdict("sign-in provider", good=False, message=f"{told} {_ADDRESS}.")
    if "{" in said.issuer:
        told = f"{host} serves many companies there ({said.issuer}), and none can be told from another."
        return Verdict("sign-in provider", good=False, message=f"{told} {_ADDRESS} and names yours.")
    expected = found.oidc_metadata_url.removesuffix(oidc.WELL_KNOWN)
    if said.issuer.rstrip("/") != expected.rstrip("/"):
        told = f"answers, but calls itself {said.issuer}, which is not where it was asked. {_ADDRESS}."
        return Verdict("sign-in provider", good=True, message=told, warning=True)
    told = f"answers as {said.issuer} and names where people sign in, codes and keys are had"
    return Verdict("sign-in provider", good=True, message=told)


def _endpoints(said: Metadata) -> dict[str, str]:
    return {
        "authorization_endpoint": said.authorization_endpoint,
        "token_endpoint": said.token_endpoint,
        "jwks_uri": said.jwks_uri,
    }


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def admins(found: Settings, _: datetime) -> Iterator[Verdict]:
    """Whether somebody can come in who lets others in."""
    if not found.signs_in:
        yield Verdict("admins", good=True, message="none are needed where nobody signs in")
        return
    first, domains = found.first_admin_email, found.allowed_domains
    with database.reading() as connection:
        known = [row["email"] for row in SQL["admins"].all(connection)]
    able = [email for email in known if not domains or email.rpartition("@")[2] in domains]
    if first and domains and first.rpartition("@")[2] not in domains:
        told = (
            f"{first} is of no domain in STAFF_DOMAINS, so they never come in. Correct the one or the other."
        )
        yield Verdict("FIRST_ADMIN", good=bool(able), message=told, warning=bool(able))
    elif able:
        yield Verdict("admins", good=True, message=f"{len(able)} can come in and let others in")
    elif first:
        told = f"nobody yet; {first} becomes the first by signing in once (FIRST_ADMIN)"
        yield Verdict("admins", good=True, message=told, warning=True)
    else:
        told = (
            "nobody can let people in. Put your address into FIRST_ADMIN, restart web, and sign in with it."
        )
        yield Verdict("admins", good=False, message=told)
