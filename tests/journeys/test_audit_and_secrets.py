"""What the product writes down: every act in its own transaction, and never a secret."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core import access, settings
from core.deliveries import service, tools
from core.errors import NotAllowed
from tests.conftest import CALLBACK_SECRET, SANDBOX_KEY, free_port
from tests.journeys.conftest import OPS_KEY, SIGNING_KEY
from tests.journeys.world import Said, World, all_rows, until

HMAC_KEY = "webhook-hmac-key-of-the-tests"
JWT_SECRET = "jwt-secret-of-the-tests-0123456789abcdef"
SECRETS = (CALLBACK_SECRET, SANDBOX_KEY, OPS_KEY, SIGNING_KEY)
TABLES = (
    "generations",
    "delivery_events",
    "callback_inbox",
    "stored_files",
    "job_costs",
    "job_runs",
    "work_takeovers",
    "check_results",
    "audit_log",
    "process_heartbeats",
    "procrastinate_jobs",
    "migration_findings",
)


def audited(world: World, generation_id: str) -> list[Any]:
    return world.sql(
        "SELECT action, actor_kind, actor_id, actor_name, source, before, after, request_id FROM audit_log"
        " WHERE object_type = 'generation' AND object_id = %s ORDER BY id",
        generation_id,
    )


def test_who_created_and_who_synced_is_known(world: World) -> None:
    made = world.create("audited [[fault:stuck]]")
    answer = world.web.get("/api/kie/sync", params={"taskId": made["taskId"]})
    created, synced = audited(world, made["generationId"])
    assert (created.action, created.actor_kind, created.source) == ("generation.create", "key", "api")
    assert created.actor_name.startswith("key-")
    assert created.after["input"]["prompt"] == "audited [[fault:stuck]]"
    assert (synced.action, synced.request_id) == ("generation.sync", answer.headers["x-request-id"])
    assert synced.before == {"delivery_state": "awaiting_provider"}


def test_a_line_is_written_in_the_transaction_of_its_act(world: World) -> None:
    made = world.create("together [[fault:stuck]]")
    world.web.get("/api/kie/sync", params={"taskId": made["taskId"]})
    pairs = world.sql(
        "SELECT a.xmin = e.xmin AS together FROM audit_log a JOIN delivery_events e"
        " ON e.generation_id = CAST(a.object_id AS uuid)"
        " AND (a.action, e.kind) IN (('generation.create', 'created'), ('generation.sync', 'sync_requested'))"
        " WHERE a.object_id = %s",
        made["generationId"],
    )
    assert [pair.together for pair in pairs] == [True, True]
    wanted = service.NewGeneration("flux-2/pro-text-to-image", {"prompt": "abc"}, request_key="together-1")
    later = service.create(access.job("test"), wanted, tools.current())
    [row] = world.sql(
        "SELECT a.xmin = g.xmin AS row, a.xmin = j.xmin AS job FROM audit_log a"
        " JOIN generations g ON g.id = CAST(a.object_id AS uuid)"
        " JOIN procrastinate_jobs j ON j.queueing_lock = 'deliver:' || a.object_id WHERE a.object_id = %s",
        str(later.id),
    )
    assert (row.row, row.job) == (True, True)


def test_what_the_machinery_does_by_itself_is_no_act(world: World) -> None:
    made = world.create("by itself")["generationId"]
    world.settle(made, {"delivered"})
    assert [line.action for line in audited(world, made)] == ["generation.create"]


@contextlib.contextmanager
def no_audit(world: World) -> Iterator[None]:
    """The audit log takes no line."""
    world.sql("ALTER TABLE audit_log ADD CONSTRAINT full_up CHECK (action IS NULL) NOT VALID")
    try:
        yield
    finally:
        world.sql("ALTER TABLE audit_log DROP CONSTRAINT full_up")


def test_an_act_that_cannot_be_audited_does_not_happen(world: World) -> None:
    made = world.create("before [[fault:stuck]]")
    row, events = world.row(made["generationId"]), world.events(made["generationId"])
    creates = len(world.calls("create"))
    with no_audit(world):
        body = {"model": "flux-2/pro-text-to-image", "input": {"prompt": "unaudited"}}
        assert world.web.post("/api/kie/createTask", json=body).status_code == 500
        assert world.web.get("/api/kie/sync", params={"taskId": made["taskId"]}).status_code == 500
    assert world.row(made["generationId"]) == row
    assert world.events(made["generationId"]) == events
    assert len(world.sql("SELECT 1 FROM generations")) == 1
    assert (len(world.calls("create")), world.calls("read")) == (creates, [])


def test_a_line_of_the_audit_log_stays_as_it_is(world: World) -> None:
    made = world.create()["generationId"]
    for statement in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(Exception, match="never changed or deleted"):
            world.sql(statement)
    assert len(audited(world, made)) == 1


def test_an_act_that_is_refused_leaves_no_line(world: World) -> None:
    viewer = access.Actor("person", "v", "A viewer", frozenset({access.Role.VIEWER}), "page")
    wanted = service.NewGeneration("flux-2/pro-text-to-image", {"prompt": "abc"}, request_key="viewer-key")
    lines = len(world.sql("SELECT 1 FROM audit_log"))
    with pytest.raises(NotAllowed, match="may not start a generation"):
        service.create(viewer, wanted, tools.current())
    assert len(world.sql("SELECT 1 FROM audit_log")) == lines


# Secrets.


def adventures(world: World, seen: list[str]) -> None:
    """Everything that can go right and wrong on the way, every answer kept."""
    prompts = (
        "plain [[fault:callback_duplicate=2]]",
        "lost [[fault:answer_lost]]",
        "refused [[fault:error_in_200@create=422]]",
        "failed [[fault:provider_fail=400]]",
        "page [[fault:html_as_jpg*1]] [[fault:dead@read*1]]",
        "gone [[fault:expired_url*1]]",
    )
    made = [world.create(prompt) for prompt in prompts]
    for item in made:
        world.settle(item["generationId"], {"delivered", "failed"})
    with contextlib.suppress(Exception):
        world.callback(
            made[0]["generationId"], {"data": {"taskId": "task_x", "note": OPS_KEY}}, secret="wrong"
        )
    for item in made:
        task = world.row(item["generationId"]).task_id
        if task:
            seen += [
                world.web.get("/api/kie/sync", params={"taskId": task}).text,
                world.web.get("/api/debug/kie", params={"taskId": task}).text,
            ]
    seen += [
        world.web.get(path).text for path in ("/api/debug/kie", "/api/health?deep=1", "/api/openapi.json")
    ]
    seen += [str(item) for item in made]


def test_no_secret_in_any_table_or_answer(
    world: World, configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    seen: list[str] = []
    adventures(world, seen)
    kept = all_rows(world, TABLES)
    said = "".join(capsys.readouterr())
    for secret in (*SECRETS, JWT_SECRET):
        assert secret not in kept
        assert not [text for text in seen if secret in text]
        assert secret not in said
    assert "secret=***" in kept


@pytest.fixture
def process(world: World, tmp_path: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """The API as production runs it, `uvicorn core.web.app:app`, its output in a file."""
    port, output = free_port(), tmp_path / "output"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **world.environment,
        "PUBLIC_BASE_URL": f"http://127.0.0.1:{port}",
        "KIE_WEBHOOK_HMAC_KEY": HMAC_KEY,
        "PYTHONUNBUFFERED": "1",
    }
    with output.open("wb") as written:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "core.web.app:app", "--port", str(port)],
            cwd=settings.ROOT,
            env=environment,
            stdout=written,
            stderr=written,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            until(lambda: _answers(client), 30)
            yield client, output
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def _answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/api/health").status_code == 200
    return False


def test_the_web_process_logs_its_requests_without_their_secrets(
    world: World, process: tuple[httpx.Client, Path]
) -> None:
    client, output = process
    made = world.create("logged")
    query = {"secret": CALLBACK_SECRET, "generation": made["generationId"]}
    body = {"data": {"taskId": made["taskId"], "state": "success"}}
    assert client.post("/api/kie/callback", params=query, json=body).status_code == 401
    world.settle(made["generationId"], {"delivered"})
    link = world.row(made["generationId"]).asset_url or ""
    assert client.get(link).status_code == 200
    key = {"Authorization": f"Bearer {OPS_KEY}"}
    assert client.get("/api/debug/kie", headers=key).status_code == 200
    assert client.get("/api/kie/sync?taskId=x&api_key=" + OPS_KEY, headers=key).status_code == 404
    said = output.read_text()
    for secret in (*SECRETS, HMAC_KEY, link.partition("sig=")[2]):
        assert secret not in said
    assert "/api/kie/callback" in said


def test_the_commands_print_no_secret(world: World, command: Callable[..., Said]) -> None:
    told = command("doctor")
    assert "database" in told.out
    assert "KIE at" in told.out
    assert all(line.split()[0] in {"ok", "warn", "FAIL"} for line in told.out.splitlines())
    for secret in SECRETS:
        assert secret not in told.out + told.err
