"""A running product as the journeys see it, and what they do with it."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from core import database
from core.deliveries import following, tools
from core.deliveries.models import Generation
from core.deliveries.repository import to_generation
from jobs import worker
from tests.conftest import CALLBACK_SECRET, Sandbox


def until(done: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for `done` to be true and return what it returned; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = done()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen within {seconds} s")


@dataclass(frozen=True)
class World:
    """A running product: its API, its sandbox, and its jobs, run when the test says so."""

    web: httpx.Client
    sandbox: Sandbox
    environment: dict[str, str]

    def create(self, prompt: str = "a lighthouse at dusk", **more: Any) -> dict[str, Any]:
        """Create a FLUX.2 Pro generation through the API; its standing."""
        body = {"model": "flux-2/pro-text-to-image", "input": {"prompt": prompt}, **more}
        answer = self.web.post("/api/kie/createTask", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def row(self, generation_id: str) -> Generation:
        """The generation's row."""
        with database.reading() as connection:
            found = connection.exec_driver_sql("SELECT * FROM generations WHERE id = %s", (generation_id,))
            return to_generation(found.mappings().one())

    def events(self, generation_id: str) -> list[str]:
        """The kinds of the generation's timeline, in order."""
        return [
            str(row[0])
            for row in self.sql(
                "SELECT kind FROM delivery_events WHERE generation_id = %s ORDER BY id", generation_id
            )
        ]

    def said(self, generation_id: str, kind: str) -> Any:
        """The newest event of that kind, as a row: category, words, detail, attempt."""
        rows = self.sql(
            "SELECT error_category AS category, words, detail, attempt FROM delivery_events"
            " WHERE generation_id = %s AND kind = %s ORDER BY id DESC LIMIT 1",
            generation_id,
            kind,
        )
        assert rows, f"no {kind} among {self.events(generation_id)}"
        return rows[0]

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement; its rows."""
        with database.transaction() as connection:
            result = connection.exec_driver_sql(statement, values or None)
            return list(result.all()) if result.returns_rows else []

    def paid(self, generation_id: str) -> int:
        """How many tasks the sandbox has accepted, and so charged, for the generation."""
        counted = self.sandbox.get("stats")["paid_by_generation"]
        return int(counted.get(generation_id, 0))

    def calls(self, kind: str, **query: str) -> list[dict[str, Any]]:
        """The sandbox's request log of one kind."""
        return list(self.sandbox.get("log", kind=kind, **query)["rows"])

    def files(self) -> list[Path]:
        """Every finished file in storage."""
        root = Path(self.environment["STUDIO_OPS_DATA_DIR"]) / "files" / "generations"
        return sorted(path for path in root.rglob("*") if path.is_file())

    def callback(
        self, generation_id: str | None, body: Any, *, secret: str | None = CALLBACK_SECRET, **more: Any
    ) -> httpx.Response:
        """Send a callback as somebody who is not the sandbox."""
        query = {"secret": secret, "generation": generation_id}
        given = {name: value for name, value in query.items() if value is not None}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.web.post("/api/kie/callback", params=given, **content, **more)

    def inbox(self) -> list[Any]:
        """The callbacks that were recorded, as rows: generation_id, task_id, duplicates, body, outcome."""
        return self.sql(
            "SELECT generation_id::text, task_id, duplicates, body, outcome FROM callback_inbox ORDER BY id"
        )

    def held(self) -> tuple[str, str]:
        """The generation and task of one that KIE works on until it is told to finish."""
        made = self.create("held [[fault:stuck]]")
        return made["generationId"], made["taskId"]

    def due(self, generation_id: str) -> None:
        """Make the row due now and free of any lease, as time would."""
        self.sql(
            "UPDATE generations SET next_attempt_at = now() - interval '1 s', lease_until = NULL"
            " WHERE id = %s",
            generation_id,
        )

    def age(self, generation_id: str, interval: str) -> None:
        """Let the row be older by `interval`, and due."""
        self.sql(
            "UPDATE generations SET created_at = created_at - CAST(%s AS interval),"
            " submitted_at = submitted_at - CAST(%s AS interval),"
            " result_expires_at = result_expires_at - CAST(%s AS interval) WHERE id = %s",
            interval,
            interval,
            interval,
            generation_id,
        )
        self.due(generation_id)

    def poll(self) -> int:
        """One poll job."""
        return following.poll_due(tools.current())

    def sweep(self) -> int:
        """One sweep job."""
        return following.sweep(tools.current())

    def advance(self, generation_id: str) -> Generation:
        """One step of the delivery, in this process."""
        found = following.advance(UUID(generation_id), tools.current())
        assert found is not None
        return found

    def work(self) -> None:
        """Everything that waits on the queue, by a real procrastinate worker."""
        if not self.sql("SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' LIMIT 1"):
            return
        app = worker.make_app(self.environment["DATABASE_URL"])

        async def run() -> None:
            async with app.open_async():
                await app.run_worker_async(
                    wait=False, listen_notify=False, install_signal_handlers=False, concurrency=4
                )

        asyncio.run(run())

    def step(self, generation_id: str) -> Generation:
        """Let everything that is due happen once; the row."""
        self.sweep()
        self.poll()
        self.work()
        return self.row(generation_id)

    def settle(self, generation_id: str, states: set[str], seconds: float = 15.0) -> Generation:
        """Poll and work until the generation stands at one of `states`."""

        def reached() -> Generation | None:
            row = self.step(generation_id)
            if row.delivery_state in states:
                return row
            self.sql(
                "UPDATE generations SET next_attempt_at = now()"
                " WHERE id = %s AND next_attempt_at IS NOT NULL",
                generation_id,
            )
            return None

        return until(reached, seconds)  # type: ignore[no-any-return]

    def finished_at_kie(self, task_id: str) -> None:
        """Wait until the sandbox says that the task has ended."""
        until(lambda: self.sandbox.get(f"tasks/{task_id}")["record"]["state"] in {"success", "fail"})


@dataclass(frozen=True)
class Said:
    """What a command answered and printed."""

    code: int
    out: str
    err: str


def all_rows(world: World, tables: Sequence[str]) -> str:
    """Everything that stands in these tables, as one text to search."""
    return "\n".join(
        str(row[0]) for table in tables for row in world.sql(f"SELECT to_jsonb(t)::text FROM {table} t")
    )


def success(task_id: str, **data: Any) -> dict[str, Any]:
    """A callback that claims success, as KIE words it."""
    result = json.dumps({"resultUrls": ["https://tempfile.aiquickdraw.com/forged.jpg"]})
    return {
        "code": 200,
        "msg": "Playground task completed successfully.",
        "data": {"taskId": task_id, "state": "success", "resultJson": result, **data},
    }
