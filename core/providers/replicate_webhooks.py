"""Replicate's webhooks: https://replicate.com/docs/topics/webhooks/verify-webhook.

Signed with HMAC-SHA256 over `id.timestamp.body`; the key is the account's, from a setting or asked for. A
message may come twice and out of order.
"""

import base64
import binascii
import hashlib
import hmac
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from core.errors import InvalidInput, NotSignedIn, SettingsError
from core.providers.api import Api, id_of
from core.providers.http import parse_json
from core.providers.training import WebhookEvent

KEPT = timedelta(hours=24)
# A signature that does not fit may mean a new secret; strangers can't make us ask more often than this.
ASKED_AGAIN = timedelta(minutes=5)
LEEWAY = timedelta(seconds=300)
_PREFIX = "whsec_"


class ReplicateWebhooks:
    """Verifies Replicate's messages with `secret`, or with the one that the account has."""

    def __init__(self, api: Api, secret: str = "") -> None:
        self._api = api
        self._given = _key_of(secret) if secret else None
        if secret and self._given is None:
            raise SettingsError(
                "REPLICATE_WEBHOOK_SECRET must be whsec_ and base64 behind it. Copy it again."
            )
        self._asked: bytes = b""
        self._asked_at: datetime | None = None
        self._lock = threading.Lock()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
        """The event of a message that Replicate signed within the last five minutes.

        Raises NotSignedIn for any other, InvalidInput for a body that names no training, ProviderError while
        the secret cannot be had.
        """
        given = {name.lower(): value for name, value in headers.items()}
        delivery, timestamp, signatures = (
            given.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
        )
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12) or not delivery:
            raise NotSignedIn("The webhook carries no id or no timestamp.")
        if abs(now.timestamp() - int(timestamp)) > LEEWAY.total_seconds():
            raise NotSignedIn("The webhook's timestamp is more than five minutes away from now.")
        signed = f"{delivery}.{timestamp}.".encode() + body
        if not self._is_good(signed, signatures, now):
            raise NotSignedIn("The webhook's signature does not fit.")
        return _event_in(body, delivery)

    def _is_good(self, signed: bytes, signatures: str, now: datetime) -> bool:
        if self._given is not None:
            return _fits(self._given, signed, signatures)
        key, asked_at = self._key_at(now, KEPT)
        if _fits(key, signed, signatures):
            return True
        if now - asked_at < ASKED_AGAIN:
            return False
        return _fits(self._key_at(now, ASKED_AGAIN)[0], signed, signatures)

    def _key_at(self, now: datetime, oldest: timedelta) -> tuple[bytes, datetime]:
        """The account's secret, asked for again when older than `oldest`."""
        with self._lock:
            if self._asked_at is None or not timedelta(0) <= now - self._asked_at < oldest:
                self._asked, self._asked_at = self._fetch(), now
            return self._asked, self._asked_at

    def _fetch(self) -> bytes:
        answer = self._api.ask("GET", "/webhooks/default/secret")
        secret = (answer.json_object() or {}).get("key")
        key = _key_of(secret) if isinstance(secret, str) else None
        if answer.status != 200 or key is None:
            # Never with the body's words: they may hold the secret.
            raise self._api.error(answer, words="the webhooks' secret could not be had")
        return key


def _key_of(secret: str) -> bytes | None:
    """The bytes behind `whsec_`; None for a secret of another form."""
    try:
        return base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True) or None
    except (ValueError, binascii.Error):
        return None


def _fits(key: bytes, signed: bytes, signatures: str) -> bool:
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    given = [part.removeprefix("v1,") for part in signatures.split() if part.startswith("v1,")]
    return any(hmac.compare_digest(expected, proof.encode("utf-8", "replace")) for proof in given)


def _event_in(body: bytes, delivery: str) -> WebhookEvent:
    message = parse_json(body.decode("utf-8", "replace"))
    training_id = id_of(message.get("id")) if isinstance(message, dict) else None
    if training_id is None:
        raise InvalidInput("body", "The webhook's body names no training.")
    says = message.get("status")
    return WebhookEvent(training_id, delivery[:200], says[:50] if isinstance(says, str) else "")
