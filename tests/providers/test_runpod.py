"""Our pods at RunPod over recorded answers, as tables: what came, what it means."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from core.errors import ErrorCategory, InvalidInput, NotFound, ProviderError, SettingsError
from core.providers.runpod import RunPodTrainer, from_settings
from core.providers.training import Cancelled, Submission, TrainingState
from core.settings import load
from tests.providers.fake_vendor import (
    DATASET,
    NEVER_SENT,
    PUSH,
    RUN,
    UNKNOWN_OUTCOMES,
    FakeVendor,
    Said,
    answer,
    wanted,
)

KEY, HUB_TOKEN = "runpod-key-0123456789", "hub-token-0123456789"
PODS = "https://api.runpod.io/v2/pods"
KNOWN = Submission("xedezhzb9la3ye", {"name": f"studio-ops-{RUN}", "usd_per_hour": "1.79"})
NOW = datetime(2026, 11, 20, 10, 31, tzinfo=UTC)
SINCE = datetime(2026, 11, 20, 9, tzinfo=UTC)


class Told:
    """What the pod has written so far."""

    def __init__(self) -> None:
        self.progress: Any = None
        self.asked: list[UUID] = []

    def __call__(self, run_id: UUID) -> Any:
        self.asked.append(run_id)
        return self.progress


@pytest.fixture
def there() -> FakeVendor:
    return FakeVendor()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def runpod(there: FakeVendor, told: Told) -> Iterator[RunPodTrainer]:
    trainer = RunPodTrainer(
        KEY,
        progress=told,
        hub_token=HUB_TOKEN,
        transport=there.transport,
        deadline=5.0,
        clock=lambda: NOW,
    )
    yield trainer
    trainer.close()


def test_one_documented_order(runpod: RunPodTrainer, there: FakeVendor) -> None:
    there.on("POST", "runpod_created")
    assert runpod.submit(wanted(learning_rate=Decimal("0.0002"), rank=32)) == KNOWN
    [request] = there.sent("POST")
    assert (str(request.url), request.headers["authorization"]) == (PODS, f"Bearer {KEY}")
    body = there.body()
    assert body["name"] == f"studio-ops-{RUN}"
    # Unknown keys are refused by RunPod.
    assert set(body) == {"name", "image", "gpu", "cloud", "disk", "env", "args"}
    assert body["gpu"] == {"id": "NVIDIA A100 80GB PCIe", "count": 1}
    env = body["env"]
    assert (env["STUDIO_OPS_RUN_ID"], env["STUDIO_OPS_DATASET_URL"]) == (str(RUN), DATASET)
    assert (env["STUDIO_OPS_WEIGHTS_URL"], env["STUDIO_OPS_PROGRESS_URL"]) == (
        PUSH.weights_url,
        PUSH.progress_url,
    )
    assert env["HF_TOKEN"] == HUB_TOKEN
    assert all(isinstance(value, str) for value in env.values())
    [process] = json.loads(env["STUDIO_OPS_CONFIG"])["config"]["process"]
    assert (process["trigger_word"], process["train"]["steps"], process["train"]["lr"]) == (
        "ohwx woman",
        1000,
        0.0002,
    )
    assert process["network"] == {"type": "lora", "linear": 32, "linear_alpha": 32}


@pytest.mark.parametrize(
    ("field", "value"),
    [("push", None), ("dataset_url", ["x"]), ("images", 2), ("steps", 9), ("rank", 200)],
)
def test_what_a_pod_does_not_take(runpod: RunPodTrainer, there: FakeVendor, field: str, value: Any) -> None:
    for call in (runpod.prepare, runpod.submit):
        with pytest.raises(InvalidInput) as refused:
            call(wanted(**{field: value}))
        assert (refused.value.field, there.requests) == (field, [])


FULL = [
    "There are no longer any instances available with the requested specifications.",
    "There are no instances currently available",
    "No GPU available in this region",
    "no capacity",
    "Insufficient capacity for gpu NVIDIA A100 80GB PCIe",
    "This machine does not have enough resources: not enough free GPUs",
    "The requested GPU type is currently unavailable",
    "Out of stock",
    "The resources you asked for are not available right now",
]


@pytest.mark.parametrize("detail", FULL)
@pytest.mark.parametrize("status", [400, 500])
def test_no_capacity_is_told_by_its_words(
    runpod: RunPodTrainer, there: FakeVendor, detail: str, status: int
) -> None:
    there.on("POST", answer(status, {"title": "Bad Request", "status": status, "detail": detail}))
    with pytest.raises(ProviderError) as caught:
        runpod.submit(wanted())
    error = caught.value
    assert (error.refused, error.retryable, error.provider_code) == (True, True, "no_capacity")
    assert detail in error.words


REFUSED = [
    ("runpod_rule_broken", ErrorCategory.VALIDATION, False, "exactly one of gpu"),
    ("runpod_contract", ErrorCategory.VALIDATION, False, "validation failed"),
    ("runpod_bad_key", ErrorCategory.AUTHENTICATION, False, "invalid api key"),
    ("runpod_no_balance", ErrorCategory.AUTHENTICATION, False, "balance is too low"),
    ("runpod_rate_limited", ErrorCategory.RATE_LIMIT, True, "slow down"),
    ("runpod_no_capacity", ErrorCategory.SERVICE_ERROR, True, "no longer any instances"),
]


@pytest.mark.parametrize(("said", "category", "retryable", "words"), REFUSED)
def test_an_order_refused_for_certain(
    runpod: RunPodTrainer,
    there: FakeVendor,
    said: str,
    category: ErrorCategory,
    retryable: bool,
    words: str,
) -> None:
    there.on("POST", said)
    with pytest.raises(ProviderError) as caught:
        runpod.submit(wanted())
    error = caught.value
    assert (error.sent, error.refused, error.category, error.retryable) == (True, True, category, retryable)
    assert (error.provider_code == "no_capacity") is (said == "runpod_no_capacity")
    assert words in error.words
    assert len(there.requests) == 1


@pytest.mark.parametrize("reason", UNKNOWN_OUTCOMES)
def test_an_order_is_never_sent_twice(runpod: RunPodTrainer, there: FakeVendor, reason: str) -> None:
    there.on("POST", UNKNOWN_OUTCOMES[reason])
    with pytest.raises(ProviderError) as caught:
        runpod.submit(wanted())
    error = caught.value
    assert (error.sent, error.refused, error.retryable) == (True, False, False)
    assert len(there.requests) == 1
    assert "secret-1" not in str(error)


@pytest.mark.parametrize("reason", NEVER_SENT)
def test_an_order_that_never_left_says_so(runpod: RunPodTrainer, there: FakeVendor, reason: str) -> None:
    there.on("POST", NEVER_SENT[reason])
    with pytest.raises(ProviderError) as caught:
        runpod.submit(wanted())
    assert (caught.value.sent, caught.value.retryable) == (False, True)


def test_found_by_its_name(runpod: RunPodTrainer, there: FakeVendor) -> None:
    there.on("GET", "runpod_list", "runpod_list_empty")
    assert runpod.find(RUN, SINCE) == KNOWN
    assert runpod.find(RUN, SINCE) is None


def test_every_pod_of_ours_and_no_other(runpod: RunPodTrainer, there: FakeVendor) -> None:
    there.on("GET", "runpod_list")
    ours, by_hand = runpod.pods()
    assert (ours.id, ours.run_id, ours.status) == ("xedezhzb9la3ye", RUN, "RUNNING")
    assert (ours.usd_per_hour, ours.created_at) == (
        Decimal("1.79"),
        datetime(2026, 11, 20, 10, tzinfo=UTC),
    )
    assert (by_hand.id, by_hand.run_id, by_hand.usd_per_hour) == ("odd1", None, Decimal("0.5"))


@pytest.mark.parametrize("said", ["runpod_bad_key", answer(200, []), answer(200, {"pods": None})])
def test_a_list_that_failed_is_not_an_empty_one(runpod: RunPodTrainer, there: FakeVendor, said: Said) -> None:
    there.on("GET", said)
    with pytest.raises(ProviderError):
        runpod.pods()


def state(word: str, **more: Any) -> dict[str, Any]:
    return {"run_id": str(RUN), "state": word, "at": "2026-11-20T10:30:00+00:00", **more}


READ: list[tuple[str, Any, TrainingState, int | None]] = [
    ("runpod_provisioning", None, TrainingState.STARTING, None),
    ("runpod_starting", None, TrainingState.STARTING, None),
    ("runpod_running", None, TrainingState.STARTING, None),
    ("runpod_running", state("starting"), TrainingState.STARTING, None),
    ("runpod_running", state("training", step=250, steps=1000), TrainingState.RUNNING, 25),
    ("runpod_running", state("uploading", progress=99), TrainingState.RUNNING, 99),
    ("runpod_running", state("dreaming"), TrainingState.STARTING, None),
    ("runpod_running", ["no progress"], TrainingState.STARTING, None),
    ("runpod_running", {"state": 7, "step": -1, "steps": 0}, TrainingState.STARTING, None),
    ("runpod_running", state("done"), TrainingState.SUCCEEDED, 100),
    ("runpod_running", state("failed", error="x"), TrainingState.FAILED, None),
    ("runpod_exited", state("done"), TrainingState.SUCCEEDED, 100),
    ("runpod_exited", state("training", step=10, steps=1000), TrainingState.FAILED, 1),
    ("runpod_error", None, TrainingState.FAILED, None),
    ("runpod_terminated", None, TrainingState.CANCELLED, None),
    ("runpod_terminated", state("done"), TrainingState.SUCCEEDED, 100),
    ("runpod_unknown_pod", None, TrainingState.NOT_FOUND, None),
    ("runpod_unknown_pod", state("done"), TrainingState.SUCCEEDED, 100),
]


@pytest.mark.parametrize(("said", "progress", "expected", "percent"), READ)
def test_the_pods_word_and_runpods(
    runpod: RunPodTrainer,
    there: FakeVendor,
    told: Told,
    said: str,
    progress: Any,
    expected: TrainingState,
    percent: int | None,
) -> None:
    there.on("GET", said)
    told.progress = progress
    record = runpod.read(KNOWN)
    assert (record.state, record.progress) == (expected, percent)
    assert told.asked == [RUN]
    assert (record.weights_url, record.result_problem) == (None, None)
    assert (record.failure is not None) == (expected is TrainingState.FAILED)
    everything = repr(record) + json.dumps(record.raw)
    assert "secret-1" not in everything
    assert HUB_TOKEN not in everything


def test_a_word_of_runpods_that_nobody_knows(runpod: RunPodTrainer, there: FakeVendor) -> None:
    there.on("GET", answer(200, {"id": KNOWN.remote_id, "status": "MIGRATING"}))
    record = runpod.read(KNOWN)
    assert (record.state, record.state_word) == (TrainingState.UNKNOWN, "MIGRATING")


def test_what_it_costs(runpod: RunPodTrainer, there: FakeVendor, told: Told) -> None:
    there.on("GET", "runpod_running", "runpod_exited")
    record = runpod.read(KNOWN)
    assert (record.usd_per_hour, record.cost_usd) == (Decimal("1.79"), Decimal("0.8950"))
    told.progress = state("done")
    record = runpod.read(KNOWN)
    assert record.usd_per_hour == Decimal("1.79")
    assert record.cost_usd == round(Decimal("1.79") * 29 / 60, 4)
    assert record.ended_at == datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ("The ZIP of images could not be opened.", ErrorCategory.FILE_ERROR),
        ("The trainer ended with code 1.", ErrorCategory.SERVICE_ERROR),
        ("", ErrorCategory.SERVICE_ERROR),
    ],
)
def test_the_pods_own_words(
    runpod: RunPodTrainer, there: FakeVendor, told: Told, error: str, category: ErrorCategory
) -> None:
    there.on("GET", "runpod_running")
    told.progress = state("failed", error=error, log=["one", "two\nthree", 4])
    record = runpod.read(KNOWN)
    assert record.failure is not None
    assert (record.failure.category, record.failure.words) == (
        category,
        error or "The pod told of a failure without a reason.",
    )
    assert [line.message for line in record.log] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "said",
    [
        httpx.Response(404, text="<html>nginx</html>"),
        answer(200, {"id": "another", "status": "RUNNING"}),
        answer(200, {}),
        "runpod_bad_key",
    ],
    ids=["a-page", "another", "empty", "key"],
)
def test_a_reading_that_failed(runpod: RunPodTrainer, there: FakeVendor, said: Said) -> None:
    there.on("GET", said)
    with pytest.raises(ProviderError):
        runpod.read(KNOWN)
    with pytest.raises(ProviderError):
        runpod.release(KNOWN) if there.on("POST", httpx.Response(204)) else None


@pytest.mark.parametrize(
    ("terminated", "seen", "became"),
    [
        (httpx.Response(204), "runpod_unknown_pod", Cancelled.CONFIRMED),
        (httpx.Response(204), "runpod_terminated", Cancelled.CONFIRMED),
        (httpx.Response(204), "runpod_running", Cancelled.REQUESTED),
        ("runpod_wrong_state", "runpod_terminated", Cancelled.TOO_LATE),
        ("runpod_unknown_pod", "runpod_unknown_pod", Cancelled.NOT_FOUND),
    ],
)
def test_cancelling(
    runpod: RunPodTrainer, there: FakeVendor, terminated: Said, seen: str, became: Cancelled
) -> None:
    there.on("POST", terminated).on("GET", seen)
    assert runpod.cancel(KNOWN) is became
    assert str(there.requests[0].url) == f"{PODS}/{KNOWN.remote_id}/action"
    assert there.body() == {"action": "terminate"}


@pytest.mark.parametrize(
    ("terminated", "seen"),
    [
        (httpx.Response(204), "runpod_unknown_pod"),
        (httpx.Response(204), "runpod_terminated"),
        ("runpod_wrong_state", "runpod_terminated"),
        ("runpod_unknown_pod", "runpod_bad_key"),
    ],
)
def test_a_release_that_runpod_confirms(
    runpod: RunPodTrainer, there: FakeVendor, terminated: Said, seen: str
) -> None:
    there.on("POST", terminated).on("GET", seen)
    runpod.release(KNOWN)
    runpod.release(KNOWN)
    # Asked each time, and never believed without a look at it, unless RunPod knows no such pod.
    looks = 0 if terminated == "runpod_unknown_pod" else 2
    assert (len(there.sent("POST")), len(there.sent("GET"))) == (2, looks)


@pytest.mark.parametrize(
    ("terminated", "seen"),
    [
        (httpx.Response(204), "runpod_running"),
        ("runpod_wrong_state", "runpod_exited"),
        (httpx.Response(404, text="<html>nginx</html>"), "runpod_running"),
        ("runpod_rate_limited", "runpod_running"),
        (httpx.ConnectError("no"), "runpod_running"),
    ],
)
def test_a_pod_that_may_still_cost_money_is_not_released(
    runpod: RunPodTrainer, there: FakeVendor, terminated: Said, seen: str
) -> None:
    there.on("POST", terminated).on("GET", seen)
    with pytest.raises(ProviderError):
        runpod.release(KNOWN)


def test_runpod_sends_nothing(runpod: RunPodTrainer) -> None:
    with pytest.raises(NotFound):
        runpod.verify({}, b"", NOW)


def test_the_key_is_checked_for_free(runpod: RunPodTrainer, there: FakeVendor) -> None:
    there.on("GET", "runpod_list", "runpod_bad_key")
    assert runpod.check_key() == "the key is accepted, 2 pods of ours"
    with pytest.raises(ProviderError, match="Check RUNPOD_API_KEY"):
        runpod.check_key()


@pytest.mark.parametrize("missing", ["RUNPOD_API_KEY", "HUGGINGFACE_API_TOKEN"])
def test_settings_that_stop_it(missing: str) -> None:
    given = {"RUNPOD_API_KEY": KEY, "HUGGINGFACE_API_TOKEN": HUB_TOKEN, missing: ""}
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        from_settings(load(given), lambda _: None)
