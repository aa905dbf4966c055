"""Replicate's signed messages: which are believed, and when the secret is asked for."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import InvalidInput, NotSignedIn, ProviderError
from core.providers.replicate import ReplicateTrainer
from tests.providers.fake_vendor import FakeVendor, answer

NOW = datetime.fromtimestamp(1614265330, UTC)
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_" + base64.b64encode(b"another secret").decode()
BODY = b'{"id":"zz4ibbonubfz7carwiefibzgga","status":"succeeded"}'


def signed(
    body: bytes = BODY, secret: str = SECRET, at: datetime = NOW, delivery: str = "msg_1"
) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    proof = base64.b64encode(
        hmac.digest(key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256)
    ).decode()
    return {
        "Webhook-Id": delivery,
        "Webhook-Timestamp": stamp,
        "Webhook-Signature": f"v1,b2xkIHNpZ25hdHVyZQ== v1,{proof} v2,x",
    }


def trainer(there: FakeVendor, secret: str = "") -> ReplicateTrainer:
    return ReplicateTrainer(
        "replicate-token-0123456789", owner="studio-ops", webhook_secret=secret, transport=there.transport
    )


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor().on("/webhooks/default/secret", "replicate_secret")


@pytest.fixture(params=["given", "asked for"])
def replicate(request: pytest.FixtureRequest, there: FakeVendor) -> Iterator[ReplicateTrainer]:
    found = trainer(there, SECRET if request.param == "given" else "")
    yield found
    found.close()


def test_a_message_of_replicates(replicate: ReplicateTrainer) -> None:
    event = replicate.verify(signed(), BODY, NOW)
    assert (event.remote_id, event.delivery_id, event.says) == (
        "zz4ibbonubfz7carwiefibzgga",
        "msg_1",
        "succeeded",
    )


def test_a_known_signature(replicate: ReplicateTrainer) -> None:
    """Fixed bytes, so that the signed text can't change together with the test's own."""
    key = bytes.fromhex("0b6155b0140886bb1c0a195020c57e6f9b1262ca686fba03")
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,"
        + base64.b64encode(
            hmac.digest(key, b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"id":"t1"}', "sha256")
        ).decode(),
    }
    assert replicate.verify(headers, b'{"id":"t1"}', NOW).remote_id == "t1"


STRANGERS = {
    "another body": (signed(), BODY + b" "),
    "another secret": (signed(secret=OTHER), BODY),
    "another id": ({**signed(), "Webhook-Id": "msg_2"}, BODY),
    "too old": (signed(at=NOW - timedelta(seconds=301)), BODY),
    "too new": (signed(at=NOW + timedelta(seconds=301)), BODY),
    "no time": ({**signed(), "Webhook-Timestamp": "now"}, BODY),
    "no version": ({**signed(), "Webhook-Signature": signed()["Webhook-Signature"].replace("v1,", "")}, BODY),
    "letters of no alphabet": ({**signed(), "Webhook-Signature": "v1,\udcff"}, BODY),
    "nothing": ({}, BODY),
}


@pytest.mark.parametrize("reason", STRANGERS)
def test_whoever_is_not_replicate_is_refused(replicate: ReplicateTrainer, reason: str) -> None:
    headers, body = STRANGERS[reason]
    with pytest.raises(NotSignedIn):
        replicate.verify(headers, body, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 7}', b"\xff"])
def test_a_signed_body_that_names_no_training(replicate: ReplicateTrainer, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        replicate.verify(signed(body), body, NOW)


def test_the_secret_is_asked_for_once_and_again_when_it_changed(there: FakeVendor) -> None:
    replicate = trainer(there.on("/webhooks/default/secret", answer(200, {"key": OTHER}), "replicate_secret"))
    replicate.verify(signed(secret=OTHER), BODY, NOW)
    with pytest.raises(NotSignedIn):
        replicate.verify(signed(), BODY, NOW)
    assert len(there.requests) == 1
    later = NOW + timedelta(minutes=6)
    assert replicate.verify(signed(at=later), BODY, later).delivery_id == "msg_1"
    tomorrow = NOW + timedelta(hours=25)
    replicate.verify(signed(at=tomorrow), BODY, tomorrow)
    assert len(there.requests) == 3
    replicate.close()


@pytest.mark.parametrize("said", [answer(200, {"key": 7}), answer(401, {"detail": "no"}), answer(200, [])])
def test_a_secret_that_cannot_be_had(there: FakeVendor, said: object) -> None:
    replicate = trainer(there.on("/webhooks/default/secret", said))  # type: ignore[arg-type]
    with pytest.raises(ProviderError):
        replicate.verify(signed(), BODY, NOW)
    replicate.close()


def test_the_secret_is_in_no_error(there: FakeVendor) -> None:
    replicate = trainer(there.on("/webhooks/default/secret", answer(500, {"key": SECRET, "detail": SECRET})))
    with pytest.raises(ProviderError) as caught:
        replicate.verify(signed(), BODY, NOW)
    assert "C2FVsBQ" not in str(caught.value) + caught.value.words
    replicate.close()
