"""Who calls the API: a key, or a customer by a token of Supabase's.

A token that was good is taken for good for a minute, and never beyond its expiry: customers poll, and
checking a signature, or waiting for a thread that may fetch keys, is a large part of such an answer's cost.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import jwt
from anyio import to_thread
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from core import access, settings
from core.access import Actor, Role
from core.errors import NotAllowed, NotSignedIn
from core.settings import Settings
from core.web import jwks

_MAX_TOKEN = 8_192
GOOD_FOR_S = 60.0
REMEMBERED = 10_000
# They describe the headers in the API's document; actor_of reads and refuses.
_BEARER = HTTPBearer(
    scheme_name="bearer", description="An API key, or a customer's token of Supabase's", auto_error=False
)
_KEY = APIKeyHeader(name="X-API-Key", scheme_name="key", description="An API key", auto_error=False)
_USER = HTTPBearer(scheme_name="user", description="A customer's token of Supabase's", auto_error=False)


async def caller(
    request: Request, _bearer: Annotated[Any, Security(_BEARER)], _key: Annotated[Any, Security(_KEY)]
) -> Actor:
    """`actor_of` for routes; it takes a thread only where published keys may have to be fetched."""
    return await _actor_of(request)


async def customer(request: Request, _user: Annotated[Any, Security(_USER)]) -> Actor:
    """The customer who calls, by their own token alone. NotAllowed for an API key."""
    actor = await _actor_of(request)
    if actor.kind != "customer":
        raise NotAllowed("This is for a user's own token; an API key belongs to no user. Send the user's.")
    try:
        UUID(actor.id)
    except ValueError:
        raise NotSignedIn("The token names no user of ours.") from None
    return actor


@dataclass(frozen=True)
class _Good:
    """Whose token that was, checked with these settings; after `until` (Unix time) it is checked again."""

    actor: Actor
    checked_with: Settings
    until: float


_good: dict[bytes, _Good] = {}


async def _actor_of(request: Request) -> Actor:
    current = settings.current()
    if current.supabase_jwks_url and _remembered(_given(request), current) is None:
        return await to_thread.run_sync(actor_of, request)
    return actor_of(request)


def actor_of(request: Request) -> Actor:
    """The caller, by `Authorization: Bearer <key or token>` or `X-API-Key`. NotSignedIn says what to send."""
    current = settings.current()
    given = _given(request)
    if not given or len(given) > _MAX_TOKEN:
        raise NotSignedIn("Send an API key or a user's token as “Authorization: Bearer …”.")
    return _remembered(given, current) or _by_key(given, current) or _by_token(given, current)


def _given(request: Request) -> str:
    """The key or token of a request; empty when there is none."""
    header = request.headers.get("authorization", "")
    scheme, _, credential = header.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


def _remembered(given: str, current: Settings) -> Actor | None:
    known = _good.get(_digest(given))
    good = known is not None and known.checked_with is current and time.time() < known.until
    return known.actor if known is not None and good else None


def _remember(given: str, actor: Actor, expires_at: float, current: Settings) -> None:
    if len(_good) >= REMEMBERED:
        _good.clear()
    _good[_digest(given)] = _Good(actor, current, min(expires_at, time.time() + GOOD_FOR_S))


def _digest(given: str) -> bytes:
    return hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()


def _by_key(given: str, current: Settings) -> Actor | None:
    """Compare with every key in constant time; a key without a name is called by its hash."""
    digest = _digest(given)
    found = [
        key for key in current.api_keys if hmac.compare_digest(digest, _digest(key.key.get_secret_value()))
    ]
    if not found:
        return None
    return access.api_key(found[0].name or f"key-{digest.hex()[:8]}", Role(found[0].role))


def _by_token(given: str, current: Settings) -> Actor:
    """A customer of Supabase's, by the signature, audience and expiry of their token."""
    known = current.supabase_jwt_secret is not None or bool(current.supabase_jwks_url)
    if not known or given.count(".") != 2:
        raise NotSignedIn("That API key is not known. Check OPS_API_KEY.")
    try:
        key, algorithm = _key_for(jwt.get_unverified_header(given), current)
        claims = jwt.decode(
            given,
            key,
            algorithms=[algorithm],
            audience="authenticated",
            options={"require": ["exp", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise NotSignedIn("The token has expired. Sign in again.") from None
    except jwt.InvalidTokenError:
        raise NotSignedIn("The token is not valid.") from None
    actor = Actor("customer", str(claims["sub"]), str(claims["sub"]), frozenset(), "api")
    _remember(given, actor, float(claims["exp"]), current)
    return actor


def _key_for(header: dict[str, Any], current: Settings) -> tuple[Any, str]:
    """What a token of this header is checked by: the shared secret, or a published key of that algorithm."""
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm == "HS256" and current.supabase_jwt_secret is not None:
        return current.supabase_jwt_secret.get_secret_value(), "HS256"
    if current.supabase_jwks_url and algorithm in jwks.ALGORITHMS and isinstance(key_id, str):
        key = jwks.published(current.supabase_jwks_url).key(key_id)
        if key.algorithm_name == algorithm:
            return key, str(algorithm)
    raise jwt.InvalidAlgorithmError
