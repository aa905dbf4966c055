"""One vendor's JSON API behind a key: its calls, its words, and what its refusals mean.

For vendors that speak in HTTP statuses; what a vendor says beyond them lies in its own module.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from core.errors import ErrorCategory, ProviderError, SettingsError
from core.providers.http import Answer, Fault, clean, client, mask, send

# Shorter ones would blot out ordinary words; those are masked by their place in a URL alone.
_SHORTEST_SECRET = 8
_AUTH, _VALID = ErrorCategory.AUTHENTICATION, ErrorCategory.VALIDATION
_SERVICE = ErrorCategory.SERVICE_ERROR
MAX_ID = 200


@dataclass(frozen=True)
class Vendor:
    """How a vendor is called in sentences, and the settings that hold its key and its address."""

    name: str
    key: str
    url: str

    def fault(self, status: int) -> Fault:
        """What an HTTP status means; an unlisted one by its hundred, never as a refusal."""
        name = self.name
        listed = {
            400: Fault(_VALID, False, f"{name} did not accept the request. Correct the input.", True),
            401: Fault(_AUTH, False, f"{name} does not accept the key. Check {self.key}.", True),
            # A matter of the account: the same call works again once somebody has paid.
            402: Fault(_AUTH, False, f"{name}'s credit is used up. Top up the account at {name}.", True),
            403: Fault(_AUTH, False, f"{name} refused access. Check {self.key} and what it may do.", True),
            404: Fault(_VALID, False, f"{name} does not know what was asked for. Check {self.url}.", True),
            405: Fault(_VALID, False, f"{name} does not offer this call. Check {self.url}.", True),
            408: Fault(ErrorCategory.TIMEOUT, True, f"{name} gave up waiting. Try again later."),
            413: Fault(_VALID, False, f"{name} found the request too large.", True),
            415: Fault(_VALID, False, f"{name} does not take this kind of request.", True),
            422: Fault(_VALID, False, f"{name} found the input invalid. Correct it.", True),
            429: Fault(
                ErrorCategory.RATE_LIMIT, True, f"{name}'s rate limit is reached. Wait a moment.", True
            ),
        }
        if status in listed:
            return listed[status]
        if 300 <= status < 400:
            return Fault(_SERVICE, False, f"{name}'s address answered with a redirect. Check {self.url}.")
        if 400 <= status < 500:
            return Fault(_VALID, False, f"{name} answered {status}, which it does not document.")
        if status >= 500:
            return Fault(_SERVICE, True, f"{name} had a fault of its own ({status}). Try again later.")
        return self.unusable

    @property
    def unusable(self) -> Fault:
        return Fault(_SERVICE, True, f"{self.name}'s answer could not be understood. Try again later.")


class Api:
    """`secrets` are values to mask in every text besides the key itself. `transport` replaces the network.
    Times are in seconds; `deadline` bounds a whole answer, however slowly it drips."""

    def __init__(
        self,
        vendor: Vendor,
        api_key: str,
        *,
        base_url: str,
        scheme: str = "Bearer",
        secrets: tuple[str, ...] = (),
        transport: httpx.BaseTransport | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        deadline: float = 60.0,
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise SettingsError(
                f"{vendor.key} must be one word of printable ASCII characters. Copy it again."
            )
        self.vendor = vendor
        self.base_url = httpx.URL(base_url)
        self.secrets = tuple(text for text in (api_key, *secrets) if len(text) >= _SHORTEST_SECRET)
        self._deadline = deadline

        made = partial(
            client,
            base_url,
            f"{scheme} {api_key}",
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
            connections=20,
            transport=transport,
        )
        self._asking = made(keepalive=10)
        self._paying = made(keepalive=0)

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One free call, whatever its status. Raises ProviderError when no whole answer came."""
        return self._send(self._asking, method, path, params, body)

    def pay(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any],
    ) -> Answer:
        """One paid POST. An answer that is lost is an unknown outcome: never retryable, never sent again."""
        try:
            return self._send(self._paying, "POST", path, params, body)
        except ProviderError as error:
            if not error.sent:
                raise
            raise self.unknown_outcome(error) from error

    def error(
        self, answer: Answer, *, fault: Fault | None = None, words: str = "", code: str | None = None
    ) -> ProviderError:
        """What an answer that is no success means: by `fault`, else by its status."""
        fault = fault or self.vendor.fault(answer.status)
        words = words or words_of(answer, self.secrets)
        return ProviderError(
            f"{fault.sentence} {self.vendor.name}'s words: {words}",
            category=fault.category,
            retryable=fault.retryable,
            words=words,
            status=answer.status,
            provider_code=code or str(answer.status),
            refused=fault.refuses,
            retry_after=answer.retry_after,
        )

    def paid_error(self, answer: Answer, *, names_an_id: bool = False, **said: Any) -> ProviderError:
        """The same for a paid call: a definite refusal, or an outcome that nobody knows."""
        error = self.error(answer, **said)
        return error if error.refused and not names_an_id else self.unknown_outcome(error)

    def unknown_outcome(self, error: ProviderError) -> ProviderError:
        """The error of a paid call that may have begun something: to be looked up, never sent again."""
        name = self.vendor.name
        return ProviderError(
            f"It is not known whether {name} began this, so it is not sent again; it is looked for at {name}."
            f" {error.message}",
            category=error.category,
            retryable=False,
            words=error.words,
            status=error.status,
            provider_code=error.provider_code,
            retry_after=error.retry_after,
        )

    def clean(self, text: str) -> str:
        """A text of the vendor's as one short line without secrets."""
        return clean(text, self.secrets)

    def mask(self, value: Any) -> Any:
        """A JSON value of the vendor's without secrets."""
        return mask(value, self.secrets)

    def close(self) -> None:
        self._asking.close()
        self._paying.close()

    def _send(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> Answer:
        return send(
            client,
            method,
            path,
            provider=self.vendor.name,
            deadline_seconds=self._deadline,
            params=params,
            body=body,
        )


def words_of(answer: Answer, secrets: tuple[str, ...] = ()) -> str:
    """The vendor's own words: what its JSON says, or the text of a page that is none."""
    body = answer.json_object() or {}
    for name in ("detail", "errors", "error", "message", "title"):
        if said := said_by(body.get(name)):
            return clean(said, secrets)
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", answer.text[:20_000])
    return clean(text, secrets, limit=200) or f"HTTP {answer.status} with an empty body"


def said_by(value: Any) -> str:
    """The sentence in a text, or in a list of `{loc, msg, type}` with the place of each fault."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        told = value.get("msg") or value.get("message") or value.get("detail")
        place = value.get("loc")
        where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
        return f"{where}: {told}" if where and isinstance(told, str) else str(told or "")
    if isinstance(value, list):
        return "; ".join(said for item in value[:10] if (said := said_by(item)))
    return ""


def id_of(value: Any) -> str | None:
    """An id as a vendor gives it: a printable word; None for anything else."""
    return value if isinstance(value, str) and re.fullmatch(rf"[\x21-\x7e]{{1,{MAX_ID}}}", value) else None


def moment_of(value: Any) -> datetime | None:
    """An ISO time as aware UTC; one without a zone is UTC. None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None
