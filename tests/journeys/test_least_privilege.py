"""The product under the login of sql/roles/least_privilege.sql: all of it works, and no more can be done."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import psycopg
import pytest

from core import access, database, settings
from core.configuration.checks import BY_KEY
from core.machinery import service as machinery
from core.machinery import views
from jobs import clock, worker
from jobs.schedule import JOBS, slot_of
from tests.conftest import Sandbox
from tests.database.shared import shared_database
from tests.journeys.conftest import _serving
from tests.journeys.world import World

ROLE = settings.ROOT / "sql" / "roles" / "least_privilege.sql"
ADA = access.command_line("ada")


@pytest.fixture(scope="module")
def product(
    postgres_server: str, sandbox_process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """As everywhere, but by the login that may least."""
    with shared_database(postgres_server) as url, pytest.MonkeyPatch.context() as patch:
        with psycopg.connect(url, autocommit=True) as owner:
            for _ in range(2):
                owner.execute(ROLE.read_bytes())
            owner.execute("ALTER ROLE studio_ops_app PASSWORD 'least'")
        place = url.rpartition("@")[2]
        least = f"postgresql://studio_ops_app:least@{place}"
        database.connect(least)
        yield from _serving(least, sandbox_process, tmp_path_factory.mktemp("data"), patch)


@pytest.fixture
def least(web: httpx.Client, sandbox: Sandbox, product: dict[str, str]) -> World:
    """The running product, whose login may least."""
    sandbox.put("settings", image_seconds=0.05, file_bytes=60_000)
    found = World(web, sandbox, product)
    assert found.sql("SELECT current_user")[0][0] == "studio_ops_app"
    return found


def test_a_generation_is_made_and_delivered(least: World) -> None:
    made = least.create("a harbour [[fault:callback_lost]]")["generationId"]
    assert least.settle(made, {"delivered"}).asset_url


@pytest.mark.parametrize("name", JOBS)
def test_every_job_is_begun_and_ends_well(least: World, name: str) -> None:
    job, now = JOBS[name], datetime.now(UTC)
    clock.tick(job, now)
    least.sql("DELETE FROM procrastinate_jobs WHERE task_name = %s", name)
    assert worker.run_slot(job, slot_of(job, now)) >= 0


def test_the_machinery_is_seen_and_steered(least: World) -> None:
    now = datetime.now(UTC)
    assert machinery.run_now(ADA, "heal", uuid.uuid4(), now)
    least.work()
    pause = machinery.pause(ADA, "heal", uuid.uuid4(), 1, "a test of rights", now)
    machinery.resume(ADA, pause.id, now)
    clock.beat(uuid.uuid4(), "worker", now)
    machinery.took_over("deliver", "deliveries", {"generation_id": "x"}, now, begun_anew=True)
    assert len(views.board(ADA, now).jobs) == len(JOBS)


@pytest.mark.parametrize("key", ["database", "connection", "schema", "storage"])
def test_the_checks_are_well(least: World, key: str) -> None:
    found = list(BY_KEY[key].run(settings.current(), datetime.now(UTC)))
    assert [one.message for one in found if not one.good] == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "DROP TABLE public.generations",
        "ALTER TABLE public.generations ADD COLUMN mine int",
        "ALTER TABLE public.audit_log DISABLE TRIGGER ALL",
        "ALTER TABLE public.generations DISABLE ROW LEVEL SECURITY",
        'DROP POLICY "Service can manage all audit_log" ON public.audit_log',
        "TRUNCATE public.generations",
        "UPDATE public.audit_log SET actor_name = 'nobody'",
        "DELETE FROM public.audit_log",
        "DELETE FROM public.lora_models",
        "UPDATE public.schema_migrations SET checksum = 'x'",
        "CREATE ROLE mine",
        "ALTER ROLE studio_ops_app SUPERUSER",
        "CREATE SCHEMA mine",
        "COPY public.generations TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "SET ROLE postgres",
    ],
)
def test_what_it_may_not(least: World, statement: str) -> None:
    with (
        psycopg.connect(least.environment["DATABASE_URL"]) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)),
    ):
        connection.execute(statement.encode())
