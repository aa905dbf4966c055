"""Replicate's training object as a TrainingRecord. Nothing in it is trusted to be well-formed."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.errors import ErrorCategory
from core.providers.api import Api, moment_of
from core.providers.training import Failure, LogLine, TrainingRecord, TrainingState
from core.providers.training_logs import MAX_LINE, MAX_LINES, lines_of, progress_of

_STATES = {
    "starting": TrainingState.STARTING,
    "processing": TrainingState.RUNNING,
    "succeeded": TrainingState.SUCCEEDED,
    "failed": TrainingState.FAILED,
    "canceled": TrainingState.CANCELLED,
}
# `error` is a text of the trainer's own: the first fitting row, and whether the same again makes sense.
_FAILURES = (
    (re.compile(r"(?i)nsfw|safety|flagged|content policy"), ErrorCategory.VALIDATION, False),
    (re.compile(r"(?i)timed? ?out|deadline"), ErrorCategory.TIMEOUT, True),
    (re.compile(r"(?i)download|connection|HTTP ?Error|\b40[34]\b"), ErrorCategory.FILE_ERROR, True),
    (
        re.compile(r"(?i)\bzip\b|archive|no images|image file|cannot identify"),
        ErrorCategory.FILE_ERROR,
        False,
    ),
    (re.compile(r"(?i)validation|invalid|must be|not a valid"), ErrorCategory.VALIDATION, False),
)


def record_from(body: Mapping[str, Any], training_id: str, api: Api) -> TrainingRecord:
    """The record in `body`, for the training that was asked for."""
    word = str(body.get("status") or "")
    state = _STATES.get(word.strip().lower(), TrainingState.UNKNOWN)
    log = _log_in(body, api)
    url, problem = _weights_in(body) if state is TrainingState.SUCCEEDED else (None, None)
    return TrainingRecord(
        training_id,
        state,
        api.clean(word)[:100],
        progress=100 if state is TrainingState.SUCCEEDED else progress_of(log),
        log=log,
        weights_url=url,
        weights_kind="tar",
        result_problem=problem,
        failure=_failure_in(body, api) if state is TrainingState.FAILED else None,
        started_at=moment_of(body.get("started_at")),
        ended_at=moment_of(body.get("completed_at")),
        raw=api.mask({key: value for key, value in body.items() if key != "logs"}),
    )


def created_in(body: Mapping[str, Any]) -> datetime | None:
    """When the training was begun, by Replicate's clock."""
    return moment_of(body.get("created_at"))


def _weights_in(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    output = body.get("output")
    url = output.get("weights") if isinstance(output, Mapping) else None
    if isinstance(url, str) and "://" in url and url.isprintable():
        return url, None
    return None, "Replicate reports success without a file of weights (output.weights)."


def _failure_in(body: Mapping[str, Any], api: Api) -> Failure:
    words = api.clean(body["error"]) if isinstance(body.get("error"), str) else ""
    for pattern, category, retryable in _FAILURES:
        if pattern.search(words):
            return Failure(category, retryable, words)
    return Failure(ErrorCategory.SERVICE_ERROR, True, words or "Replicate gave no reason.")


def _log_in(body: Mapping[str, Any], api: Api) -> tuple[LogLine, ...]:
    text = body.get("logs")
    lines = lines_of(text)[-MAX_LINES:] if isinstance(text, str) else []
    return tuple(LogLine(api.clean(line)[:MAX_LINE]) for line in lines)
