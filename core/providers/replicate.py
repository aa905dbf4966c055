"""LoRA trainings at Replicate: https://replicate.com/docs/reference/http, ostris/flux-dev-lora-trainer.

A training has no key of ours and tells neither its destination nor its webhook. What it does tell is its
input, so the run's id also stands behind a `#` at the address of the images, a part that no download sends,
and in the destination, of which a success names the new version: `find` looks for it in all of it.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID

import httpx

from core.errors import ErrorCategory, ProviderError, SettingsError
from core.providers.api import Api, Vendor, id_of
from core.providers.http import Answer
from core.providers.replicate_records import created_in, record_from
from core.providers.replicate_webhooks import ReplicateWebhooks
from core.providers.training import (
    Bounds,
    Cancelled,
    Submission,
    TrainingRecord,
    TrainingRequest,
    TrainingState,
    WebhookEvent,
)
from core.providers.training_requests import LEARNING_RATES, check
from core.settings import Settings

REPLICATE = Vendor("Replicate", "REPLICATE_API_TOKEN", "REPLICATE_BASE_URL")
TRAINER = "ostris/flux-dev-lora-trainer"
# A version of the trainer in wide use; Replicate keeps old ones. REPLICATE_TRAINER_VERSION chooses another.
VERSION = "26dce37af90b9d997eeb970d92e47de3064d46c300504ae376c75bef6a9022d2"
RESULT_HOSTS = ("replicate.delivery", "*.replicate.delivery")
BOUNDS = Bounds(images=(3, 12), steps=(3, 6_000), learning_rate=LEARNING_RATES, rank=(1, 128))
CEILING = timedelta(hours=3)
# What the destination would run on if somebody asked it for an image there; we do not.
_HARDWARE = "gpu-h100"
# Of 100 trainings each: as far back as `find` looks.
MAX_PAGES = 10
# A training may carry the provider's clock, which can run a little behind ours.
_CLOCKS_APART = timedelta(minutes=10)
_RESETS = re.compile(r"(?i)resets? in ~?\s*(\d{1,4})\s*s")


class ReplicateTrainer:
    """Replicate's trainer; a `core.providers.training.Trainer`. `owner` is the account or organisation that
    the trained models are made under. `transport` replaces the network."""

    def __init__(
        self,
        api_token: str,
        *,
        owner: str,
        base_url: str = "https://api.replicate.com/v1",
        version: str = "",
        webhook_secret: str = "",
        transport: httpx.BaseTransport | None = None,
        deadline: float = 60.0,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", owner):
            raise SettingsError(
                "REPLICATE_OWNER must be the name of an account or organisation at Replicate."
            )
        if not re.fullmatch(r"[0-9a-f]{64}", version or VERSION):
            raise SettingsError(
                "REPLICATE_TRAINER_VERSION must be a version's id: 64 hexadecimal characters."
            )
        self._owner = owner
        self._version = version or VERSION
        self._api = Api(
            REPLICATE,
            api_token,
            base_url=base_url,
            secrets=(webhook_secret,),
            transport=transport,
            deadline=deadline,
        )
        self._webhooks = ReplicateWebhooks(self._api, webhook_secret)

    @property
    def bounds(self) -> Bounds:
        return BOUNDS

    @property
    def ceiling(self) -> timedelta:
        return CEILING

    @property
    def starts_within(self) -> timedelta | None:
        return None

    def prepare(self, request: TrainingRequest) -> None:
        """The private model that the training is pushed to, one a run."""
        check(request, BOUNDS, "Replicate")
        name = _model_name(request.run_id)
        if self._has_model(name):
            return
        wanted = {"owner": self._owner, "name": name, "visibility": "private", "hardware": _HARDWARE}
        answer = self._api.ask("POST", "/models", body=wanted)
        # Somebody else may have made it meanwhile, which Replicate may call a conflict or an invalid name.
        if answer.status not in {200, 201} and not (answer.status in {409, 422} and self._has_model(name)):
            raise self._error(answer)

    def submit(self, request: TrainingRequest) -> Submission:
        check(request, BOUNDS, "Replicate")
        answer = self._api.pay(
            f"/models/{TRAINER}/versions/{self._version}/trainings", body=self._body(request)
        )
        training_id = id_of((answer.json_object() or {}).get("id"))
        if answer.status not in {200, 201} or training_id is None:
            fault = REPLICATE.unusable if answer.status < 300 else None
            raise _patient(
                self._api.paid_error(answer, names_an_id=training_id is not None, fault=fault), answer
            )
        return Submission(training_id)

    def find(self, run_id: UUID, since: datetime) -> Submission | None:
        for training in self._trainings(since - _CLOCKS_APART):
            training_id = id_of(training.get("id"))
            if training_id and _is_of(training, run_id):
                return Submission(training_id)
        return None

    def read(self, submission: Submission) -> TrainingRecord:
        answer = self._api.ask("GET", self._path(submission))
        body = answer.json_object() or {}
        if answer.status == 404 and "detail" in body:
            return TrainingRecord(
                submission.remote_id, TrainingState.NOT_FOUND, raw=self._api.mask(body), weights_kind="tar"
            )
        if answer.status != 200 or not isinstance(body.get("status"), str):
            raise self._error(answer)
        if body.get("id") not in {None, submission.remote_id}:
            raise self._api.error(answer, fault=REPLICATE.unusable, words="it told of another training")
        return record_from(body, submission.remote_id, self._api)

    def cancel(self, submission: Submission) -> Cancelled:
        answer = self._api.ask("POST", f"{self._path(submission)}/cancel")
        body = answer.json_object() or {}
        if answer.status == 404 and "detail" in body:
            return Cancelled.NOT_FOUND
        if answer.status not in {200, 201, 202} or not isinstance(body.get("status"), str):
            raise self._error(answer)
        state = record_from(body, submission.remote_id, self._api).state
        if state is TrainingState.CANCELLED:
            return Cancelled.CONFIRMED
        return Cancelled.TOO_LATE if state.is_final else Cancelled.REQUESTED

    def release(self, submission: Submission) -> None:
        """Nothing goes on costing money at Replicate."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
        return self._webhooks.verify(headers, body, now)

    def check_key(self) -> str:
        """Whether the account's token is good, as a sentence. Free."""
        answer = self._api.ask("GET", "/trainings")
        if answer.status != 200:
            raise self._error(answer)
        return "the token is accepted"

    def close(self) -> None:
        self._api.close()

    def _body(self, request: TrainingRequest) -> dict[str, Any]:
        optional = {
            "learning_rate": None if request.learning_rate is None else float(request.learning_rate),
            "lora_rank": request.rank,
        }
        body: dict[str, Any] = {
            "destination": f"{self._owner}/{_model_name(request.run_id)}",
            "input": {
                "input_images": _address(request),
                "trigger_word": request.trigger_word,
                "steps": request.steps,
                "autocaption": True,
                **{name: value for name, value in optional.items() if value is not None},
            },
        }
        if request.webhook_url:
            body |= {"webhook": request.webhook_url, "webhook_events_filter": ["start", "completed"]}
        return body

    def _has_model(self, name: str) -> bool:
        answer = self._api.ask("GET", f"/models/{self._owner}/{name}")
        if answer.status == 404 and answer.json_object():
            return False
        if answer.status != 200:
            raise self._error(answer)
        return True

    def _trainings(self, since: datetime) -> Iterator[Mapping[str, Any]]:
        """The account's trainings, the newest first, back to `since`."""
        cursor: Mapping[str, str] | None = None
        for _ in range(MAX_PAGES):
            answer = self._api.ask("GET", "/trainings", params=cursor)
            body = answer.json_object() or {}
            results = body.get("results")
            if answer.status != 200 or not isinstance(results, list):
                raise self._error(answer)
            listed = [item for item in results if isinstance(item, Mapping)]
            yield from listed
            created = [at for item in listed if (at := created_in(item))]
            cursor = _cursor_in(body.get("next"))
            if cursor is None or (created and min(created) < since):
                return
        raise ProviderError(
            f"Replicate lists more than {MAX_PAGES} pages of trainings, too many to look for this one.",
            category=ErrorCategory.SERVICE_ERROR,
            retryable=True,
        )

    def _path(self, submission: Submission) -> str:
        return f"/trainings/{quote(submission.remote_id, safe='')}"

    def _error(self, answer: Answer) -> ProviderError:
        fault = REPLICATE.unusable if answer.status < 300 else None
        return _patient(self._api.error(answer, fault=fault), answer)


def _model_name(run_id: UUID) -> str:
    return f"lora-{run_id}"


def _address(request: TrainingRequest) -> str:
    """The images' address with the run's id where only the list of trainings shows it."""
    url, run_id = request.dataset_url, str(request.run_id)
    return url if run_id in url or "#" in url else f"{url}#run={run_id}"


def _is_of(training: Mapping[str, Any], run_id: UUID) -> bool:
    told = [training.get(part) for part in ("input", "webhook", "destination", "output")]
    return str(run_id) in str(told)


def _cursor_in(following: Any) -> Mapping[str, str] | None:
    """The next page's query; its host is of no interest, ours gets the token."""
    if not isinstance(following, str):
        return None
    query = {name: values[-1] for name, values in parse_qs(urlsplit(following).query).items()}
    return query or None


def _patient(error: ProviderError, answer: Answer) -> ProviderError:
    """With the wait that Replicate names in its words, where no header does."""
    found = _RESETS.search(error.words)
    if error.retry_after is None and answer.status == 429 and found:
        error.retry_after = float(found[1])
    return error


def from_settings(settings: Settings) -> ReplicateTrainer:
    """The trainer for the configured account. Raises SettingsError for what is missing."""
    secret = settings.replicate_webhook_secret
    return ReplicateTrainer(
        settings.require("REPLICATE_API_TOKEN"),
        owner=settings.require("REPLICATE_OWNER"),
        base_url=settings.replicate_base_url,
        version=settings.replicate_trainer_version,
        webhook_secret=secret.get_secret_value() if secret else "",
    )
