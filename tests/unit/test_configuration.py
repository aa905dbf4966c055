"""The checks that need nobody: the list of settings, and whether the public address leads here."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from core.configuration import listing, of_others, of_the_database
from core.configuration.checks import BY_KEY, CHECKS
from core.settings import ROOT, load

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CONFIGURED = {"DATABASE_URL": "postgresql://u:p@db.example/x", "KIE_API_KEY": "kie-key-of-the-tests"}


def test_every_setting_is_listed_with_its_purpose_and_without_its_value() -> None:
    found = {one.name: one for one in listing.settings(load(CONFIGURED))}
    documented = set(re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert set(found) == documented
    assert all(one.purpose for one in found.values())
    assert (found["KIE_API_KEY"].given, found["KIE_API_KEY"].secret) == (True, True)
    assert (found["KIE_BASE_URL"].given, found["KIE_BASE_URL"].has_default) == (False, True)
    assert (found["FAL_KEY"].given, found["FAL_KEY"].has_default) == (False, False)
    assert "kie-key-of-the-tests" not in repr(found)


def test_the_words_stand_with_their_own_setting() -> None:
    found = {one.name: one.purpose for one in listing.settings(load(CONFIGURED))}
    assert found["DATABASE_URL"].startswith("Postgres 15 to 18")
    assert found["FILES_SIGNING_KEY"].startswith("Signs the links")
    assert found["KIE_CALLBACK_SECRET"].startswith("KIE.ai: the account's key")


def test_every_check_has_a_name_of_its_own() -> None:
    assert len(BY_KEY) == len(CHECKS)
    assert len({check.title for check in CHECKS}) == len(CHECKS)


def test_what_the_migrations_make_is_known() -> None:
    tables = set(of_the_database.made("table"))
    assert {"generations", "jobs", "job_runs", "procrastinate_jobs", "check_results"} <= tables
    assert "job_costs_model" not in of_the_database.made("index"), "a later migration drops it"
    assert {"generations_of_user", "alerts_open"} <= set(of_the_database.made("index"))


@pytest.fixture
def public(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that answers every callback so."""
    status, body = request.param

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


OURS = '{"error": {"code": "not_signed_in", "message": "…", "request_id": "1"}}'


@pytest.mark.parametrize(
    ("public", "good", "words"),
    [
        ((401, OURS), True, "leads here"),
        ((404, "<html>"), False, "something else answers at PUBLIC_BASE_URL (HTTP 404)"),
        ((200, OURS), False, "HTTP 200"),
        ((401, "[]"), False, "HTTP 401"),
        ((302, ""), False, "HTTP 302"),
    ],
    indirect=["public"],
)
def test_whether_the_public_address_leads_here(public: str, good: bool, words: str) -> None:
    [found] = of_others.webhooks(load({**CONFIGURED, "PUBLIC_BASE_URL": public}), NOW)
    assert (found.good, words in found.message) == (good, True), found.message


@pytest.mark.parametrize(
    "settings",
    [lambda: load({**CONFIGURED, "PUBLIC_BASE_URL": "http://127.0.0.1:1"})],
)
def test_a_public_address_that_does_not_answer(settings: Callable[[], object]) -> None:
    [found] = of_others.webhooks(settings(), NOW)  # type: ignore[arg-type]
    assert not found.good
    assert "127.0.0.1 does not answer from here (ConnectError)" in found.message


def test_in_the_local_profile_nothing_outside_has_to_reach_it() -> None:
    [found] = of_others.webhooks(load({}), NOW)
    assert found.good
