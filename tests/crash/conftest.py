"""A stage for a whole module: its tests look at what one long play has left behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from core import database, settings
from core.deliveries import tools
from tests.conftest import CALLBACK_SECRET, SANDBOX_KEY, Sandbox, free_port
from tests.crash.stage import Nursery, Stage, opened_nursery, staged


@contextmanager
def _connected(url: str) -> Iterator[None]:
    database.connect(url)
    yield
    database.close()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the processes of all stages come from; it has imported the product once."""
    with opened_nursery() as opened:
        yield opened


@contextmanager
def standing(database_url: str, sandbox_url: str, folder: Path, nursery: Nursery) -> Iterator[Stage]:
    """A stage over a migrated database, with the sandbox quick and without faults."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "KIE_BASE_URL": sandbox_url,
        "KIE_API_KEY": SANDBOX_KEY,
        "KIE_CALLBACK_SECRET": CALLBACK_SECRET,
        "FILES_SIGNING_KEY": "files-signing-key-of-the-tests",
        "OPS_API_KEY": "ops-key-of-the-tests",
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{free_port()}",
        "STUDIO_OPS_DATA_DIR": str(folder / "data"),
        "STUDIO_OPS_LOCAL_STACK": sandbox_url,
    }
    with pytest.MonkeyPatch.context() as patch, _connected(database_url):
        for name, value in environment.items():
            patch.setenv(name, value)
        settings.current.cache_clear()
        tools.current.cache_clear()
        with httpx.Client(base_url=sandbox_url, headers={"X-Sandbox": "1"}, timeout=10) as client:
            sandbox = Sandbox(sandbox_url, client)
            sandbox.reset()
            sandbox.put("settings", file_bytes=700_000, callback_attempts=10, callback_retry_seconds=3)
            with staged(environment, sandbox, folder, nursery) as stage:
                stage.sql(
                    "INSERT INTO provider_limits (key, per_second)"
                    " VALUES ('kie:create', 1000), ('kie:read', 1000),"
                    " ('fal:create', 1000), ('fal:read', 1000)"
                )
                yield stage
        tools.current().close()
    settings.current.cache_clear()
    tools.current.cache_clear()


@pytest.fixture(scope="module")
def stage(
    postgres_server: str, sandbox_process: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A stage of the module's own."""
    folder = tmp_path_factory.mktemp("stage")
    name = folder.name.replace("-", "_") + f"_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    url = f"{postgres_server.rsplit('/', 1)[0]}/{name}"
    with standing(url, sandbox_process, folder, nursery) as made:
        yield made
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
