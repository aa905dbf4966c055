"""LoRA trainings on pods of our own at RunPod: https://docs.runpod.io/api-reference-v2.

A pod costs money from its start until it is terminated, whatever runs in it, so `release` is part of every
ending, and `pods` finds those that somebody forgot. Its name carries our run's id.

A pod is asked nothing: it pushes. `read` puts RunPod's word for the pod beside what the pod has written to
the run's progress address, which `progress` reads; it returns None while there is nothing and never raises.
A SUCCEEDED record has no `weights_url`: the weights lie at `PushTargets.weights_url` already.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from core.errors import ErrorCategory, InvalidInput, NotFound, ProviderError
from core.providers.api import Api, Vendor
from core.providers.http import Answer, Fault
from core.providers.runpod_pods import (
    NAME_PREFIX,
    Pod,
    Told,
    dollars_of,
    name_of,
    order,
    pod_from,
    run_of,
    told_by,
)
from core.providers.training import (
    Bounds,
    Cancelled,
    Failure,
    Submission,
    TrainingRecord,
    TrainingRequest,
    TrainingState,
    WebhookEvent,
)
from core.providers.training_requests import LEARNING_RATES, check
from core.settings import Settings

RUNPOD = Vendor("RunPod", "RUNPOD_API_KEY", "RUNPOD_BASE_URL")
BOUNDS = Bounds(images=(3, 12), steps=(10, 6_000), learning_rate=LEARNING_RATES, rank=(1, 128))
CEILING = timedelta(hours=4)
# A pod costs from its first second; its image and the ZIP are there within minutes.
STARTS_WITHIN = timedelta(minutes=45)
NO_CAPACITY = "no_capacity"
# RunPod tells it apart from a broken rule by its words alone, and does not document them.
_FULL = re.compile(
    r"(?i)no[- ](?:longer[- ])?(?:any[- ])?(?:gpu[- ])?capacity|insufficient (?:capacity|resources|supply)|"
    r"out of (?:capacity|stock)|not enough (?:capacity|gpus?|resources|free)|at capacity|low supply|"
    r"no\b[^.]{0,40}\b(?:instances?|gpus?|machines?|hosts?|pods?|resources?)\b[^.]{0,40}\bavailable|"
    r"(?:instances?|gpus?|machines?|resources?)\b[^.]{0,60}\b"
    r"(?:unavailable|(?:not|n't) (?:currently )?available)"
)
_FULL_FAULT = Fault(
    ErrorCategory.SERVICE_ERROR,
    True,
    "RunPod has no machine of this kind free. Try later or elsewhere.",
    True,
)
_STATES = {
    "PROVISIONING": TrainingState.STARTING,
    "STARTING": TrainingState.STARTING,
    "RUNNING": TrainingState.RUNNING,
    "EXITED": TrainingState.FAILED,
    "ERROR": TrainingState.FAILED,
    "TERMINATED": TrainingState.CANCELLED,
}
_GONE = "TERMINATED"
_RUNNING = {"PROVISIONING", "STARTING", "RUNNING"}

ProgressReader = Callable[[UUID], Mapping[str, Any] | None]


class RunPodTrainer:
    """Our pods at RunPod; a `core.providers.training.Trainer`. `hub_token` reads FLUX.1-dev from Hugging
    Face inside the pod. `mark` stands in the pods' names: who shares an account never ends pods of another's.
    `clock` tells what a pod has cost so far. `transport` replaces the network."""

    def __init__(
        self,
        api_key: str,
        *,
        progress: ProgressReader,
        base_url: str = "https://api.runpod.io/v2",
        hub_token: str = "",
        mark: str = "",
        transport: httpx.BaseTransport | None = None,
        deadline: float = 60.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._progress = progress
        self._hub_token = hub_token
        self.mark = mark
        self._clock = clock
        self._api = Api(
            RUNPOD, api_key, base_url=base_url, secrets=(hub_token,), transport=transport, deadline=deadline
        )

    @property
    def bounds(self) -> Bounds:
        return BOUNDS

    @property
    def ceiling(self) -> timedelta:
        return CEILING

    @property
    def starts_within(self) -> timedelta | None:
        return STARTS_WITHIN

    def prepare(self, request: TrainingRequest) -> None:
        check(request, BOUNDS, "RunPod")
        if request.push is None:
            raise InvalidInput("push", "A pod needs addresses that it may write weights and progress to.")

    def submit(self, request: TrainingRequest) -> Submission:
        self.prepare(request)
        answer = self._api.pay("/pods", body=order(request, self._hub_token, self.mark))
        pod = pod_from(answer.json_object())
        if answer.status in {200, 201, 202} and pod is not None:
            return _submission(pod, name_of(request.run_id, self.mark))
        if pod is None and _is_full(answer):
            raise self._api.error(answer, fault=_FULL_FAULT, code=NO_CAPACITY)
        fault = RUNPOD.unusable if answer.status < 300 else None
        raise self._api.paid_error(answer, names_an_id=pod is not None, fault=fault)

    def find(self, run_id: UUID, since: datetime) -> Submission | None:
        found = [pod for pod in self.pods() if pod.run_id == run_id]
        return _submission(found[0], found[0].name) if found else None

    def pods(self) -> Sequence[Pod]:
        """Every pod of the product's that is not terminated, whichever installation's it is by its mark."""
        answer = self._api.ask("GET", "/pods")
        listed = (answer.json_object() or {}).get("pods")
        if answer.status != 200 or not isinstance(listed, list):
            raise self._error(answer)
        found = [pod for item in listed if (pod := pod_from(item)) is not None]
        return [pod for pod in found if pod.name.startswith(NAME_PREFIX) and pod.status != _GONE]

    def read(self, submission: Submission) -> TrainingRecord:
        answer = self._api.ask("GET", self._path(submission))
        pod = pod_from(answer.json_object())
        if answer.status != 404 and (answer.status != 200 or pod is None):
            raise self._error(answer)
        if answer.status == 404 and not _is_runpods(answer):
            raise self._error(answer)
        if pod is not None and pod.id != submission.remote_id:
            raise self._api.error(answer, fault=RUNPOD.unusable, words="it told of another pod")
        run_id = run_of(submission.handle.get("name", "")) or (pod.run_id if pod else None)
        told = told_by(self._progress(run_id) if run_id else None, self._api)
        return self._record(submission, answer, pod if answer.status == 200 else None, told)

    def cancel(self, submission: Submission) -> Cancelled:
        answer = self._terminate(submission)
        if answer.status == 404:
            return Cancelled.NOT_FOUND
        gone = self._is_gone(submission)
        if answer.status == 409:
            if gone:
                return Cancelled.TOO_LATE
            raise self._error(answer)
        return Cancelled.CONFIRMED if gone else Cancelled.REQUESTED

    def release(self, submission: Submission) -> None:
        answer = self._terminate(submission)
        if answer.status == 404 or self._is_gone(submission):
            return
        raise ProviderError(
            f"RunPod has not confirmed yet that pod {submission.remote_id} is terminated. Try again soon.",
            category=ErrorCategory.SERVICE_ERROR,
            retryable=True,
            status=answer.status,
        )

    def billed(self, pod_id: str, since: datetime) -> Decimal | None:
        """What RunPod has billed for a pod since the day of `since`, which it did not exist before, dollars;
        None while there is no bill of it. Without a day RunPod tells of its last 30 alone."""
        day = since.astimezone(UTC).strftime("%Y-%m-%dT00:00:00Z")
        answer = self._api.ask("GET", "/billing/pods", params={"podId": pod_id, "startTime": day})
        records = (answer.json_object() or {}).get("records")
        if answer.status != 200 or not isinstance(records, list):
            raise self._error(answer)
        amounts = [
            dollars_of(record.get("totalAmount"))
            for record in records
            if isinstance(record, Mapping) and record.get("podId") == pod_id
        ]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal(0)) if known else None

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
        raise NotFound("RunPod sends no webhooks.")

    def check_key(self) -> str:
        """Whether the account's key is good, as a sentence. Free."""
        count = len(self.pods())
        return f"the key is accepted, {count} {'pod' if count == 1 else 'pods'} of ours"

    def close(self) -> None:
        self._api.close()

    def _terminate(self, submission: Submission) -> Answer:
        answer = self._api.ask("POST", f"{self._path(submission)}/action", body={"action": "terminate"})
        known = answer.status in {200, 202, 204, 409} or (answer.status == 404 and _is_runpods(answer))
        if not known:
            raise self._error(answer)
        return answer

    def _is_gone(self, submission: Submission) -> bool:
        """Whether RunPod itself says that the pod is no more."""
        answer = self._api.ask("GET", self._path(submission))
        if answer.status == 404 and _is_runpods(answer):
            return True
        pod = pod_from(answer.json_object())
        if answer.status != 200 or pod is None:
            raise self._error(answer)
        return pod.status == _GONE

    def _record(self, submission: Submission, answer: Answer, pod: Pod | None, told: Told) -> TrainingRecord:
        state = _state_of(pod, told)
        rate = _rate_of(pod, submission)
        ended = told.at if state in {TrainingState.SUCCEEDED, TrainingState.FAILED} else None
        began = pod.started_at or pod.created_at if pod else None
        until = self._clock() if pod and pod.status in _RUNNING else ended
        hours = max((until - began).total_seconds(), 0) / 3600 if until and began else None
        return TrainingRecord(
            submission.remote_id,
            state,
            self._api.clean(f"{pod.status if pod else 'no such pod'} {told.word}"),
            progress=told.percent,
            log=told.log,
            failure=_failure_of(pod, told) if state is TrainingState.FAILED else None,
            cost_usd=None if rate is None or hours is None else round(rate * Decimal(hours), 4),
            usd_per_hour=rate,
            started_at=began,
            ended_at=ended,
            heard_at=told.at,
            raw=self._raw(answer, told),
        )

    def _raw(self, answer: Answer, told: Told) -> Mapping[str, Any]:
        """RunPod's answer without the pod's environment and arguments, which are ours and hold addresses."""
        body = {name: value for name, value in (answer.json_object() or {}).items() if name != "args"}
        if isinstance(body.get("env"), Mapping):
            body["env"] = sorted(body["env"])
        progress = {"state": told.word, "at": told.at.isoformat() if told.at else None, "error": told.error}
        return {**self._api.mask(body), "progress": progress}

    def _path(self, submission: Submission) -> str:
        return f"/pods/{quote(submission.remote_id, safe='')}"

    def _error(self, answer: Answer) -> ProviderError:
        return self._api.error(answer, fault=RUNPOD.unusable if answer.status < 300 else None)


def _submission(pod: Pod, name: str) -> Submission:
    rate = {"usd_per_hour": str(pod.usd_per_hour)} if pod.usd_per_hour else {}
    return Submission(pod.id, {"name": name, **rate})


def _state_of(pod: Pod | None, told: Told) -> TrainingState:
    """What the pod has written of its end counts more than what became of the pod afterwards."""
    if told.state is not None and told.state.is_final:
        return told.state
    if pod is None:
        return TrainingState.NOT_FOUND
    state = _STATES.get(pod.status, TrainingState.UNKNOWN)
    # A running pod pulls its image and the base model first, and tells when it trains.
    return (told.state or TrainingState.STARTING) if state is TrainingState.RUNNING else state


def _failure_of(pod: Pod | None, told: Told) -> Failure:
    if told.state is TrainingState.FAILED:
        words = told.error or "The pod told of a failure without a reason."
        file = bool(re.search(r"(?i)\bzip\b|image file|upload|download", words))
        return Failure(ErrorCategory.FILE_ERROR if file else ErrorCategory.SERVICE_ERROR, True, words)
    status = pod.status if pod else ""
    return Failure(
        ErrorCategory.SERVICE_ERROR,
        True,
        f"The pod ended ({status}) before it had pushed its weights.",
        status or None,
    )


def _rate_of(pod: Pod | None, submission: Submission) -> Decimal | None:
    """Dollars an hour now; what it was at the start once RunPod names 0 because the pod has ended."""
    if pod and pod.usd_per_hour:
        return pod.usd_per_hour
    noted = submission.handle.get("usd_per_hour", "")
    return Decimal(noted) if re.fullmatch(r"\d{1,5}(\.\d{1,10})?", noted) else None


def _is_full(answer: Answer) -> bool:
    """Whether RunPod says in its own words that it has no such machine free."""
    body = answer.json_object() or {}
    told = " ".join(str(body.get(part, "")) for part in ("title", "detail", "error", "message", "errors"))
    return answer.status in {400, 404, 409, 422, 500, 503} and bool(_FULL.search(told))


def _is_runpods(answer: Answer) -> bool:
    """A 404 of RunPod's own is a problem in JSON; one of some other server in between is not."""
    body = answer.json_object() or {}
    return any(name in body for name in ("title", "detail", "status"))


def from_settings(settings: Settings, progress: ProgressReader) -> RunPodTrainer:
    """The trainer for the configured account. Raises SettingsError for what is missing."""
    return RunPodTrainer(
        settings.require("RUNPOD_API_KEY"),
        progress=progress,
        base_url=settings.runpod_base_url,
        hub_token=settings.require("HUGGINGFACE_API_TOKEN"),
        # Where pods push to is what installations with one account differ in.
        mark=hashlib.sha256(settings.public_base_url.encode()).hexdigest()[:8],
    )
