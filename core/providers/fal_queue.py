"""fal's queue, which every model of fal's is asked through: https://docs.fal.ai/model-apis/model-endpoints/queue.

fal's own package sends a submission up to ten times again, and the queue knows no idempotency key: it can
launch a paid training twice. So every call is ours, and a submission is one POST. The queue has no word for
failure: it is COMPLETED with an `error`, or with a result that is the model's own refusal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from core.errors import ProviderError
from core.providers.api import Api, Vendor, id_of, moment_of
from core.providers.fal_codes import complaints, failure_of
from core.providers.http import Answer
from core.providers.training import Cancelled, Failure, LogLine, Submission, TrainingState
from core.providers.training_logs import MAX_LINE, MAX_LINES, lines_of

FAL = Vendor("fal", "FAL_KEY", "FAL_QUEUE_URL")
# Where the queue's answers may send us with the key; every other address is made from the request's id.
_OWN_HOSTS = ("fal.run", "fal.ai")
_ADDRESSES = ("status_url", "response_url", "cancel_url")
_STATES = {
    "IN_QUEUE": TrainingState.QUEUED,
    "IN_PROGRESS": TrainingState.RUNNING,
    "COMPLETED": TrainingState.SUCCEEDED,
    # Not documented as words of the status; what a cancelled request reads as is left open.
    "CANCELLED": TrainingState.CANCELLED,
    "CANCELED": TrainingState.CANCELLED,
}


@dataclass(frozen=True)
class Queued:
    """A request as the queue tells it: `result` is the model's whole answer once it has SUCCEEDED."""

    state: TrainingState
    word: str = ""
    position: int | None = None
    log: tuple[LogLine, ...] = ()
    result: Mapping[str, Any] | None = None
    failure: Failure | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


class FalQueue:
    """One model at fal. Safe to share between threads."""

    def __init__(
        self,
        app: str,
        api_key: str,
        *,
        queue_url: str = "https://queue.fal.run",
        transport: httpx.BaseTransport | None = None,
        deadline: float = 60.0,
    ) -> None:
        self._app = app
        self.api = Api(FAL, api_key, base_url=queue_url, scheme="Key", transport=transport, deadline=deadline)

    def submit(self, model_input: Mapping[str, Any], webhook_url: str | None) -> Submission:
        """One paid POST; the ids and addresses from its answer."""
        params = {"fal_webhook": webhook_url} if webhook_url else None
        answer = self.api.pay(f"/{self._app}", params=params, body=model_input)
        body = answer.json_object() or {}
        request_id = id_of(body.get("request_id"))
        if not 200 <= answer.status < 300 or request_id is None:
            fault = FAL.unusable if answer.status < 300 else None
            raise self.api.paid_error(answer, names_an_id=request_id is not None, fault=fault)
        found = {name: body[name] for name in _ADDRESSES if self._is_fals(body.get(name))}
        return Submission(request_id, found)

    def read(self, submission: Submission) -> Queued:
        """The request as it stands; once completed, one more GET for its result."""
        address = httpx.URL(self._address(submission, "status_url")).copy_merge_params({"logs": "1"})
        answer = self.api.ask("GET", str(address))
        body = answer.json_object() or {}
        word = body.get("status")
        if answer.status == 404 and ("detail" in body or "status" in body):
            return Queued(TrainingState.NOT_FOUND, raw=self.api.mask(body))
        if answer.status not in {200, 202} or not isinstance(word, str):
            raise self.api.error(answer, fault=FAL.unusable if answer.status < 300 else None)
        state = _STATES.get(word.strip().upper(), TrainingState.UNKNOWN)
        queued = Queued(
            state,
            self.api.clean(word)[:100],
            position=_position_in(body),
            log=self._log_in(body),
            raw=self.api.mask({key: value for key, value in body.items() if key != "logs"}),
        )
        return self._ended(queued, body, submission) if state is TrainingState.SUCCEEDED else queued

    def cancel(self, submission: Submission) -> Cancelled:
        """Ask for its end. A request that waits is taken out at once, a running one ends when it can."""
        answer = self.api.ask("PUT", self._address(submission, "cancel_url"))
        word = str((answer.json_object() or {}).get("status", "")).upper()
        if answer.status == 404 and word in {"NOT_FOUND", ""} and answer.json_object():
            return Cancelled.NOT_FOUND
        if answer.status == 400 and word == "ALREADY_COMPLETED":
            return Cancelled.TOO_LATE
        if answer.status == 202 or word == "CANCELLATION_REQUESTED":
            return Cancelled.REQUESTED
        if answer.status == 200:
            return Cancelled.CONFIRMED
        raise self.api.error(answer)

    def check_key(self) -> None:
        """Ask for a request that nobody made: only a good key is told that there is none. Free."""
        answer = self.api.ask("GET", self._made("00000000-0000-4000-8000-000000000000") + "/status")
        if answer.status not in {200, 202, 404}:
            raise self.api.error(answer)

    def close(self) -> None:
        self.api.close()

    def _ended(self, queued: Queued, status: Mapping[str, Any], submission: Submission) -> Queued:
        answer = self.api.ask("GET", self._address(submission, "response_url"))
        body = answer.json_object() or {}
        raw = {**queued.raw, "result": self.api.mask(body), "result_status": answer.status}
        if status.get("error") or (answer.status != 404 and answer.status >= 400 and _is_models(body)):
            failure = failure_of(status, answer, self.api.secrets)
            stopped = "cancel" in (failure.code or "").lower() or answer.status == 499
            state = TrainingState.CANCELLED if stopped else TrainingState.FAILED
            return Queued(state, queued.word, log=queued.log, failure=failure, raw=raw)
        if answer.status == 404:
            return Queued(queued.state, queued.word, log=queued.log, result={}, raw=raw)
        if answer.status != 200 or not body:
            raise _try_again(self.api, answer)
        return Queued(queued.state, queued.word, log=queued.log, result=body, raw=raw)

    def _log_in(self, body: Mapping[str, Any]) -> tuple[LogLine, ...]:
        entries = body.get("logs")
        found = [
            LogLine(self.api.clean(line)[:MAX_LINE], moment_of(entry.get("timestamp")))
            for entry in (entries if isinstance(entries, list) else [])[-MAX_LINES:]
            if isinstance(entry, Mapping) and isinstance(entry.get("message"), str)
            for line in lines_of(entry["message"])
        ]
        return tuple(found[-MAX_LINES:])

    def _address(self, submission: Submission, name: str) -> str:
        """fal's own address as it gave it; one made from the id where a webhook told of it alone."""
        given = submission.handle.get(name)
        if given and self._is_fals(given):
            return given
        ending = {"status_url": "/status", "response_url": "", "cancel_url": "/cancel"}[name]
        return self._made(submission.remote_id) + ending

    def _made(self, request_id: str) -> str:
        # A model's own path below its app is no part of a request's address.
        owner, name = self._app.split("/")[:2]
        return f"/{owner}/{name}/requests/{quote(request_id, safe='')}"

    def _is_fals(self, url: Any) -> bool:
        """Whether the key may be shown there."""
        if not isinstance(url, str) or not url.isprintable():
            return False
        try:
            there = httpx.URL(url)
        except httpx.InvalidURL:
            return False
        own = self.api.base_url
        if there.userinfo:
            return False
        if (there.scheme, there.host, there.port) == (own.scheme, own.host, own.port):
            return True
        known = any(there.host == host or there.host.endswith(f".{host}") for host in _OWN_HOSTS)
        return there.scheme == "https" and there.port is None and known


def _is_models(body: Mapping[str, Any]) -> bool:
    """Whether an error is the model's or the queue's final word, not that of something in between.

    "Not finished" is a 400 with a text for `detail` and no type; anything of that kind is asked for again.
    """
    return bool(complaints(body)) or isinstance(body.get("error_type"), str)


def _position_in(body: Mapping[str, Any]) -> int | None:
    position = body.get("queue_position")
    return (
        position if isinstance(position, int) and not isinstance(position, bool) and position >= 0 else None
    )


def _try_again(api: Api, answer: Answer) -> ProviderError:
    """The status says completed, the result does not come: read it again, whatever it says."""
    fault = FAL.unusable if answer.status in {200, 400} else None
    return api.error(answer, fault=fault)
