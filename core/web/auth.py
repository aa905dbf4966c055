"""Who calls the API: a key, or a customer by a token of Supabase's."""

import hashlib
import hmac
from typing import Annotated, Any

import jwt
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from core import access, settings
from core.access import Actor
from core.errors import NotSignedIn
from core.settings import Settings

_MAX_TOKEN = 8_192
# They describe the two headers in the API's document; actor_of reads and refuses.
_BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key, or a customer's token of Supabase's", auto_error=False
)
_KEY = APIKeyHeader(name="X-API-Key", scheme_name="key", description="An API key", auto_error=False)


async def caller(
    request: Request, _bearer: Annotated[Any, Security(_BEARER)], _key: Annotated[Any, Security(_KEY)]
) -> Actor:
    """`actor_of` for routes; it waits for nothing, so it takes no thread."""
    return actor_of(request)


def actor_of(request: Request) -> Actor:
    """The caller, by `Authorization: Bearer <key or token>` or `X-API-Key`. NotSignedIn says what to send."""
    current = settings.current()
    header = request.headers.get("authorization", "")
    scheme, _, credential = header.partition(" ")
    given = credential.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not given or len(given) > _MAX_TOKEN:
        raise NotSignedIn("Send an API key or a user's token as “Authorization: Bearer …”.")
    return _by_key(given, current) or _by_token(given, current)


def _by_key(given: str, current: Settings) -> Actor | None:
    """Compare with every key in constant time; the key's name is a hash, so that logs can tell keys apart."""
    digest = hashlib.sha256(given.encode()).digest()
    found = [hmac.compare_digest(digest, hashlib.sha256(key.encode()).digest()) for key in current.api_keys]
    return access.api_key(f"key-{digest.hex()[:8]}") if any(found) else None


def _by_token(given: str, current: Settings) -> Actor:
    """A customer of Supabase's, by the signature, audience and expiry of their token."""
    if current.supabase_jwt_secret is None or given.count(".") != 2:
        raise NotSignedIn("That API key is not known. Check OPS_API_KEY.")
    try:
        claims = jwt.decode(
            given,
            current.supabase_jwt_secret.get_secret_value(),
            algorithms=["HS256"],
            audience="authenticated",
            options={"require": ["exp", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise NotSignedIn("The token has expired. Sign in again.") from None
    except jwt.InvalidTokenError:
        raise NotSignedIn("The token is not valid.") from None
    return Actor("customer", str(claims["sub"]), str(claims["sub"]), frozenset(), "api")
