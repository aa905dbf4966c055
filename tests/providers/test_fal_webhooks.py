"""fal's signed messages: which are believed, and when the public keys are asked for."""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import InvalidInput, NotSignedIn, ProviderError
from core.providers.fal_webhooks import FalWebhooks
from tests.providers.fake_vendor import FakeVendor, answer

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
JWKS = "https://rest.alpha.fal.ai/.well-known/jwks.json"
REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
BODY = json.dumps(
    {"request_id": REQUEST, "gateway_request_id": REQUEST, "status": "OK", "payload": {"images": []}}
).encode()
FALS, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))


def public(*keys: Ed25519PrivateKey) -> httpx.Response:
    """A JWKS that publishes `keys`, beside one of another kind that has to be passed over."""
    listed = [{"kty": "RSA", "n": "x", "e": "AQAB"}]
    for key in keys:
        x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
        listed.append({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig"})
    return answer(200, {"keys": listed})


def signed(
    key: Ed25519PrivateKey = FALS, body: bytes = BODY, at: datetime = NOW, **changes: str
) -> dict[str, str]:
    """The headers of a message; `changes` are made after signing."""
    headers = {"Request-Id": REQUEST, "User-Id": "user-1", "Timestamp": str(int(at.timestamp()))}
    text = "\n".join((*headers.values(), hashlib.sha256(body).hexdigest()))
    headers["Signature"] = key.sign(text.encode()).hex()
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {f"X-Fal-Webhook-{name}": value for name, value in headers.items()}


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor().on("jwks", public(OTHER, FALS))


@pytest.fixture
def webhooks(there: FakeVendor) -> Iterator[FalWebhooks]:
    found = FalWebhooks(jwks_url=JWKS, transport=there.transport)
    yield found
    found.close()


def test_a_message_of_fals(webhooks: FalWebhooks, there: FakeVendor) -> None:
    event = webhooks.verify(signed(), BODY, NOW)
    assert (event.remote_id, event.delivery_id, event.says) == (REQUEST, REQUEST, "OK")
    [asked] = there.requests
    assert str(asked.url) == JWKS
    assert "authorization" not in asked.headers


def test_a_known_signature() -> None:
    """Fixed bytes, so that the signed text can't change together with the test's own."""
    headers = {
        "x-fal-webhook-request-id": "r-1",
        "x-fal-webhook-user-id": "u-1",
        "x-fal-webhook-timestamp": "1795608000",
        "x-fal-webhook-signature": FALS.sign(
            b"r-1\nu-1\n1795608000\n" + hashlib.sha256(b'{"request_id":"r-1"}').hexdigest().encode()
        ).hex(),
    }
    there = FakeVendor().on("jwks", public(FALS))
    webhooks = FalWebhooks(jwks_url=JWKS, transport=there.transport)
    at = datetime.fromtimestamp(1795608000, UTC)
    assert webhooks.verify(headers, b'{"request_id":"r-1"}', at).remote_id == "r-1"
    webhooks.close()


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_each_way(webhooks: FalWebhooks, seconds: int) -> None:
    assert webhooks.verify(signed(at=NOW + timedelta(seconds=seconds)), BODY, NOW).remote_id == REQUEST


STRANGERS = {
    "another body": (signed(), BODY + b" "),
    "another key": (signed(Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))), BODY),
    "another request": (signed(Request_Id="other"), BODY),
    "another user": (signed(User_Id="other"), BODY),
    "another time": (signed(Timestamp=str(int(NOW.timestamp()) + 1)), BODY),
    "too old": (signed(at=NOW - timedelta(seconds=301)), BODY),
    "too new": (signed(at=NOW + timedelta(seconds=301)), BODY),
    "no time": (signed(Timestamp=""), BODY),
    "no number": (signed(Timestamp="٣٠٠"), BODY),
    "a signature in base64": (signed(Signature="AAAA//=="), BODY),
    "a short signature": (signed(Signature="00ff"), BODY),
    "nothing": ({}, BODY),
}


@pytest.mark.parametrize("reason", STRANGERS)
def test_whoever_is_not_fal_is_refused(webhooks: FalWebhooks, reason: str) -> None:
    headers, body = STRANGERS[reason]
    with pytest.raises(NotSignedIn):
        webhooks.verify(headers, body, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"request_id": 7}', b'{"request_id": "a b"}', b"\xff"])
def test_a_signed_body_that_names_no_request(webhooks: FalWebhooks, body: bytes) -> None:
    with pytest.raises(InvalidInput, match="request_id"):
        webhooks.verify(signed(body=body), body, NOW)


def test_the_keys_are_kept_for_a_day_at_most(webhooks: FalWebhooks, there: FakeVendor) -> None:
    for hours, asked in ((0, 1), (23, 1), (24, 2), (47, 2), (48, 3)):
        at = NOW + timedelta(hours=hours)
        webhooks.verify(signed(at=at), BODY, at)
        assert len(there.requests) == asked, hours


def test_new_keys_are_found_at_once_and_strangers_cannot_make_us_ask(
    webhooks: FalWebhooks, there: FakeVendor
) -> None:
    there.on("jwks", public(OTHER), public(FALS))
    webhooks.verify(signed(OTHER), BODY, NOW)
    later = NOW + timedelta(minutes=6)
    assert webhooks.verify(signed(at=later), BODY, later).remote_id == REQUEST
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            webhooks.verify(signed(OTHER, at=later), BODY, later)
    assert len(there.requests) == 2


@pytest.mark.parametrize(
    "said", [answer(500, {}), answer(200, {"keys": []}), answer(200, []), httpx.ConnectError("no")]
)
def test_keys_that_cannot_be_had(
    webhooks: FalWebhooks, there: FakeVendor, said: httpx.Response | Exception
) -> None:
    there.on("jwks", said, public(FALS))
    with pytest.raises(ProviderError) as caught:
        webhooks.verify(signed(), BODY, NOW)
    assert caught.value.retryable
    assert webhooks.verify(signed(), BODY, NOW).remote_id == REQUEST
