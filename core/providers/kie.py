"""The client of KIE.ai: https://docs.kie.ai, `/api/v1/jobs/*` and the common calls.

Not settled by KIE's documents, and handled either way: an error may come with HTTP 200 or with its
own status; its words may be called `msg` or `message`; an unknown task may be 422 "recordInfo is
null", 404, or a success whose `data` is null.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import httpx

from core.errors import InvalidInput, ProviderError, SettingsError
from core.providers.contract import ProviderState, Task, TaskRecord
from core.providers.http import Answer, Fault, clean, client, mask, send
from core.providers.kie_codes import BLOCKED_BY_EDGE, UNUSABLE, fault_of
from core.providers.kie_records import record_from
from core.settings import Settings

RESULT_HOSTS = ("tempfile.aiquickdraw.com", "static.aiquickdraw.com", "kieai.redpandaai.co")
MAX_TASK_ID = 200
# Shorter ones would blot out ordinary words; those are masked by their place in a URL alone.
_SHORTEST_SECRET = 8


class KieClient:
    """KIE.ai over HTTP; a `core.providers.contract.GenerationProvider`.

    `secrets` are values to mask in every text besides the key itself. `transport` replaces the
    network. Times are in seconds; `deadline` bounds a whole answer, however slowly it drips.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://api.kie.ai",
        secrets: tuple[str, ...] = (),
        transport: httpx.BaseTransport | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        deadline: float = 60.0,
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise SettingsError("KIE_API_KEY must be one word of printable ASCII characters. Copy it again.")
        self._secrets = tuple(text for text in (api_key, *secrets) if len(text) >= _SHORTEST_SECRET)
        self._deadline = deadline

        made = partial(
            client,
            base_url,
            f"Bearer {api_key}",
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
            connections=50,
            transport=transport,
        )
        self._reads = made(keepalive=20)
        self._creates = made(keepalive=0)

    def create(self, model: str, model_input: Mapping[str, Any], callback_url: str | None) -> Task:
        body: dict[str, Any] = {"model": model, "input": dict(model_input)}
        if callback_url:
            body["callBackUrl"] = callback_url
        try:
            answer = self._send(self._creates, "POST", "/api/v1/jobs/createTask", body=body)
        except ProviderError as error:
            if not error.sent:
                raise
            raise _unknown_outcome(error) from error
        envelope = answer.json_object() or {}
        task_id = _task_id_in(envelope)
        if _code_of(answer, envelope) == 200 and task_id:
            return Task(task_id)
        raise self._create_error(answer, envelope, task_id)

    def record(self, task_id: str, model: str = "", addresses: Mapping[str, str] | None = None) -> TaskRecord:
        if not re.fullmatch(rf"[\x21-\x7e]{{1,{MAX_TASK_ID}}}", task_id):
            raise InvalidInput(
                "taskId", f"A KIE task id has 1 to {MAX_TASK_ID} printable characters and no spaces."
            )
        answer = self._send(self._reads, "GET", "/api/v1/jobs/recordInfo", params={"taskId": task_id})
        envelope = answer.json_object() or {}
        data = envelope.get("data")
        # A failed task may come as code 501 with the record beside it: the record counts.
        if isinstance(data, dict) and (data.get("state") or (data and _code_of(answer, envelope) == 200)):
            return self._record(data, task_id)
        if _says_unknown_task(answer, envelope):
            words = self._words(answer, envelope)
            return TaskRecord(
                task_id, ProviderState.NOT_FOUND, fail_message=words, raw=mask(envelope, self._secrets)
            )
        raise self._error(answer, envelope)

    def fresh_url(self, url: str) -> str:
        answer = self._send(self._reads, "POST", "/api/v1/common/download-url", body={"url": url})
        envelope = answer.json_object() or {}
        fresh = envelope.get("data")
        if _code_of(answer, envelope) == 200 and isinstance(fresh, str) and "://" in fresh:
            return fresh
        raise self._error(answer, envelope)

    def check_key(self) -> str:
        return f"{self.credit().normalize():,f} credits left"

    def credit(self) -> Decimal:
        """The account's remaining credits. Idempotent, free."""
        answer = self._send(self._reads, "GET", "/api/v1/chat/credit")
        envelope = answer.json_object() or {}
        amount = envelope.get("data")
        number = re.fullmatch(r"-?\d{1,15}(\.\d{1,10})?", str(amount).strip(), re.ASCII)
        if number and _code_of(answer, envelope) == 200:
            return Decimal(number[0])
        raise self._error(answer, envelope)

    def close(self) -> None:
        self._reads.close()
        self._creates.close()

    def _send(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        return send(
            client,
            method,
            path,
            provider="KIE",
            deadline_seconds=self._deadline,
            params=params,
            body=body,
        )

    def _record(self, data: dict[str, Any], task_id: str) -> TaskRecord:
        answered_for = data.get("taskId", data.get("task_id"))
        if answered_for is not None and str(answered_for) != task_id:
            raise ProviderError(
                f"KIE answered about task {clean(str(answered_for), self._secrets, 80)} when asked for "
                f"{task_id}. Try again; report it to KIE if it lasts.",
                category=UNUSABLE.category,
                retryable=True,
            )
        return record_from(data, task_id, self._secrets)

    def _words(self, answer: Answer, envelope: Mapping[str, Any]) -> str:
        """The provider's own words: the body's message, or the text of a page that is no JSON."""
        said = envelope.get("msg") or envelope.get("message")
        if isinstance(said, str):
            return clean(said, self._secrets)
        text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", answer.text[:20_000])
        return clean(text, self._secrets, limit=200) or f"HTTP {answer.status} with an empty body"

    def _error(self, answer: Answer, envelope: Mapping[str, Any]) -> ProviderError:
        words, code = self._words(answer, envelope), _code_of(answer, envelope)
        fault = _fault(answer, envelope, code)
        return ProviderError(
            f"{fault.sentence} KIE's words: {words}",
            category=fault.category,
            retryable=fault.retryable,
            words=words,
            status=answer.status,
            provider_code=str(code) if code is not None else None,
            refused=fault.refuses and (answer.status < 500 or answer.status == envelope.get("code")),
            retry_after=answer.retry_after,
        )

    def _create_error(
        self, answer: Answer, envelope: Mapping[str, Any], task_id: str | None
    ) -> ProviderError:
        error = self._error(answer, envelope)
        if error.refused and task_id is None:
            return error
        return _unknown_outcome(error)


def _unknown_outcome(error: ProviderError) -> ProviderError:
    """The error of a create that may have begun a task: to be looked up, never sent again."""
    return ProviderError(
        "It is not known whether KIE began this generation, so it is not sent again; "
        f"it is looked for at KIE. {error.message}",
        category=error.category,
        retryable=False,
        words=error.words,
        status=error.status,
        provider_code=error.provider_code,
        retry_after=error.retry_after,
    )


def _code_of(answer: Answer, envelope: Mapping[str, Any]) -> int | None:
    """The body's code; the HTTP status where the body has none or contradicts it with a 200.

    None for HTTP 200 with a body that is not KIE's.
    """
    code = envelope.get("code")
    if isinstance(code, str) and re.fullmatch(r"\d{1,5}", code):
        code = int(code)
    if isinstance(code, bool) or not isinstance(code, int):
        return None if answer.status == 200 else answer.status
    return answer.status if code == 200 and answer.status >= 400 else code


def _fault(answer: Answer, envelope: Mapping[str, Any], code: int | None) -> Fault:
    if answer.status == 403 and not envelope and re.search(rb"(?i)error\D{0,40}1010", answer.body):
        return BLOCKED_BY_EDGE
    return UNUSABLE if code == 200 else fault_of(code)


def _task_id_in(envelope: Mapping[str, Any]) -> str | None:
    data = envelope.get("data")
    found = data.get("taskId", data.get("task_id")) if isinstance(data, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found).strip() or None


def _says_unknown_task(answer: Answer, envelope: Mapping[str, Any]) -> bool:
    """Whether KIE itself says so; a 404 of some other server in between is an error instead."""
    if "code" not in envelope:
        return False
    code, said = _code_of(answer, envelope), str(envelope.get("msg") or envelope.get("message") or "").lower()
    if code == 200:
        return "data" in envelope and envelope["data"] is None
    return (code == 422 and "recordinfo is null" in said) or (code == 404 and "task" in said)


def from_settings(settings: Settings) -> KieClient:
    """The client for the configured account. Raises SettingsError without a key."""
    others = (settings.kie_callback_secret, settings.kie_webhook_hmac_key)
    return KieClient(
        settings.require("KIE_API_KEY"),
        base_url=settings.kie_base_url,
        secrets=tuple(secret.get_secret_value() for secret in others if secret),
    )
