"""What can go wrong, each with a code for machines, a sentence for people and what to do next."""

from enum import StrEnum


class ErrorCategory(StrEnum):
    """Why something failed, the same words for every provider."""

    NETWORK = "network"
    AUTHENTICATION = "authentication"
    VALIDATION = "validation"
    RATE_LIMIT = "rate_limit"
    SERVICE_ERROR = "service_error"
    FILE_ERROR = "file_error"
    TIMEOUT = "timeout"


class StudioOpsError(Exception):
    """An error whose text may be shown to a person as it stands.

    `code` names it for machines, `http_status` is what the API answers.
    """

    code = "internal_error"
    http_status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SettingsError(StudioOpsError):
    """A setting is missing, malformed or contradicts another; the text names it and the remedy."""

    code = "bad_setting"


class InvalidInput(StudioOpsError):
    """Somebody's input cannot be used; `field` names which."""

    code = "invalid_input"
    http_status = 400

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotSignedIn(StudioOpsError):
    code = "not_signed_in"
    http_status = 401


class NotAllowed(StudioOpsError):
    code = "not_allowed"
    http_status = 403


class NotFound(StudioOpsError):
    code = "not_found"
    http_status = 404


class Conflict(StudioOpsError):
    """The thing changed, or another attempt is under way."""

    code = "conflict"
    http_status = 409


class Busy(StudioOpsError):
    """All places for such work are taken; `retry_after` is the seconds to wait before asking again."""

    code = "busy"
    http_status = 503

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyRequests(StudioOpsError):
    """The caller asks too often; `retry_after` is the seconds to wait."""

    code = "rate_limited"
    http_status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LocalStackError(StudioOpsError):
    """The one-command stack cannot start; the text says why and what to do."""

    code = "local_stack"


class ProviderError(StudioOpsError):
    """A provider refused, failed, or could not be reached.

    `words` are the provider's own, already redacted. `sent` is False only when it is certain that
    the request never reached the provider, so that repeating it cannot pay twice.
    `refused` is True only when the provider definitely did not accept the request, so that nothing
    was begun and nothing is owed; neither `refused` nor unsent means that the outcome is unknown.
    `status` is the HTTP status, `provider_code` the code in the body, `retry_after` the seconds to
    wait that the provider asked for.
    """

    code = "provider_error"
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        category: ErrorCategory,
        retryable: bool,
        words: str = "",
        status: int | None = None,
        provider_code: str | None = None,
        sent: bool = True,
        refused: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.category = category
        self.retryable = retryable
        self.words = words
        self.status = status
        self.provider_code = provider_code
        self.sent = sent
        self.refused = refused
        self.retry_after = retry_after


class StorageError(StudioOpsError):
    """A storage backend refused or failed; the text says what to change."""

    code = "storage_error"
    http_status = 502

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable
