"""Doctor's look at sign-in: the settings, the provider's metadata, the redirect address, the domains."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core.configuration import of_sign_in
from core.configuration.models import Verdict
from core.errors import SettingsError
from core.providers import oidc
from core.settings import Settings, load
from tests.conftest import free_port
from tests.unit.moody_provider import Moody, moody

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECRETS = ("client-secret-of-the-tests", "session-secret-of-the-tests-0123456789")
CONFIGURED = {"DATABASE_URL": "postgresql://u:p@db.example/x", "PUBLIC_BASE_URL": "https://ops.example.com/"}


@pytest.fixture
def provider() -> Iterator[Moody]:
    with moody() as found:
        yield found


def settings(metadata_url: str, **more: str) -> Settings:
    named = {"OIDC_METADATA_URL": metadata_url, "OIDC_CLIENT_ID": "studio-ops"}
    secrets = {"OIDC_CLIENT_SECRET": SECRETS[0], "SESSION_SECRET": SECRETS[1]}
    return load({**CONFIGURED, **named, **secrets, **more})


def verdicts(found: Settings) -> dict[str, Verdict]:
    """By their names; none tells a secret."""
    said = {one.name: one for one in of_sign_in.sign_in(found, NOW)}
    assert not [secret for secret in SECRETS if secret in repr(said)]
    return said


def test_all_well(provider: Moody) -> None:
    said = verdicts(settings(provider.metadata_url, STAFF_DOMAINS="studio.example"))
    assert [one.line()[:4] for one in said.values()] == ["ok  "] * 4
    assert "OIDC_CLIENT_SECRET, SESSION_SECRET are set" in said["sign-in"].message
    assert said["sign-in provider"].message.startswith(f"answers as {provider.url}")
    assert said["redirect address"].message.startswith("https://ops.example.com/oauth2callback must be")
    assert said["STAFF_DOMAINS"].message == "lets in studio.example alone"


def test_nobody_signs_in() -> None:
    [local] = of_sign_in.sign_in(load({}), NOW)
    assert (local.good, local.warning) == (True, False)
    [api_alone] = of_sign_in.sign_in(load(CONFIGURED), NOW)
    assert (api_alone.good, api_alone.warning) == (True, True)
    assert "Set OIDC_METADATA_URL, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, SESSION_SECRET" in api_alone.message


@pytest.mark.parametrize("missing", ["OIDC_METADATA_URL", "OIDC_CLIENT_SECRET", "SESSION_SECRET"])
def test_settings_that_are_not_whole_stop_every_command(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        settings("https://login.example.com/x", **{missing: ""})


def test_every_domain_is_a_warning(provider: Moody) -> None:
    said = verdicts(settings(provider.metadata_url))["STAFF_DOMAINS"]
    assert (said.warning, said.message.endswith("such as example.com")) == (True, True)


@pytest.mark.parametrize(
    ("changes", "good", "words"),
    [
        ({"issuer": None}, False, "does not name issuer. Set OIDC_METADATA_URL"),
        ({"token_endpoint": None, "jwks_uri": 5}, False, "does not name token_endpoint, jwks_uri"),
        ({"issuer": "https://login.example.com/{tenantid}/v2.0"}, False, "serves many companies there"),
        ({"token_endpoint": "http://login.example.com/t"}, False, "names token_endpoint without https://"),
        ({"jwks_uri": "http://[::"}, False, "names jwks_uri without https://"),
        ({"issuer": "https://other.example.com"}, True, "calls itself https://other.example.com"),
    ],
)
def test_metadata_that_are_not_right(
    provider: Moody, changes: dict[str, Any], good: bool, words: str
) -> None:
    provider.says(**changes)
    said = verdicts(settings(provider.metadata_url))["sign-in provider"]
    assert (said.good, said.warning, words in said.message) == (good, good, True), said.message


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, "", "answers with HTTP 503. The provider itself is not well"),
        (404, "", "(HTTP 404). Set OIDC_METADATA_URL to the address that the provider names"),
        (200, "<html>", "no such document there (HTTP 200). Set OIDC_METADATA_URL"),
    ],
)
def test_a_provider_that_is_not_well(provider: Moody, status: int, body: str, words: str) -> None:
    provider.fails(status, body)
    said = verdicts(settings(provider.metadata_url))["sign-in provider"]
    assert (said.good, words in said.message) == (False, True), said.message


def test_a_provider_that_nobody_reaches() -> None:
    said = verdicts(settings(f"http://127.0.0.1:{free_port()}/x"))["sign-in provider"]
    assert not said.good
    assert (
        "Connection refused. Check OIDC_METADATA_URL, and whether this machine may reach it." in said.message
    )


def test_a_provider_that_says_nothing(provider: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    provider.silent = True
    monkeypatch.setattr(oidc.read, "__kwdefaults__", {"deadline_s": 0.05})
    said = verdicts(settings(provider.metadata_url))["sign-in provider"]
    assert not said.good
    assert "Check whether this machine may reach it" in said.message
