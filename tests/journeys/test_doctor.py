"""`python -m jobs doctor`: one line for each part, and the remedy where one is not well."""

import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import database
from core.configuration import of_this_machine
from core.work import runs
from tests.journeys.world import Said, World

Command = Callable[..., Said]


def lines(said: Said) -> dict[str, str]:
    """Each verdict's mark and sentence under its name."""
    found = {}
    for line in said.out.splitlines():
        mark, _, rest = line.partition("  ")
        name, _, sentence = rest.strip().partition(": ")
        found[name] = f"{mark.strip()} {sentence}"
    return found


@pytest.fixture
def well(world: World) -> World:
    """A product whose clock and worker beat."""
    for role in runs.ROLES:
        runs.beat(uuid.uuid4(), role, datetime.now(UTC))
    return world


def test_all_well(well: World, command: Command) -> None:
    said = command("doctor")
    assert (said.code, [line for line in said.out.splitlines() if not line.startswith("ok ")]) == (0, [])
    told = lines(said)
    assert told["migrations"] == "ok up to date"
    assert told["connection"] == "ok a session of its own"
    assert {"settings", "database", "clock", "worker", "bucket generations"} <= set(told)
    assert {"disk", "writes", "time", "row-level security"} <= set(told)
    assert any(
        name.startswith("KIE at") and sentence.endswith("credits left") for name, sentence in told.items()
    )


def test_nobody_works(world: World, command: Command) -> None:
    said = command("doctor")
    told = lines(said)
    assert said.code == 1
    assert told["clock"] == "FAIL never seen. Start it with: python -m jobs clock"
    assert told["worker"] == "FAIL never seen. Start it with: python -m jobs worker"


def test_a_worker_that_fell_silent(well: World, command: Command) -> None:
    well.sql("UPDATE process_heartbeats SET beat_at = now() - interval '1 h' WHERE role = 'worker'")
    told = lines(command("doctor"))
    assert told["worker"].startswith("FAIL silent since ")
    assert told["clock"] == "ok alive"


def test_the_database_is_away(well: World, command: Command) -> None:
    database.connect("postgresql://postgres:hunter2@127.0.0.1:1/nowhere")
    try:
        said = command("doctor")
    finally:
        database.connect(well.environment["DATABASE_URL"])
    told = lines(said)
    assert said.code == 1
    assert told["database"].startswith("FAIL")
    assert "Check DATABASE_URL" in told["database"]
    assert "hunter2" not in said.out + said.err
    assert "clock" not in told


def test_a_migration_is_missing(well: World, command: Command) -> None:
    [(version, name, checksum)] = well.sql(
        "DELETE FROM schema_migrations WHERE version = 11 RETURNING version, name, checksum"
    )
    try:
        told = lines(command("doctor"))
    finally:
        well.sql(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
            version,
            name,
            checksum,
        )
    assert told["migrations"] == "FAIL 1 missing. Run: python -m jobs migrate"


def test_the_key_is_not_kies(well: World, command: Command, configure: Callable[..., None]) -> None:
    configure(KIE_API_KEY="sandbox-another-key")
    said = command("doctor")
    [kie] = [sentence for name, sentence in lines(said).items() if name.startswith("KIE at")]
    assert said.code == 1
    assert kie.startswith("FAIL KIE does not accept the API key. Check KIE_API_KEY.")
    assert "sandbox-another-key" not in said.out


def test_the_folder_cannot_be_written(
    well: World, command: Command, configure: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "files").write_text("a file in the folder's place")
    configure(STUDIO_OPS_DATA_DIR=str(tmp_path))
    told = lines(command("doctor"))
    assert told["bucket generations"].startswith("FAIL")
    assert told["database"].startswith("ok")


def test_what_a_configured_profile_lacks(
    well: World, command: Command, configure: Callable[..., None]
) -> None:
    configure(STUDIO_OPS_LOCAL_STACK="", KIE_CALLBACK_SECRET="", OPS_API_KEY="")
    told = lines(command("doctor"))
    assert told["settings"] == "ok configured profile, storage local"
    assert told["PUBLIC_BASE_URL"].startswith("FAIL points at this machine")
    assert told["KIE_CALLBACK_SECRET"] == "FAIL is not set: every callback is refused without it."
    assert told["OPS_API_KEY"] == "FAIL is not set: the API answers nobody without it."


def test_the_database_takes_no_writes(well: World, command: Command) -> None:
    name = well.sql("SELECT current_database()")[0][0]
    well.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.connect(well.environment["DATABASE_URL"])
    try:
        told = lines(command("doctor"))
    finally:
        with database.statement() as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        database.connect(well.environment["DATABASE_URL"])
    assert told["writes"].startswith("FAIL are refused")
    assert told["writes"].endswith(f"ALTER DATABASE {name} RESET default_transaction_read_only;")
    assert lines(command("doctor"))["writes"] == "ok taken"


def test_there_is_little_room(well: World, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(well.environment["STUDIO_OPS_DATA_DIR"]).free
    monkeypatch.setattr(of_this_machine, "ROOM_WANTED", 2 * free)
    assert lines(command("doctor"))["disk"].startswith("warn ")
    monkeypatch.setattr(of_this_machine, "ROOM_NEEDED", 2 * free)
    told = lines(command("doctor"))["disk"]
    assert told.startswith("FAIL ")
    assert "STUDIO_OPS_DATA_DIR" in told


def test_the_key_of_the_storage_is_of_the_wrong_kind(
    well: World, command: Command, configure: Callable[..., None]
) -> None:
    configure(
        STORAGE_BACKEND="supabase",
        SUPABASE_URL="http://127.0.0.1:1",
        SUPABASE_SERVICE_ROLE_KEY="sb_publishable_key_of_the_tests",
    )
    said = command("doctor")
    told = lines(said)
    assert told["storage"].startswith("FAIL SUPABASE_SERVICE_ROLE_KEY is a publishable key")
    assert any(name.startswith("KIE at") and sentence.startswith("ok") for name, sentence in told.items())
    assert "sb_publishable_key_of_the_tests" not in said.out


def test_what_the_storage_needs_is_missing(
    well: World, command: Command, configure: Callable[..., None]
) -> None:
    configure(STORAGE_BACKEND="r2", CLOUDFLARE_R2_BUCKET="studio")
    said = command("doctor")
    assert said.code == 1
    assert "STORAGE_BACKEND=r2 needs CLOUDFLARE_R2_ACCESS_KEY_ID" in said.err
