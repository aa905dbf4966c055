"""Logs: every secret masked wherever it stands, and one JSON line for each event."""

import io
import json
import logging
import sys
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import streamlit.logger
import structlog

from core import log

MASKED = [
    ("a callback URL", "https://x/api/kie/callback?secret=hunter2&generation=1", "hunter2"),
    ("a signed link", "/files/a/b.jpg?sig=hunter2", "hunter2"),
    (
        "an S3 link",
        "https://x.r2.cloudflarestorage.com/a.zip?X-Amz-Date=1&X-Amz-Signature=hunter2",
        "hunter2",
    ),
    ("an encoded URL", "https://q/?fal_webhook=https%3A%2F%2Fx%2F%3Fsecret%3Dhunter2%26a%3D1", "hunter2"),
    ("a key in a query", "GET /api?api_key=hunter2 HTTP/1.1", "hunter2"),
    ("a bearer", "Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
    ("fal's key", "Key 1234-5678:abcdef0123", "1234-5678:abcdef0123"),
    ("a database URL", "postgresql://me:hunter2@db.example.com/x", "hunter2"),
    ("a JWT", "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "eyJzdWIiOiIxIn0"),
    ("Supabase's", "sb_secret_abcdefghijkl", "abcdefghijkl"),
    ("Hugging Face's", "hf_abcdefghijkl", "abcdefghijkl"),
    ("Replicate's", "r8_abcdefghijkl", "abcdefghijkl"),
    ("a webhook's", "whsec_abcdefghijkl", "abcdefghijkl"),
]


@pytest.mark.parametrize(
    ("text", "secret"), [pytest.param(text, secret, id=why) for why, text, secret in MASKED]
)
def test_a_secret_in_a_text_is_masked(text: str, secret: str) -> None:
    for value in (text, [text], (text,), {"words": text}, {"deep": [{"er": text}]}):
        masked = json.dumps(log.redact(value))
        assert secret not in masked
        assert log.MASK in masked


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "client_secret",
        "password",
        "passwd",
        "token",
        "access_token",
        "lease_token",
        "api_key",
        "apikey",
        "Authorization",
        "set-cookie",
        "files_signing_key",
        "sig",
        "KIE_API_KEY",
    ],
)
def test_a_value_under_a_secrets_name_is_masked(name: str) -> None:
    assert log.redact({name: "plain"}) == {name: log.MASK}
    assert log.redact({name: None}) == {name: None}


@pytest.mark.parametrize(
    "value",
    [
        "a lighthouse at dusk",
        "keyboard and tokens",
        "https://x/?page=2&q=secretary",
        7,
        None,
        True,
        2.5,
        {"model": "x"},
        {"design": "x", "signed": True, "tokens": 3},
    ],
)
def test_what_is_no_secret_stays(value: Any) -> None:
    assert log.redact(value) == value


def test_the_rest_of_a_url_stays_readable() -> None:
    assert log.redact("https://x/a?b=1&secret=s&generation=7") == "https://x/a?b=1&secret=***&generation=7"
    assert log.redact("postgresql://me:pw@db/x") == "postgresql://me:***@db/x"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The lines that a configured process has logged so far, parsed."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, written = list(root.handlers), io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    theirs = logging.getLogger("uvicorn.access")  # as uvicorn leaves it
    theirs.handlers, theirs.propagate, theirs.disabled = [logging.StreamHandler()], False, False
    was = theirs.level
    theirs.setLevel(logging.INFO)
    log.configure("test")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers, root.level = handlers, level
    theirs.setLevel(was)
    logging.setLoggerClass(logging.Logger)
    structlog.reset_defaults()


def test_an_event_is_one_line_of_json(lines: Any) -> None:
    request_id = log.new_request_id()
    log.get("test.a").info("thing.done", url="https://x/?secret=hunter2", api_key="hunter2", n=3)
    [line] = lines()
    assert line["event"] == "thing.done"
    assert (line["level"], line["process"], line["request_id"], line["n"]) == ("info", "test", request_id, 3)
    assert (line["url"], line["api_key"]) == ("https://x/?secret=***", "***")
    assert line["timestamp"].endswith("Z")


def test_libraries_and_tracebacks_are_masked_too(lines: Any) -> None:
    logging.getLogger("some.library").warning("GET %s", "https://x/?token=hunter2")
    try:
        raise ValueError("no: postgresql://me:hunter2@db/x")
    except ValueError:
        log.get("test.b").exception("thing.failed")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/")
    library, failed = lines()
    assert library["event"] == "GET https://x/?token=***"
    assert "Traceback" in failed["exception"]
    assert "hunter2" not in json.dumps([library, failed])


def test_the_web_servers_own_lines_are_masked_too(lines: Any) -> None:
    """uvicorn gives its loggers handlers of their own, which know of no secret."""
    access = logging.getLogger("uvicorn.access")
    access.info('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "POST", "/api/kie/callback?secret=hunter2", "1.1", 200)
    [line] = lines()
    assert line["event"] == '1.2.3.4 - "POST /api/kie/callback?secret=*** HTTP/1.1" 200'


SECRET = "hunter2"
SAID = f"GET https://x/?token={SECRET} by postgresql://me:{SECRET}@db/x"


def configure_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the lines going where they went."""
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(sys, "stderr", handler.stream)
    log.configure("test")


@pytest.mark.parametrize(
    "name",
    [
        "streamlit.runtime.scriptrunner.script_runner",
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "apscheduler.executors.default",
        "procrastinate.worker",
        "httpx",
        "httpcore.connection",
        "huggingface_hub.utils",
        "asyncio",
        "py.warnings",
        "a.library.that.comes.later",
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_no_librarys_own_handler_writes_a_secret(
    lines: Any, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    """A line, a traceback, and what a person reads of where it was: of loggers that print by themselves."""
    own = logging.getLogger(name)
    printed, level = io.StringIO(), own.level
    handler = logging.StreamHandler(printed)
    own.setLevel(logging.WARNING)
    own.addHandler(handler)
    own.propagate = when == "before"
    if when == "before":  # as a library that is there already when the process is configured
        configure_again(monkeypatch)
    try:
        own.warning(SAID)
        own.error("%s", SAID, stack_info=True)
        raise ValueError(SAID)
    except ValueError:
        own.exception("failed for %s", SAID)
    finally:
        own.removeHandler(handler)
        own.propagate = True
        own.setLevel(level)
    written = lines()
    assert [line["logger"] for line in written] == [name] * 3
    assert all("token=***" in line["event"] for line in written)
    assert "ValueError" in written[-1]["exception"]
    assert SECRET not in json.dumps(written)
    assert printed.getvalue() == ""


def test_streamlits_loggers_are_routed_however_often_it_sets_them_up(lines: Any) -> None:
    """It does so for each module when that is first imported, and for all at each new configuration."""
    known = streamlit.logger.get_logger("streamlit.of_this_test")
    streamlit.logger.update_formatter()
    later = streamlit.logger.get_logger(f"streamlit.of_this_test_{uuid.uuid4().hex}")
    for logger in (known, later):
        assert logger.handlers
        logger.error("Uncaught app execution", exc_info=ValueError(SAID))
    written = lines()
    assert [line["event"] for line in written] == ["Uncaught app execution"] * 2
    assert all("token=***" in line["exception"] for line in written)
    assert SECRET not in json.dumps(written)


def test_a_warning_is_a_line_without_its_secret(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        configure_again(monkeypatch)
        warnings.warn(SAID, stacklevel=1)
    [line] = lines()
    assert (line["logger"], line["level"]) == ("py.warnings", "warning")
    assert "token=***" in line["event"]
    assert SECRET not in json.dumps(line)


def test_a_page_s_scripts_and_fonts_are_no_lines_unless_they_fail(lines: Any) -> None:
    access = logging.getLogger("uvicorn.access")
    for path, status in (("/static/js/a.js", 200), ("/files/x", 404), ("/api/health", 200)):
        access.info('%s - "%s %s HTTP/%s" %d', "1.2.3.4", "GET", path, "1.1", status)
    assert [line["event"].split()[3] for line in lines()] == ["/files/x", "/api/health"]


def test_each_request_has_an_id_of_its_own() -> None:
    first, second = log.new_request_id(), log.new_request_id()
    assert first != second == log.request_id()
