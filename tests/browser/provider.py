"""A sign-in provider on this machine, and a configured product that people sign in to there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from core.local import postgres
from core.providers.oidc import WELL_KNOWN
from core.settings import ROOT
from tests.browser.browsers import PATIENCE_S
from tests.browser.conftest import Product, until
from tests.conftest import free_port
from tests.database.reused import Reused

SESSION_SECRET = "session-secret-of-the-browser-tests-0123"
CLIENT_SECRET = "client-secret-of-the-browser-tests"


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider; whoever it is told of can sign in there by their name alone."""

    url: str

    def knows(self, subject: str, **claims: Any) -> None:
        """Say this of `subject` from now on."""
        httpx.put(f"{self.url}/users/{subject}", json=claims).raise_for_status()


@dataclass(frozen=True)
class Company:
    """A configured product with its database and its provider; `said` is its log."""

    url: str
    database_url: str
    provider: Provider
    said: Path

    @property
    def product(self) -> Product:
        """It as tabs know a product; no sandbox stands beside it."""
        return Product(self.url, "", self.database_url, self.said.parent, (CLIENT_SECRET, SESSION_SECRET))

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says, or does."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            done = connection.execute(sql.encode(), values)
            return done.fetchall() if done.description else []

    def employ(self, email: str, *roles: str) -> None:
        """Have somebody on the list with these roles, who can sign in by the first part of the address."""
        self.provider.knows(email.partition("@")[0], email=email, email_verified=True, name=email[:3].title())
        self.rows(
            "INSERT INTO staff (email, roles, added_by) VALUES (%s, %s, 'test')"
            " ON CONFLICT (email) DO UPDATE SET roles = excluded.roles, active = true",
            email,
            list(roles),
        )


@contextmanager
def _child(
    arguments: list[str], environment: dict[str, str], said: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with said.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE_S)
        finally:
            child.kill()
            child.wait()


def _answers(url: str, child: "subprocess.Popen[bytes]", said: Path) -> bool:
    assert child.poll() is None, f"it ended: {said.read_text(errors='replace')}"
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


@contextmanager
def company(databases: Reused, **more: str) -> Iterator[Company]:
    """`uvicorn app:app` as production runs it, on a database of its own, with FIRST_ADMIN ada and `more`
    settings."""
    plain = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    with postgres.temporary_folder() as place, databases.lent() as database_url:
        sign_in, port = free_port(), free_port()
        provider, url = f"http://127.0.0.1:{sign_in}", f"http://127.0.0.1:{port}"
        environment = plain | {
            "DATABASE_URL": database_url,
            "PUBLIC_BASE_URL": url,
            "STUDIO_OPS_DATA_DIR": str(place / "data"),
            "FILES_SIGNING_KEY": "files-signing-key-of-the-browser-tests",
            "OIDC_METADATA_URL": f"{provider}{WELL_KNOWN}",
            "OIDC_CLIENT_ID": "studio-ops",
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "SESSION_SECRET": SESSION_SECRET,
            "STAFF_DOMAINS": "studio.example",
            "FIRST_ADMIN": "ada@studio.example",
            **more,
        }
        at_provider = ["oidc_provider_mock", "--port", str(sign_in), "--require-nonce"]
        web = ["uvicorn", "app:app", "--port", str(port)]
        said = place / "web.log"
        with _child(at_provider, plain, place / "provider.log") as one, _child(web, environment, said) as two:
            until(lambda: _answers(f"{provider}/jwks", one, place / "provider.log"), "the provider")
            until(lambda: _answers(f"{url}/api/health", two, said), "the product")
            yield Company(url, database_url, Provider(provider), said)
