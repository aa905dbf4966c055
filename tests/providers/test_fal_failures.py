"""How a training at fal fails, as tables: the queue's word, the model's answer, what they mean."""

import json
from collections.abc import Iterator

import pytest

from core.errors import ErrorCategory
from core.providers.fal import FalTrainer
from core.providers.training import Submission, TrainingState
from tests.providers.fake_vendor import FakeVendor, Said, answer

KNOWN = Submission("764cabcf-b745-4b3e-ae38-1200304cf45b")
V, F = ErrorCategory.VALIDATION, ErrorCategory.FILE_ERROR
S, T = ErrorCategory.SERVICE_ERROR, ErrorCategory.TIMEOUT


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor()


@pytest.fixture
def fal(there: FakeVendor) -> Iterator[FalTrainer]:
    trainer = FalTrainer("fal-id-0123:fal-secret-456789", transport=there.transport, deadline=5.0)
    yield trainer
    trainer.close()


FAILED: list[tuple[str, Said, ErrorCategory, bool, str, str]] = [
    # the status, the result, then category, retryable, code, words
    ("fal_completed", "fal_result_content_policy", V, False, "content_policy_violation", "flagged"),
    ("fal_completed", "fal_array_refused_detail", V, False, "type_error.str", "str type expected"),
    ("fal_completed", "fal_array_refused_errors", V, False, "type_error.str", "str type expected"),
    ("fal_completed", "fal_too_few_steps", V, False, "greater_than_equal", "greater than"),
    ("fal_completed", "fal_runner_gone", S, True, "runner_disconnected", "Runner disconnected"),
    ("fal_completed", "fal_startup_timeout", T, True, "startup_timeout", "did not start"),
    ("fal_completed_with_error", "fal_unknown_request", F, True, "file_download_error", "not found"),
    ("fal_completed_with_error", answer(500, {}), F, True, "file_download_error", "Could not download"),
    (
        "fal_completed_with_error",
        "fal_result_content_policy",
        V,
        False,
        "content_policy_violation",
        "flagged",
    ),
]


@pytest.mark.parametrize(("status", "result", "category", "retryable", "code", "words"), FAILED)
def test_a_failure_is_completed_with_an_error(
    fal: FalTrainer,
    there: FakeVendor,
    status: str,
    result: Said,
    category: ErrorCategory,
    retryable: bool,
    code: str,
    words: str,
) -> None:
    there.on("/status", status).on("GET", result)
    record = fal.read(KNOWN)
    assert (record.state, record.weights_url, record.result_problem) == (TrainingState.FAILED, None, None)
    assert record.failure is not None
    assert (record.failure.category, record.failure.retryable) == (category, retryable)
    assert record.failure.code == code
    assert words in record.failure.words
    assert "dataset-secret-1" not in repr(record) + json.dumps(record.raw)


TYPES = [
    ("content_policy_violation", 422, V, False),
    ("image_load_error", 422, F, False),
    ("file_download_error", 422, F, True),
    ("file_too_large", 422, F, False),
    ("image_too_small", 422, F, False),
    ("greater_than_equal", 422, V, False),
    ("missing", 422, V, False),
    ("generation_timeout", 504, T, True),
    ("internal_server_error", 500, S, True),
    ("downstream_service_error", 400, S, True),
]


@pytest.mark.parametrize(("kind", "status", "category", "retryable"), TYPES)
@pytest.mark.parametrize("place", ["detail", "errors"])
def test_every_documented_type(
    fal: FalTrainer,
    there: FakeVendor,
    kind: str,
    status: int,
    category: ErrorCategory,
    retryable: bool,
    place: str,
) -> None:
    body = {place: [{"loc": ["body"], "msg": "no", "type": kind}]}
    there.on("/status", "fal_completed").on("GET", answer(status, body))
    failure = fal.read(KNOWN).failure
    assert failure is not None
    assert (failure.code, failure.category, failure.retryable) == (kind, category, retryable)
