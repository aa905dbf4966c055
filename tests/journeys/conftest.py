"""The product's web process over real HTTP, and its jobs on demand."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import structlog
import uvicorn
from starlette.applications import Starlette

from core import settings
from core.deliveries import tools
from core.trainings import pushing
from core.trainings import tools as training_tools
from core.trainings.tools import WEIGHTS
from core.web import files, lora_models
from core.web.routes import ROUTES
from jobs.__main__ import main
from tests.conftest import CALLBACK_SECRET, SANDBOX_KEY, Sandbox, free_port
from tests.database import ledger
from tests.database.shared import shared_database
from tests.journeys.lora_users import ADA, BO
from tests.journeys.training_world import Trainings
from tests.journeys.users import JWT_SECRET, customer, token
from tests.journeys.world import Said, World, until

OPS_KEY = "ops-key-of-the-tests"
SIGNING_KEY = "files-signing-key-of-the-tests"
# What a test leaves behind; lines of the audit log can't be deleted, and tests look for their own.
_EMPTIED = (
    "generations",
    "delivery_events",
    "callback_inbox",
    "stored_files",
    "storage_usage",
    "rehearsals",
    "job_runs",
    "job_pauses",
    "work_takeovers",
    "check_results",
    "page_visits",
    "process_heartbeats",
    "provider_limits",
    "procrastinate_jobs",
    "procrastinate_workers",
    "alerts",
    "training_calls",
    "training_stages",
    "training_log",
    "training_events",
    "training_webhooks",
    "training_images",
    "training_drawings",
    "training_zips",
    "lora_training_jobs",
    "user_training_limits",
    "notifications",
    "notification_choices",
    "orphan_pods",
    "provider_balances",
    "resync_items",
    "resync_plans",
    "failure_groups",
)


def _serve(port: int) -> tuple[uvicorn.Server, threading.Thread]:
    config = uvicorn.Config(
        Starlette(routes=ROUTES), host="127.0.0.1", port=port, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    return server, thread


def _forget_settings() -> None:
    """Let the next use read the environment anew."""
    for made in (tools.current, training_tools.current):
        if made.cache_info().currsize:
            made().close()
    for cached in (settings.current, tools.current, training_tools.current, files._configured):
        cached.cache_clear()


@pytest.fixture(scope="module")
def product(
    postgres_server: str, sandbox_process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A database, a web process and this process's settings for a module's tests; the environment."""
    with shared_database(postgres_server) as url, pytest.MonkeyPatch.context() as patch:
        yield from _serving(url, sandbox_process, tmp_path_factory.mktemp("data"), patch)


def _serving(url: str, sandbox: str, data: Path, patch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    environment = {
        "DATABASE_URL": url,
        "KIE_BASE_URL": sandbox,
        "KIE_API_KEY": SANDBOX_KEY,
        "KIE_CALLBACK_SECRET": CALLBACK_SECRET,
        "FILES_SIGNING_KEY": SIGNING_KEY,
        "OPS_API_KEY": OPS_KEY,
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{free_port()}",
        "STUDIO_OPS_DATA_DIR": str(data),
        "STUDIO_OPS_LOCAL_STACK": sandbox,
    }
    for key, value in environment.items():
        patch.setenv(key, value)
    _forget_settings()
    server, thread = _serve(urlsplit(environment["PUBLIC_BASE_URL"]).port or 0)
    yield environment
    server.should_exit = True
    thread.join(10)
    _forget_settings()


@pytest.fixture
def web(product: dict[str, str]) -> Iterator[httpx.Client]:
    """The API and the files under uvicorn; a client with the API key."""
    headers = {"Authorization": f"Bearer {product['OPS_API_KEY']}"}
    with httpx.Client(base_url=product["PUBLIC_BASE_URL"], headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def world(web: httpx.Client, sandbox: Sandbox, product: dict[str, str]) -> World:
    """A running product with nothing in it but the audit log of earlier tests, its provider limits lifted.

    Results are small valid files; `file_bytes=0` has the sandbox render real pictures.
    """
    found = World(web, sandbox, product)
    sandbox.put(
        "settings", image_seconds=0.05, video_seconds=0.05, lora_image_seconds=0.05, file_bytes=60_000
    )
    found.sql("; ".join(f"DELETE FROM {table}" for table in _EMPTIED))
    ledger.empty(found.sql)
    found.sql(
        "INSERT INTO provider_limits (key, per_second) VALUES ('kie:create', 1000), ('kie:read', 1000),"
        " ('fal:create', 1000), ('fal:read', 1000)"
    )
    for path in found.files():
        path.unlink()
    return found


@pytest.fixture
def trainings(world: World) -> Trainings:
    """The same product without a training but the LoRAs of earlier tests, which nothing can delete."""
    world.sandbox.put("settings", training_seconds=0.3, lora_image_seconds=0.1)
    world.sql("UPDATE lora_models SET name = id::text, creator_key = NULL, training_status = 'failed'")
    found = Trainings(world)
    for info in found.tools.storage.find(WEIGHTS, pushing.INCOMING):
        found.tools.storage.delete(WEIGHTS, info.path)
    return found


@pytest.fixture
def configure(product: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Change settings of this process for one test: `configure(KIE_WEBHOOK_HMAC_KEY="…")`."""

    def change(**environment: str) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _forget_settings()

    yield change
    monkeypatch.undo()
    _forget_settings()


@pytest.fixture
def command(world: World, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Said]]:
    """Runs `python -m jobs …` within this process."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = list(root.handlers)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(list(arguments))
        return Said(code, *capsys.readouterr())

    yield run
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def api(trainings: Trainings, configure: Callable[..., None]) -> World:
    """The product with users' tokens, no LoRA in sight, and nobody's pace used up."""
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    for pace in (lora_models.READS, lora_models.CREATES):
        pace.forget()
    world = trainings.world
    world.sql("UPDATE lora_models SET is_private = true, user_id = NULL")
    world.sql("DELETE FROM lora_requests")
    world.sql("DELETE FROM request_allowances")
    world.sql(
        "INSERT INTO auth.users (id, email) VALUES (%s, 'ada@x.de'), (%s, 'bo@x.de') ON CONFLICT DO NOTHING",
        ADA,
        BO,
    )
    return world


@pytest.fixture
def ada(api: World) -> Iterator[httpx.Client]:
    with customer(api, token(ADA)) as client:
        yield client


@pytest.fixture
def bo(api: World) -> Iterator[httpx.Client]:
    with customer(api, token(BO)) as client:
        yield client
