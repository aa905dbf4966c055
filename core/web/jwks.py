"""The public keys that tokens are signed with, as their issuer publishes them (RFC 7517), kept a while."""

import threading
import time
from functools import lru_cache
from typing import Any

import httpx
import jwt

from core import log
from core.errors import Busy, NotSignedIn
from core.providers.http import USER_AGENT, tls

KEPT_S = 600.0
# A key that is not known may be new; strangers can't make us ask for them more often than this.
ASKED_AGAIN_S = 30.0
DEADLINE_S = 5.0
MAX_BYTES = 256 * 1024
# Signatures by a private key alone; one by a shared secret is no matter of published keys.
ALGORITHMS = ("ES256", "RS256", "EdDSA")

_log = log.get(__name__)


class PublishedKeys:
    """The keys at one address. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at: float | None = None
        self._lock = threading.Lock()

    def key(self, key_id: str) -> jwt.PyJWK:
        """The key of that id. NotSignedIn when nobody publishes it, Busy while the keys can't be had."""
        with self._lock:
            now = time.monotonic()
            age = None if self._asked_at is None else now - self._asked_at
            if age is None or age > KEPT_S or (key_id not in self._keys and age > ASKED_AGAIN_S):
                self._ask(now)
            found = self._keys.get(key_id)
        if found is None:
            raise NotSignedIn("The token is not valid: nobody publishes the key that it is signed with.")
        return found

    def _ask(self, now: float) -> None:
        try:
            answer = _fetch(self._url)
            if answer.status_code != 200 or len(answer.content) > MAX_BYTES:
                raise ValueError(f"HTTP {answer.status_code}")
            self._keys = dict(_usable(answer.json()))
            self._asked_at = now
        except (httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
            _log.warning("jwks.not_had", error=type(error).__name__)
            if not self._keys:
                raise Busy(
                    "The keys that tokens are checked by cannot be had just now. Try again in a few seconds.",
                    retry_after=5,
                ) from None
            self._asked_at = now


def _fetch(url: str) -> httpx.Response:
    """The answer of an address that is asked a few times an hour; nothing of the environment plays a part."""
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    with httpx.Client(
        headers=headers, timeout=DEADLINE_S, follow_redirects=False, trust_env=False, verify=tls()
    ) as client:
        return client.get(url)


def _usable(document: Any) -> list[tuple[str, jwt.PyJWK]]:
    """Keys by id; what is no public key of an algorithm that we take is left out."""
    found = []
    for one in document.get("keys", ()):
        try:
            key = jwt.PyJWK.from_dict(one)
        except (jwt.PyJWTError, AttributeError):
            continue
        if key.key_id and key.algorithm_name in ALGORITHMS:
            found.append((key.key_id, key))
    return found


@lru_cache(maxsize=1)
def published(url: str) -> PublishedKeys:
    """This process's keys of that address."""
    return PublishedKeys(url)
