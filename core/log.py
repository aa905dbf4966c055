"""Structured logs: one JSON line an event, secrets masked wherever they stand."""

import logging
import re
import sys
import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

MASK = "***"
# Applied in turn to every text that leaves the process as a log line, an error or a stored answer.
_PATTERNS = (
    (
        re.compile(
            r"(?i)([?&](?:secret|sig|signature|token|key|apikey|api_key|access_token"
            r"|x-amz-signature|x-amz-credential|x-amz-security-token)=)[^&\s\"'\\]+"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)((?:%3F|%26)(?:secret|sig|token|key)%3D)(?:(?!%26)[^&\s\"'\\])+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer|basic|key)\s+[A-Za-z0-9._~+/=:-]{8,}"), r"\1 ***"),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"\b(?:sb_secret_|hf_|r8_|whsec_|sk-)[A-Za-z0-9_+/=-]{6,}"), MASK),
)
_SECRET_NAMES = re.compile(
    r"(?i)secret|password|passwd|token$|api_?key|authorization|cookie|signing_key|^sig$"
)


def redact(value: Any) -> Any:
    """`value` with every secret masked: in strings by pattern, in mappings by the key's name too."""
    if isinstance(value, str):
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and _SECRET_NAMES.search(key) and item else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set):
        return [redact(item) for item in value]
    return value


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, item in list(event.items()):
        if key not in {"_record", "_from_structlog"}:
            event[key] = MASK if _SECRET_NAMES.search(key) and item else redact(item)
    return event


class _Routed(logging.Logger):
    """A logger whose lines go where all lines go, whatever handlers a library gives it: those know of no
    secret. Streamlit gives each of its loggers one, again at every reading of its configuration, and uvicorn
    prints its requests by one, query strings included."""

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as the base class has it
        logging.getLogger().callHandlers(record)


def configure(process: str, level: int = logging.INFO) -> None:
    """Send every log line and warning of this process, libraries' included, to stderr as JSON.

    `process` names the process (`web`, `clock`, `worker`, …) on each line.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_process(process),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact_event,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "apscheduler", "procrastinate"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").addFilter(_worth_a_line)
    logging.captureWarnings(True)
    logging.setLoggerClass(_Routed)
    for known in list(root.manager.loggerDict.values()):
        if isinstance(known, logging.Logger):
            known.__class__ = _Routed


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Not a page's dozens of scripts and fonts that went well; the API, and whatever failed."""
    if not isinstance(record.args, tuple) or len(record.args) != 5:
        return True
    path, status = str(record.args[2]), record.args[4]
    return path.startswith("/api/") or not isinstance(status, int) or status >= 400


def _name_process(process: str) -> Any:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; call it with an event name and keyword facts."""
    return structlog.stdlib.get_logger(name)


def new_request_id() -> str:
    """Start a new request: its id stands on every later log line of this thread or task."""
    request_id = uuid.uuid4().hex[:12]
    clear_contextvars()
    bind_contextvars(request_id=request_id)
    return request_id


def request_id() -> str | None:
    """The id of the request or job under way, if any."""
    found = get_contextvars().get("request_id")
    return str(found) if found else None
