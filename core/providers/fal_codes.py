"""fal's error types, the same in a model's `detail[].type` and in the queue's `error_type`.

https://docs.fal.ai/model-apis/errors and the queue's documents. A model's refusal of its input is a list
`detail` of `{loc, msg, type, …}`; a gateway of the company's once saw the same list as `errors`, so both are
read. The queue itself tries a request up to 10 times again on 503 and 504; what ended with 5xx is not billed.
"""

from collections.abc import Mapping
from typing import Any

from core.errors import ErrorCategory
from core.providers.api import said_by
from core.providers.http import Answer, clean
from core.providers.training import Failure

_VALID, _FILE = ErrorCategory.VALIDATION, ErrorCategory.FILE_ERROR
_SERVICE, _TIMEOUT = ErrorCategory.SERVICE_ERROR, ErrorCategory.TIMEOUT

# Category, and whether the same request makes sense again.
TYPES: dict[str, tuple[ErrorCategory, bool]] = {
    "content_policy_violation": (_VALID, False),
    "greater_than_equal": (_VALID, False),
    "image_load_error": (_FILE, False),
    # fal could not fetch our file: the address may have been out of reach for a moment.
    "file_download_error": (_FILE, True),
    "file_too_large": (_FILE, False),
    "image_too_small": (_FILE, False),
    "generation_timeout": (_TIMEOUT, True),
    "internal_server_error": (_SERVICE, True),
    "downstream_service_error": (_SERVICE, True),
    "request_timeout": (_TIMEOUT, True),
    "startup_timeout": (_TIMEOUT, True),
    "runner_scheduling_failure": (_SERVICE, True),
    "runner_disconnected": (_SERVICE, True),
}


def complaints(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The list of what is wrong, called `detail` or `errors`; empty where it is a text or absent."""
    for name in ("detail", "errors"):
        found = body.get(name)
        if isinstance(found, list) and found and all(isinstance(item, Mapping) for item in found):
            return found
    return []


def error_type_of(body: Mapping[str, Any]) -> str | None:
    """The error's type, a listed one before any other: the queue's own, else that of a complaint."""
    kinds = [body.get("error_type"), *(item.get("type") for item in complaints(body))]
    known = [kind for kind in kinds if isinstance(kind, str) and kind]
    return next((kind for kind in known if kind in TYPES), known[0] if known else None)


def failure_of(status: Mapping[str, Any], result: Answer | None, secrets: tuple[str, ...]) -> Failure:
    """Why a request ended badly, from the queue's status and the model's own answer."""
    body = (result.json_object() if result else None) or {}
    kind = error_type_of(body) or error_type_of(status)
    http = result.status if result else 500
    words = said_by(complaints(body)) or said_by(body.get("detail")) or said_by(status.get("error"))
    category, retryable = TYPES.get(kind or "", _by_status(http, bool(complaints(body))))
    return Failure(
        category,
        retryable,
        clean(words, secrets) or f"fal gave no reason (HTTP {http})",
        clean(kind, secrets, limit=100) if kind else None,
    )


def _by_status(http: int, complained: bool) -> tuple[ErrorCategory, bool]:
    """For a type in no list: pydantic's many (`missing`, `type_error.str`, …) come with 422."""
    if http == 504:
        return _TIMEOUT, True
    if complained or 400 <= http < 500:
        return _VALID, False
    return _SERVICE, True
