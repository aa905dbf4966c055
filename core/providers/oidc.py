"""What a sign-in provider says of itself: OpenID Connect Discovery 1.0, section 3.

https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from core.errors import ErrorCategory, ProviderError
from core.providers import http

# Sign-in itself waits for so long.
DEADLINE_S = 5.0
WELL_KNOWN = "/.well-known/openid-configuration"
_NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Metadata:
    """Who a provider says that it is, and where people, codes and keys are had."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


def host_of(url: str) -> str:
    """The machine that an address names, for a sentence."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "the sign-in provider"
    except ValueError:
        return "the sign-in provider"


def read(url: str, *, deadline_s: float = DEADLINE_S) -> Metadata:
    """The metadata at `url`, asked for anew.

    Raises ProviderError: a network that is away and a timeout by these names, an answer with a 5xx status as
    a fault of the service, anything else that is no such document as VALIDATION.
    """
    host = host_of(url)
    # As sign-in itself asks, through the environment's proxy too.
    with httpx.Client(
        headers={"User-Agent": http.USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
        timeout=deadline_s,
        follow_redirects=False,
    ) as client:
        answer = http.send(client, "GET", url, provider=host, deadline_seconds=deadline_s)
    if answer.status >= 500:
        raise _fault(f"{host} answers with HTTP {answer.status}.", ErrorCategory.SERVICE_ERROR, answer.status)
    document = answer.json_object() if answer.status == 200 else None
    if document is None:
        said = f"{host} has no such document there (HTTP {answer.status})."
        raise _fault(said, ErrorCategory.VALIDATION, answer.status)
    found = {name: value for name in _NEEDED if isinstance(value := document.get(name), str) and value}
    if missing := [name for name in _NEEDED if name not in found]:
        said = f"what {host} has there does not name {', '.join(missing)}."
        raise _fault(said, ErrorCategory.VALIDATION, answer.status)
    return Metadata(**found)


def _fault(sentence: str, category: ErrorCategory, status: int) -> ProviderError:
    retryable = category is ErrorCategory.SERVICE_ERROR
    return ProviderError(sentence, category=category, retryable=retryable, status=status)
