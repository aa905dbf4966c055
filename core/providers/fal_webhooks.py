"""fal's webhooks: https://docs.fal.ai/model-apis/model-endpoints/webhooks.

Signed with ED25519 over request id, user id, timestamp and the body's hash, a line each. The public keys
are published as a JWKS, which may be kept for 24 hours and no longer.
"""

import base64
import binascii
import hashlib
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from core.errors import ErrorCategory, InvalidInput, NotSignedIn, ProviderError
from core.providers.api import id_of
from core.providers.http import USER_AGENT, Answer, parse_json, send, tls
from core.providers.training import WebhookEvent

KEPT = timedelta(hours=24)
# A signature that fits no key may mean new keys; strangers can't make us ask for them more often than this.
ASKED_AGAIN = timedelta(minutes=5)
LEEWAY = timedelta(seconds=300)
_PREFIX = "x-fal-webhook-"


class FalWebhooks:
    """Verifies fal's messages with the keys published at `jwks_url`. Safe to share between threads."""

    def __init__(
        self, *, jwks_url: str, transport: httpx.BaseTransport | None = None, deadline: float = 10.0
    ) -> None:
        self._url = jwks_url
        self._deadline = deadline
        # Without the key of our account: whoever publishes keys has no use for it.
        self._client = httpx.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            timeout=httpx.Timeout(deadline, connect=5.0),
            follow_redirects=False,
            trust_env=False,
            verify=tls(),
            transport=transport,
        )
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._asked_at: datetime | None = None
        self._lock = threading.Lock()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
        """The event of a message that fal signed within the last five minutes.

        Raises NotSignedIn for any other, InvalidInput for a body that names no request, ProviderError while
        the public keys cannot be had.
        """
        given = {name.lower(): value for name, value in headers.items()}
        request_id, user_id, timestamp, signature = (
            given.get(f"{_PREFIX}{part}", "") for part in ("request-id", "user-id", "timestamp", "signature")
        )
        _check_age(timestamp, now)
        signed = "\n".join((request_id, user_id, timestamp, hashlib.sha256(body).hexdigest())).encode()
        try:
            proof = bytes.fromhex(signature)
        except ValueError:
            raise NotSignedIn("The webhook's signature is not hexadecimal.") from None
        if not self._is_good(signed, proof, now):
            raise NotSignedIn("The webhook's signature fits none of fal's keys.")
        return _event_in(body, request_id)

    def close(self) -> None:
        self._client.close()

    def _is_good(self, signed: bytes, proof: bytes, now: datetime) -> bool:
        keys, asked_at = self._keys_at(now, KEPT)
        if any(_fits(key, signed, proof) for key in keys):
            return True
        if now - asked_at < ASKED_AGAIN:
            return False
        keys, _ = self._keys_at(now, ASKED_AGAIN)
        return any(_fits(key, signed, proof) for key in keys)

    def _keys_at(self, now: datetime, oldest: timedelta) -> tuple[tuple[Ed25519PublicKey, ...], datetime]:
        """The keys, asked for again when older than `oldest`."""
        with self._lock:
            if self._asked_at is None or not timedelta(0) <= now - self._asked_at < oldest:
                self._keys, self._asked_at = self._fetch(), now
            return self._keys, self._asked_at

    def _fetch(self) -> tuple[Ed25519PublicKey, ...]:
        answer = send(self._client, "GET", self._url, provider="fal", deadline_seconds=self._deadline)
        keys = _keys_in(answer)
        if answer.status != 200 or not keys:
            raise ProviderError(
                f"fal's public keys could not be had (HTTP {answer.status}). Check FAL_JWKS_URL.",
                category=ErrorCategory.SERVICE_ERROR,
                retryable=True,
                status=answer.status,
            )
        return keys


def _check_age(timestamp: str, now: datetime) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotSignedIn("The webhook carries no timestamp.")
    if abs(now.timestamp() - int(timestamp)) > LEEWAY.total_seconds():
        raise NotSignedIn("The webhook's timestamp is more than five minutes away from now.")


def _fits(key: Ed25519PublicKey, signed: bytes, proof: bytes) -> bool:
    try:
        key.verify(proof, signed)
    except InvalidSignature:
        return False
    return True


def _keys_in(answer: Answer) -> tuple[Ed25519PublicKey, ...]:
    listed = (answer.json_object() or {}).get("keys")
    found = (
        [_key_of(item) for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []
    )
    return tuple(key for key in found if key)


def _key_of(item: Mapping[str, Any]) -> Ed25519PublicKey | None:
    x = item.get("x")
    if item.get("kty", "OKP") != "OKP" or item.get("crv", "Ed25519") != "Ed25519" or not isinstance(x, str):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    except (ValueError, binascii.Error):
        return None


def _event_in(body: bytes, delivery: str) -> WebhookEvent:
    message = parse_json(body.decode("utf-8", "replace"))
    request_id = id_of(message.get("request_id")) if isinstance(message, dict) else None
    if request_id is None:
        raise InvalidInput("body", "The webhook's body names no request_id.")
    says = message.get("status")
    return WebhookEvent(request_id, delivery or request_id, says[:50] if isinstance(says, str) else "")
