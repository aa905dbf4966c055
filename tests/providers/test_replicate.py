"""Replicate's trainer over recorded answers, as tables: what came, what it means."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.replicate import MAX_PAGES, VERSION, ReplicateTrainer, from_settings
from core.providers.training import Cancelled, Submission, TrainingState
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
    payload,
    wanted,
)

TOKEN = "replicate-token-0123456789"
API = "https://api.replicate.com/v1"
KNOWN = Submission("zz4ibbonubfz7carwiefibzgga")
SINCE = datetime(2026, 11, 20, 9, 55, tzinfo=UTC)
AUTH, V = ErrorCategory.AUTHENTICATION, ErrorCategory.VALIDATION
F, S, T = ErrorCategory.FILE_ERROR, ErrorCategory.SERVICE_ERROR, ErrorCategory.TIMEOUT


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor()


@pytest.fixture
def replicate(there: FakeVendor) -> Iterator[ReplicateTrainer]:
    trainer = ReplicateTrainer(TOKEN, owner="studio-ops", transport=there.transport, deadline=5.0)
    yield trainer
    trainer.close()


def test_one_documented_submission(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("POST", "replicate_started")
    assert replicate.submit(wanted(learning_rate=Decimal("0.0004"), rank=16)) == KNOWN
    [request] = there.sent("POST")
    assert str(request.url) == f"{API}/models/ostris/flux-dev-lora-trainer/versions/{VERSION}/trainings"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert there.body() == {
        "destination": f"studio-ops/lora-{RUN}",
        "input": {
            "input_images": f"{DATASET}#run={RUN}",
            "trigger_word": "ohwx woman",
            "steps": 1000,
            "autocaption": True,
            "learning_rate": 0.0004,
            "lora_rank": 16,
        },
        "webhook": WEBHOOK,
        "webhook_events_filter": ["start", "completed"],
    }


def test_what_is_not_asked_for_is_left_to_replicate(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("POST", "replicate_started")
    own = f"https://files.example.com/{RUN}/set.zip"
    replicate.submit(wanted(webhook_url=None, dataset_url=own))
    body = there.body()
    assert "webhook" not in body
    assert set(body["input"]) == {"input_images", "trigger_word", "steps", "autocaption"}
    assert body["input"]["input_images"] == own


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset_url", ["https://a.example/1.jpg"]),
        ("images", 2),
        ("steps", 6_001),
        ("steps", 2),
        ("learning_rate", Decimal("0.1")),
        ("rank", 129),
        ("rank", 0),
    ],
)
def test_what_the_trainer_does_not_take(
    replicate: ReplicateTrainer, there: FakeVendor, field: str, value: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        replicate.submit(wanted(**{field: value}))
    assert (refused.value.field, there.requests) == (field, [])


REFUSED = [
    ("replicate_bad_token", AUTH, False, "valid authentication token"),
    ("replicate_no_credit", AUTH, False, "insufficient credit"),
    ("replicate_destination_missing", V, False, "destination does not exist"),
    ("replicate_invalid", V, False, "Must be less than"),
    ("replicate_throttled", ErrorCategory.RATE_LIMIT, True, "resets in ~30s"),
]


@pytest.mark.parametrize(("said", "category", "retryable", "words"), REFUSED)
def test_a_submission_refused_for_certain(
    replicate: ReplicateTrainer,
    there: FakeVendor,
    said: str,
    category: ErrorCategory,
    retryable: bool,
    words: str,
) -> None:
    there.on("POST", said)
    with pytest.raises(ProviderError) as caught:
        replicate.submit(wanted())
    error = caught.value
    assert (error.sent, error.refused, error.category, error.retryable) == (True, True, category, retryable)
    assert words in error.words
    assert error.retry_after == (30.0 if retryable else None)
    assert len(there.requests) == 1


@pytest.mark.parametrize("reason", UNKNOWN_OUTCOMES)
def test_a_submission_is_never_sent_twice(
    replicate: ReplicateTrainer, there: FakeVendor, reason: str
) -> None:
    there.on("POST", UNKNOWN_OUTCOMES[reason])
    with pytest.raises(ProviderError) as caught:
        replicate.submit(wanted())
    error = caught.value
    assert (error.sent, error.refused, error.retryable) == (True, False, False)
    assert error.message.startswith("It is not known whether Replicate began this")
    assert len(there.requests) == 1


@pytest.mark.parametrize("reason", NEVER_SENT)
def test_a_submission_that_never_left_says_so(
    replicate: ReplicateTrainer, there: FakeVendor, reason: str
) -> None:
    there.on("POST", NEVER_SENT[reason])
    with pytest.raises(ProviderError) as caught:
        replicate.submit(wanted())
    assert (caught.value.sent, caught.value.retryable) == (False, True)


def test_the_destination_is_made_once(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    missing = "replicate_unknown_training"
    there.on(f"GET {API}/models/studio-ops/lora-{RUN}", missing, "replicate_model")
    there.on("POST", answer(201, {}))
    replicate.prepare(wanted())
    assert there.body() == {
        "owner": "studio-ops",
        "name": f"lora-{RUN}",
        "visibility": "private",
        "hardware": "gpu-h100",
    }
    replicate.prepare(wanted())
    assert len(there.sent("POST")) == 1


def test_a_destination_that_somebody_else_just_made(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("GET", "replicate_unknown_training", "replicate_model", "replicate_unknown_training")
    there.on("POST", answer(422, {"detail": "A model with that name exists"}))
    replicate.prepare(wanted())
    with pytest.raises(ProviderError, match="A model with that name exists"):
        replicate.prepare(wanted())


def test_found_by_the_runs_id(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("GET", "replicate_list")
    assert replicate.find(RUN, SINCE) == KNOWN
    there.on("GET", "replicate_list_empty")
    assert replicate.find(RUN, SINCE) is None


@pytest.mark.parametrize("place", ["webhook", "destination", "output"])
def test_wherever_replicate_tells_it(replicate: ReplicateTrainer, there: FakeVendor, place: str) -> None:
    told = {"id": "t1", "created_at": "2026-11-20T10:00:00Z", place: {"x": f"…{RUN}…"}}
    there.on("GET", answer(200, {"next": None, "results": [told]}))
    assert replicate.find(RUN, SINCE) == Submission("t1")


def test_older_pages_are_looked_at_as_far_as_needed(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("cursor=cD0yMDI2", "replicate_list").on("GET", "replicate_list_first")
    assert replicate.find(RUN, SINCE) == KNOWN
    assert [str(request.url) for request in there.requests] == [
        f"{API}/trainings",
        f"{API}/trainings?cursor=cD0yMDI2",
    ]
    there.requests.clear()
    assert replicate.find(RUN, datetime(2026, 11, 20, 11, tzinfo=UTC)) is None
    assert len(there.requests) == 1


def test_a_search_that_cannot_see_everything_says_so(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("GET", "replicate_list_first")
    with pytest.raises(ProviderError, match="too many to look"):
        replicate.find(RUN, SINCE)
    assert len(there.requests) == MAX_PAGES


@pytest.mark.parametrize("said", ["replicate_bad_token", answer(200, {"results": None}), answer(502, {})])
def test_a_search_that_failed_is_not_an_empty_one(
    replicate: ReplicateTrainer, there: FakeVendor, said: Said
) -> None:
    there.on("GET", said)
    with pytest.raises(ProviderError):
        replicate.find(RUN, SINCE)


@pytest.mark.parametrize(
    ("said", "state", "progress"),
    [
        ("replicate_processing", TrainingState.RUNNING, 47),
        ("replicate_succeeded", TrainingState.SUCCEEDED, 100),
        ("replicate_failed", TrainingState.FAILED, None),
        ("replicate_canceled", TrainingState.CANCELLED, None),
        ("replicate_unknown_training", TrainingState.NOT_FOUND, None),
        (answer(200, {"status": "paused"}), TrainingState.UNKNOWN, None),
        (answer(200, {"status": "starting"}), TrainingState.STARTING, None),
    ],
)
def test_states(
    replicate: ReplicateTrainer, there: FakeVendor, said: Said, state: TrainingState, progress: int | None
) -> None:
    there.on("GET", said)
    record = replicate.read(KNOWN)
    assert (record.remote_id, record.state, record.progress) == (KNOWN.remote_id, state, progress)
    assert (record.failure is not None) == (state is TrainingState.FAILED)
    assert "dataset-secret-1" not in repr(record) + json.dumps(record.raw)
    assert str(there.requests[0].url) == f"{API}/trainings/{KNOWN.remote_id}"


def test_done_is_a_tar(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("GET", "replicate_succeeded")
    record = replicate.read(KNOWN)
    assert record.weights_url == "https://replicate.delivery/xezq/abc/trained_model.tar"
    assert (record.weights_kind, record.result_problem) == ("tar", None)
    assert record.started_at == datetime(2026, 11, 20, 10, 2, tzinfo=UTC)
    assert record.ended_at == datetime(2026, 11, 20, 10, 22, tzinfo=UTC)
    assert record.raw["metrics"]["predict_time"] == 1200.5


@pytest.mark.parametrize(
    "output", [None, "https://replicate.delivery/x", {"version": "a/b:c"}, {"weights": 7}]
)
def test_success_without_weights_names_why(
    replicate: ReplicateTrainer, there: FakeVendor, output: Any
) -> None:
    there.on("GET", answer(200, {"status": "succeeded", "output": output}))
    record = replicate.read(KNOWN)
    assert (record.state, record.weights_url) == (TrainingState.SUCCEEDED, None)
    assert record.result_problem


WORDS = [
    ("Could not download the file: HTTP Error 403", F, True),
    ("File is not a zip file", F, False),
    ("NSFW content detected", V, False),
    ("Prediction timed out", T, True),
    ("validation error: steps must be positive", V, False),
    ("CUDA out of memory", S, True),
    (None, S, True),
]


@pytest.mark.parametrize(("words", "category", "retryable"), WORDS)
def test_why_it_failed(
    replicate: ReplicateTrainer,
    there: FakeVendor,
    words: str | None,
    category: ErrorCategory,
    retryable: bool,
) -> None:
    there.on("GET", answer(200, {"status": "failed", "error": words}))
    failure = replicate.read(KNOWN).failure
    assert failure is not None
    assert (failure.category, failure.retryable) == (category, retryable)
    assert failure.words == (words or "Replicate gave no reason.")


@pytest.mark.parametrize(
    "said",
    [
        httpx.Response(404, text="<html>nginx</html>"),
        answer(200, {"id": "another", "status": "processing"}),
        answer(200, {"id": KNOWN.remote_id}),
        "replicate_bad_token",
        httpx.ReadTimeout("timed out"),
    ],
    ids=["a-page", "another", "no-state", "token", "timeout"],
)
def test_a_reading_that_failed(replicate: ReplicateTrainer, there: FakeVendor, said: Said) -> None:
    there.on("GET", said)
    with pytest.raises(ProviderError):
        replicate.read(KNOWN)


@pytest.mark.parametrize(
    ("said", "became"),
    [
        ("replicate_canceled", Cancelled.CONFIRMED),
        ("replicate_processing", Cancelled.REQUESTED),
        ("replicate_succeeded", Cancelled.TOO_LATE),
        ("replicate_failed", Cancelled.TOO_LATE),
        ("replicate_unknown_training", Cancelled.NOT_FOUND),
    ],
)
def test_cancelling(replicate: ReplicateTrainer, there: FakeVendor, said: str, became: Cancelled) -> None:
    there.on(f"POST {API}/trainings/{KNOWN.remote_id}/cancel", said)
    assert replicate.cancel(KNOWN) is became


def test_the_token_is_checked_for_free(replicate: ReplicateTrainer, there: FakeVendor) -> None:
    there.on("GET", "replicate_list_empty", "replicate_bad_token")
    assert replicate.check_key() == "the token is accepted"
    with pytest.raises(ProviderError, match="Check REPLICATE_API_TOKEN"):
        replicate.check_key()
    assert payload("replicate_bad_token").status_code == 401


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"REPLICATE_API_TOKEN": ""}, "REPLICATE_API_TOKEN is not set"),
        ({"REPLICATE_OWNER": ""}, "REPLICATE_OWNER is not set"),
        ({"REPLICATE_OWNER": "a/b"}, "REPLICATE_OWNER must be"),
        ({"REPLICATE_TRAINER_VERSION": "latest"}, "REPLICATE_TRAINER_VERSION must be"),
        ({"REPLICATE_WEBHOOK_SECRET": "whsec_???"}, "REPLICATE_WEBHOOK_SECRET must be"),
    ],
)
def test_settings_that_stop_it(changes: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        from_settings(load({"REPLICATE_API_TOKEN": TOKEN, "REPLICATE_OWNER": "studio-ops", **changes}))
    assert "???" not in refused.value.message
