"""How often a remote backend is tried within one call: a few times, briefly, then the caller decides."""

from collections.abc import Callable
from typing import TypeVar

import stamina

from core.errors import StorageError

ATTEMPTS = 4
# No attempt is begun later than this after the first. A person may be waiting for a question's answer;
# an upload of 500 MB may take a minute each time.
QUESTION_S, UPLOAD_S = 15.0, 300.0
_T = TypeVar("_T")


def _may_help(error: Exception) -> bool:
    return isinstance(error, StorageError) and error.retryable


def patiently(call: Callable[[], _T], within_s: float = QUESTION_S) -> _T:
    """The answer of `call`, tried again after retryable StorageErrors: 0.2 s, doubling, at most 3 s."""
    for attempt in stamina.retry_context(
        on=_may_help, attempts=ATTEMPTS, timeout=within_s, wait_initial=0.2, wait_max=3.0, wait_jitter=0.2
    ):
        with attempt:
            return call()
    raise AssertionError("stamina raises the last error itself")
