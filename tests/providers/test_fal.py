"""fal's trainer over recorded answers, as tables: what came, what it means."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.fal import FalTrainer, from_settings
from core.providers.training import Cancelled, NotFindable, Submission, TrainingState
from core.settings import load
from tests.providers.fake_vendor import (
    DATASET,
    NEVER_SENT,
    RUN,
    UNKNOWN_OUTCOMES,
    WEBHOOK,
    FakeVendor,
    Said,
    answer,
    wanted,
)

KEY = "fal-id-0123:fal-secret-456789"
REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
APP = "https://queue.fal.run/fal-ai/flux-lora-fast-training"
ADDRESS = f"{APP}/requests/{REQUEST}"
KNOWN = Submission(
    REQUEST,
    {"status_url": f"{ADDRESS}/status", "response_url": ADDRESS, "cancel_url": f"{ADDRESS}/cancel"},
)
V, F, S, T = (
    ErrorCategory.VALIDATION,
    ErrorCategory.FILE_ERROR,
    ErrorCategory.SERVICE_ERROR,
    ErrorCategory.TIMEOUT,
)


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor()


@pytest.fixture
def fal(there: FakeVendor) -> Iterator[FalTrainer]:
    trainer = FalTrainer(KEY, transport=there.transport, deadline=5.0)
    yield trainer
    trainer.close()


def test_one_documented_submission(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("POST", "fal_submitted")
    assert fal.submit(wanted()) == KNOWN
    [request] = there.sent("POST")
    assert str(request.url).split("?")[0] == APP
    assert parse_qs(urlsplit(str(request.url)).query) == {"fal_webhook": [WEBHOOK]}
    assert request.headers["authorization"] == f"Key {KEY}"
    assert request.headers["user-agent"].startswith("StudioOps/")
    assert there.body() == {
        "images_data_url": DATASET,
        "trigger_word": "ohwx woman",
        "steps": 1000,
        "create_masks": True,
        "is_style": False,
        "is_input_format_already_preprocessed": False,
        "data_archive_format": "zip",
    }


def test_without_a_webhook_none_is_named(fal: FalTrainer, there: FakeVendor) -> None:
    fal_submits(fal, there, webhook_url=None)
    assert there.sent("POST")[0].url.query == b""


def fal_submits(
    fal: FalTrainer, there: FakeVendor, said: Said = "fal_submitted", **changes: Any
) -> Submission:
    there.on("POST", said)
    return fal.submit(wanted(**changes))


@pytest.mark.parametrize("images", [["https://a.example/1.jpg", "https://a.example/2.jpg"], None, "set.zip"])
def test_the_dataset_is_one_address_of_one_zip(fal: FalTrainer, there: FakeVendor, images: Any) -> None:
    """An array here was answered with 422, and no training of the company's ever ran."""
    with pytest.raises(InvalidInput, match="one address of one ZIP") as refused:
        fal.submit(wanted(dataset_url=images))
    assert refused.value.field == "dataset_url"
    assert there.requests == []
    fal_submits(fal, there)
    assert isinstance(there.body()["images_data_url"], str)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("images", 3),
        ("images", 13),
        ("steps", 99),
        ("steps", 6_001),
        ("trigger_word", " "),
        ("learning_rate", Decimal("0.0001")),
        ("rank", 16),
    ],
)
def test_what_the_trainer_does_not_take(fal: FalTrainer, there: FakeVendor, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        fal.submit(wanted(**{field: value}))
    assert (refused.value.field, there.requests) == (field, [])
    with pytest.raises(InvalidInput):
        fal.prepare(wanted(**{field: value}))


@pytest.mark.parametrize("images", [4, 12])
def test_both_ends_of_the_bounds_are_taken(fal: FalTrainer, there: FakeVendor, images: int) -> None:
    assert fal.bounds.images == (4, 12)
    assert fal_submits(fal, there, images=images).remote_id == REQUEST


REFUSED = [
    ("fal_array_refused_detail", V, False, "images_data_url: str type expected"),
    ("fal_array_refused_errors", V, False, "images_data_url: str type expected"),
    ("fal_too_few_steps", V, False, "greater than or equal"),
    ("fal_bad_key", ErrorCategory.AUTHENTICATION, False, "Authentication is required"),
    ("fal_locked", ErrorCategory.AUTHENTICATION, False, "Exhausted balance"),
    ("fal_rate_limited", ErrorCategory.RATE_LIMIT, True, "Too many requests"),
    ("fal_unknown_request", V, False, "not found"),
]


@pytest.mark.parametrize(("said", "category", "retryable", "words"), REFUSED)
def test_a_submission_refused_for_certain(
    fal: FalTrainer, there: FakeVendor, said: str, category: ErrorCategory, retryable: bool, words: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        fal_submits(fal, there, said)
    error = caught.value
    assert (error.sent, error.refused, error.category, error.retryable) == (True, True, category, retryable)
    assert words in error.words
    assert words in error.message
    assert len(there.requests) == 1
    assert error.retry_after == (9.0 if retryable else None)


@pytest.mark.parametrize("reason", [*UNKNOWN_OUTCOMES, "a refusal that names a request"])
def test_a_submission_is_never_sent_twice(fal: FalTrainer, there: FakeVendor, reason: str) -> None:
    said = UNKNOWN_OUTCOMES.get(reason, answer(429, {"detail": "slow down", "request_id": REQUEST}))
    with pytest.raises(ProviderError) as caught:
        fal_submits(fal, there, said)
    error = caught.value
    assert (error.sent, error.refused, error.retryable) == (True, False, False)
    assert error.message.startswith("It is not known whether fal began this")
    assert len(there.requests) == 1


@pytest.mark.parametrize("reason", NEVER_SENT)
def test_a_submission_that_never_left_says_so(fal: FalTrainer, there: FakeVendor, reason: str) -> None:
    with pytest.raises(ProviderError) as caught:
        fal_submits(fal, there, NEVER_SENT[reason])
    assert (caught.value.sent, caught.value.retryable) == (False, True)
    assert len(there.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/requests/1/status",
        "http://queue.fal.run/requests/1/status",
        "https://queue.fal.run.evil.example/x",
        "https://user:pw@queue.fal.run/x",
        "https://queue.fal.run:8443/x",
        "",
        7,
    ],
)
def test_the_key_is_shown_to_fal_alone(fal: FalTrainer, there: FakeVendor, address: Any) -> None:
    body = {"request_id": REQUEST, "status_url": address, "response_url": ADDRESS, "cancel_url": address}
    submission = fal_submits(fal, there, answer(200, body))
    assert submission.handle == {"response_url": ADDRESS}
    there.on("GET", "fal_in_queue")
    fal.read(submission)
    [asked] = there.sent("GET")
    assert str(asked.url) == f"{ADDRESS}/status?logs=1"


def test_an_address_of_fals_is_used_as_given(fal: FalTrainer, there: FakeVendor) -> None:
    given = "https://queue.fal.run/fal-ai/other/requests/1/status?a=b"
    there.on("GET", "fal_in_queue")
    fal.read(Submission(REQUEST, {"status_url": given}))
    assert str(there.requests[0].url) == f"{given}&logs=1"


def test_waiting(fal: FalTrainer, there: FakeVendor) -> None:
    record = fal.read(KNOWN) if there.on("GET", "fal_in_queue") else None
    assert record is not None
    assert (record.state, record.state_word) == (TrainingState.QUEUED, "IN_QUEUE")
    assert (record.queue_position, record.progress, record.log) == (2, None, ())


def test_running_with_its_log(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("GET", "fal_in_progress")
    record = fal.read(Submission(REQUEST))
    assert (record.state, record.progress) == (TrainingState.RUNNING, 32)
    assert [line.at for line in record.log] == [
        datetime(2026, 11, 20, 10, 0, 1, 250000, tzinfo=UTC),
        datetime(2026, 11, 20, 10, 0, 9, tzinfo=UTC),
        datetime(2026, 11, 20, 10, 1, 17, tzinfo=UTC),
    ]
    assert record.log[1].message == "Preprocessing 8 images"
    assert record.log[2].message.startswith("32%|###")
    assert "dataset-secret-1" not in repr(record) + json.dumps(record.raw)


def test_done(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("/status", "fal_completed").on("GET", "fal_result_training")
    record = fal.read(KNOWN)
    assert (record.state, record.progress) == (TrainingState.SUCCEEDED, 100)
    assert record.weights_url == "https://v3.fal.media/files/panda/pytorch_lora_weights.safetensors"
    assert (record.weights_kind, record.result_problem, record.failure) == ("safetensors", None, None)
    assert record.raw["metrics"] == {"inference_time": 231.7}


@pytest.mark.parametrize(
    "result",
    [
        {"config_file": {"url": "https://v3.fal.media/c.json"}},
        {"diffusers_lora_file": None, "config_file": None},
        {"diffusers_lora_file": {"url": "not a url"}},
        {"diffusers_lora_file": ["https://v3.fal.media/x"]},
    ],
)
def test_success_without_weights_names_why(fal: FalTrainer, there: FakeVendor, result: Any) -> None:
    there.on("/status", "fal_completed").on("GET", answer(200, result))
    record = fal.read(KNOWN)
    assert (record.state, record.weights_url) == (TrainingState.SUCCEEDED, None)
    assert record.result_problem


def test_a_result_that_fal_no_longer_has(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("/status", "fal_completed").on("GET", "fal_unknown_request")
    assert "no longer has" in str(fal.read(KNOWN).result_problem)


@pytest.mark.parametrize(
    "result",
    [
        "fal_not_finished",
        "fal_bad_key",
        "fal_rate_limited",
        httpx.Response(502, text="<html>Bad Gateway</html>"),
        httpx.Response(200, text="{}"),
        httpx.ReadTimeout("timed out"),
    ],
    ids=["not-finished", "key", "rate", "gateway", "empty", "timeout"],
)
def test_a_result_that_does_not_come_is_no_failure(fal: FalTrainer, there: FakeVendor, result: Said) -> None:
    there.on("/status", "fal_completed").on("GET", result)
    with pytest.raises(ProviderError):
        fal.read(KNOWN)


def test_cancelled_in_fals_words(fal: FalTrainer, there: FakeVendor) -> None:
    status = {"status": "COMPLETED", "error": "Request was cancelled", "error_type": "request_cancelled"}
    there.on("/status", answer(200, status)).on("GET", answer(499, {"detail": "Request was cancelled"}))
    assert fal.read(KNOWN).state is TrainingState.CANCELLED


def test_an_unknown_request_and_an_unknown_word(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("GET", "fal_unknown_request", answer(200, {"status": "PAUSED"}))
    assert fal.read(KNOWN).state is TrainingState.NOT_FOUND
    record = fal.read(KNOWN)
    assert (record.state, record.state_word) == (TrainingState.UNKNOWN, "PAUSED")


@pytest.mark.parametrize(
    "said",
    [httpx.Response(404, text="<html>nginx</html>"), answer(404, {"error": "no route"}), "fal_bad_key"],
    ids=["a-page", "a-gateway", "the-key"],
)
def test_only_fal_can_say_that_a_request_is_unknown(fal: FalTrainer, there: FakeVendor, said: Said) -> None:
    there.on("GET", said)
    with pytest.raises(ProviderError):
        fal.read(KNOWN)


@pytest.mark.parametrize(
    ("said", "became"),
    [
        ("fal_cancel_requested", Cancelled.REQUESTED),
        ("fal_cancel_from_queue", Cancelled.CONFIRMED),
        ("fal_cancel_too_late", Cancelled.TOO_LATE),
        ("fal_cancel_unknown", Cancelled.NOT_FOUND),
    ],
)
def test_cancelling(fal: FalTrainer, there: FakeVendor, said: str, became: Cancelled) -> None:
    there.on("PUT", said)
    assert fal.cancel(KNOWN) is became
    assert fal.cancel(Submission(REQUEST)) is became
    assert {str(request.url) for request in there.requests} == {f"{ADDRESS}/cancel"}


@pytest.mark.parametrize("said", ["fal_bad_key", "fal_not_finished", httpx.Response(404, text="nginx")])
def test_a_cancel_that_was_not_understood(fal: FalTrainer, there: FakeVendor, said: Said) -> None:
    there.on("PUT", said)
    with pytest.raises(ProviderError):
        fal.cancel(KNOWN)


def test_fal_cannot_be_searched(fal: FalTrainer) -> None:
    with pytest.raises(NotFindable):
        fal.find(RUN, datetime(2026, 11, 20, tzinfo=UTC))


def test_an_id_cannot_leave_its_path(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("GET", "fal_unknown_request")
    fal.read(Submission("../../x?y=1#z"))
    assert there.requests[0].url.raw_path.startswith(
        b"/fal-ai/flux-lora-fast-training/requests/..%2F..%2Fx%3Fy%3D1%23z/status"
    )


def test_the_key_is_checked_for_free(fal: FalTrainer, there: FakeVendor) -> None:
    there.on("GET", "fal_unknown_request", "fal_bad_key")
    assert fal.check_key() == "the key is accepted"
    with pytest.raises(ProviderError, match="Check FAL_KEY"):
        fal.check_key()
    assert there.sent("POST") == []


def test_the_key_is_masked_when_fal_repeats_it(fal: FalTrainer, there: FakeVendor) -> None:
    with pytest.raises(ProviderError) as caught:
        fal_submits(fal, there, answer(401, {"detail": f"no such key {KEY}"}))
    assert KEY not in str(caught.value) + caught.value.words


def test_a_missing_or_broken_key_is_a_settings_matter() -> None:
    with pytest.raises(SettingsError, match="FAL_KEY is not set"):
        from_settings(load({}))
    with pytest.raises(SettingsError, match="FAL_KEY must be one word"):
        from_settings(load({"FAL_KEY": "two words"}))
