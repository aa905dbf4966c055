"""Whatever happens in whatever order: no success without a file, nothing delivered or paid twice, nothing
forgotten, and no plan of a bulk resync that does an item twice or loses one.

Hypothesis plays customers, KIE, the clock, the worker, the company's application and the hand that kills
processes, against the real services on a real Postgres and the sandbox over HTTP. The default run is short
and always the same; `pytest -n 0 --hypothesis-profile=campaign tests/journeys/test_any_order.py` goes 250
ways of up to 60 steps, others each time, within 25 minutes; `--hypothesis-seed=N` goes the same ones again.
"""

import contextlib
import hashlib
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.deliveries import following, sending, service, tools
from core.deliveries.models import ACTIVE, Callback, DeliveryState
from core.deliveries.service import NewGeneration
from core.errors import StudioOpsError
from core.plans import running
from core.work.limiter import Priority
from tests.database import ledger
from tests.journeys.crashing import Fuse, Killed, fused
from tests.journeys.planning import ACTOR, PlansInAnyOrder, fuses, which
from tests.journeys.world import World

MODEL = "flux-2/pro-text-to-image"
# Every task works until it is told to end, and calls nobody: callbacks are a rule of their own.
HELD = "[[fault:stuck]] [[fault:callback_lost]]"
FAULTS = (
    "",
    "[[fault:answer_lost]]",
    "[[fault:accepted_then_error]]",
    "[[fault:truncated_file*1]]",
    "[[fault:server_error@file*2]]",
    "[[fault:expired_url*1]]",
    "[[fault:rate_limited*1]]",
    "[[fault:dead@create*1]]",
    "[[fault:dead@read*2]]",
    "[[fault:multi_result]]",
)
SAYS = ("what is so", "success", "fail", "somebody else's")


class AnyOrder(PlansInAnyOrder):
    """Everything that may happen to deliveries; `offset` is how far the clock was put forward."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.offset = timedelta()
        self.ids: list[str] = []
        self.company: set[str] = set()
        self.plans: list[UUID] = []
        for table in ("generations", "delivery_events", "callback_inbox", "stored_files", "resync_plans"):
            world.sql(f"DELETE FROM {table}")
        ledger.empty(world.sql)
        world.sql("DELETE FROM procrastinate_jobs")
        world.sandbox.reset()

    # The hands.

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def tools(self, fuse: Fuse | None = None) -> tools.Tools:
        calm = replace(tools.current(), clock=self.now, sleep=lambda _: None)
        return fused(calm, replace(fuse)) if fuse else calm

    def one(self, number: int) -> str:
        return self.ids[number % len(self.ids)]

    def tasks(self, generation_id: str) -> list[str]:
        """The tasks that KIE has accepted for the generation, whether we know them or not."""
        log = self.world.sandbox.get("log", kind="create", generation=generation_id)["rows"]
        return [row["task"] for row in log if row["task"]]

    def record(self, task_id: str) -> dict[str, Any]:
        return dict(self.world.sandbox.get(f"tasks/{task_id}")["record"])

    # What people and the company's application do.

    @rule(fault=st.sampled_from(FAULTS))
    def create(self, fault: str) -> None:
        wanted = NewGeneration(MODEL, {"prompt": f"a boat {HELD} {fault}"}, uuid.uuid4().hex)
        self.ids.append(str(service.create(ACTOR, wanted, self.tools()).id))

    @rule(fault=st.sampled_from(FAULTS), fuse=fuses)
    def create_and_send_at_once(self, fault: str, fuse: Fuse | None) -> None:
        wanted = NewGeneration(MODEL, {"prompt": f"a boat {HELD} {fault}"}, uuid.uuid4().hex)
        made = service.create(ACTOR, wanted, self.tools(), send_later=False)
        self.ids.append(str(made.id))
        with contextlib.suppress(Killed):
            sending.submit(made.id, self.tools(fuse))

    @rule()
    def the_company_makes_one(self) -> None:
        given = {"prompt": f"theirs {HELD}", "aspect_ratio": "1:1", "resolution": "1K"}
        task = tools.current().providers["kie"].create(MODEL, given, None).id
        [(made,)] = self.world.sql(
            "INSERT INTO generations (status, task_id, model, kind) VALUES ('generating', %s, %s, 'image')"
            " RETURNING id::text",
            task,
            MODEL,
        )
        self.ids.append(made)
        self.company.add(made)

    @precondition(lambda self: self.ids)
    @rule(number=which, status=st.sampled_from(["queued", "generating", "failed", "processing", "nonsense"]))
    def the_company_writes(self, number: int, status: str) -> None:
        self.world.sql("UPDATE generations SET status = %s WHERE id = %s", status, self.one(number))

    @precondition(lambda self: self.ids)
    @rule(number=which)
    def somebody_asks_for_one(self, number: int) -> None:
        with contextlib.suppress(StudioOpsError):
            service.request_sync(ACTOR, UUID(self.one(number)), self.tools())

    @precondition(lambda self: self.ids)
    @rule(number=which, fuse=fuses)
    def somebody_waits_for_one(self, number: int, fuse: Fuse | None) -> None:
        with contextlib.suppress(StudioOpsError, Killed):
            asked = service.request_sync(ACTOR, UUID(self.one(number)), self.tools(), later=False)
            following.advance(asked.id, self.tools(fuse), Priority.SYNC)

    # What KIE does.

    @precondition(lambda self: self.ids)
    @rule(number=which, fails=st.booleans())
    def kie_ends_one(self, number: int, fails: bool) -> None:
        for task in self.known_or_not(self.one(number)):
            self.end_at_kie(task, "501" if fails else None)

    def known_or_not(self, generation_id: str) -> list[str]:
        bound = self.world.row(generation_id).task_id
        return list(dict.fromkeys([*self.tasks(generation_id), *([bound] if bound else [])]))

    def end_at_kie(self, task: str, fail_code: str | None = None) -> None:
        if self.record(task)["state"] not in {"success", "fail"}:
            given = {"fail": fail_code} if fail_code else {}
            self.world.sandbox.post(f"tasks/{task}/finish", **given)

    @precondition(lambda self: self.ids)
    @rule(
        number=which, other=which, says=st.sampled_from(["what is so", "success", "fail", "somebody else's"])
    )
    def a_callback_comes(self, number: int, other: int, says: str) -> None:
        """Early, late, twice, with another's task, or with what is not so: none of it is believed."""
        generation_id = self.one(number)
        owner = self.one(other) if says == "somebody else's" else generation_id
        for task in self.known_or_not(owner):
            state = says if says in {"success", "fail"} else self.record(task)["state"]
            body = {"code": 200, "data": {"taskId": task, "state": state}}
            digest = hashlib.sha256(json.dumps([generation_id, body]).encode()).hexdigest()
            given = Callback(task, UUID(generation_id), digest, body, signed=False)
            with contextlib.suppress(StudioOpsError):
                service.receive_callback(given, self.tools())

    # What the machinery does.

    @rule(fuse=fuses)
    def a_worker_takes_a_job(self, fuse: Fuse | None) -> None:
        job = self.world.sql(
            "DELETE FROM procrastinate_jobs WHERE id = (SELECT id FROM procrastinate_jobs"
            " WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= %s)"
            " ORDER BY priority DESC, id LIMIT 1) RETURNING task_name, args",
            self.now(),
        )
        if job and job[0][0] == "run_plan":
            self.run_plan(UUID(job[0][1]["plan_id"]), fuse)
        elif job:
            with contextlib.suppress(Killed):
                following.step(UUID(job[0][1]["generation_id"]), self.tools(fuse))

    @rule(fuse=fuses)
    def a_poll(self, fuse: Fuse | None) -> None:
        with contextlib.suppress(Killed):
            following.poll_due(self.tools(fuse))

    @rule()
    def a_sweep(self) -> None:
        following.sweep(self.tools())
        running.sweep(self.tools())

    @rule(seconds=st.sampled_from([1, 11, 61, 700, 7200]))
    def time_passes(self, seconds: int) -> None:
        self.offset += timedelta(seconds=seconds)

    # What must always hold.

    @invariant()
    def no_success_without_a_file(self) -> None:
        missing = self.world.sql(
            "SELECT g.id FROM generations g WHERE g.delivery_state = 'delivered' AND EXISTS"
            " (SELECT 1 FROM delivery_events e WHERE e.generation_id = g.id AND e.kind = 'delivered')"
            " AND NOT EXISTS (SELECT 1 FROM stored_files f WHERE f.generation_id = g.id AND f.n = 0)"
        )
        assert not missing
        for bucket, path, size in self.world.sql("SELECT bucket, path, bytes FROM stored_files"):
            found = tools.current().storage.stat(bucket, path)
            assert found is not None, path
            assert found.bytes == size, path

    @invariant()
    def nothing_is_delivered_twice(self) -> None:
        assert not self.world.sql(
            "SELECT generation_id FROM delivery_events WHERE kind = 'delivered'"
            " GROUP BY generation_id HAVING count(*) > 1"
        )

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        assert self.world.sandbox.get("stats")["paid_more_than_once"] == []
        assert not self.world.sql(
            "SELECT generation_id FROM job_costs WHERE kind = 'settle'"
            " GROUP BY generation_id HAVING count(*) > 1"
        )

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """What is under way is due, or held by somebody whose lease ends, or waits as a job."""
        assert not self.world.sql(
            "SELECT g.id, g.delivery_state FROM generations g WHERE g.delivery_state = ANY(%s)"
            " AND g.next_attempt_at IS NULL AND g.lease_until IS NULL AND g.delivery_state <> 'intent'"
            " AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs j"
            "                 WHERE j.queueing_lock = 'deliver:' || g.id AND j.status = 'todo')",
            [state.value for state in ACTIVE],
        )

    def teardown(self) -> None:
        """KIE ends what it has, calls back, and time goes on: all come to an end, and to the right one."""
        for _ in range(40):
            self._kie_ends_all()
            if self._all_ended():
                break
            self.offset += timedelta(minutes=11)
            self.a_sweep()
            self.work_off()
            self.a_poll(None)
            self.work_off()
        self.a_plan_asks_for_all()
        for _ in range(6):
            self.offset += timedelta(minutes=2)
            self.a_poll(None)
            self.work_off()
        self.every_plan_comes_to_an_end()
        for generation_id in self.ids:
            self._came_to_the_right_end(generation_id)
        self.no_success_without_a_file()
        self.nothing_is_delivered_twice()
        self.nothing_is_paid_twice()

    def _kie_ends_all(self) -> None:
        for number, generation_id in enumerate(self.ids):
            for task in self.known_or_not(generation_id):
                self.end_at_kie(task)
            self.a_callback_comes(number, number, "what is so")

    def work_off(self) -> None:
        while self.world.sql(
            "SELECT 1 FROM procrastinate_jobs WHERE status = 'todo'"
            " AND (scheduled_at IS NULL OR scheduled_at <= %s) LIMIT 1",
            self.now(),
        ):
            self.a_worker_takes_a_job(None)

    def _all_ended(self) -> bool:
        return not self.world.sql(
            "SELECT 1 FROM generations WHERE delivery_state = ANY(%s) LIMIT 1",
            [state.value for state in ACTIVE],
        )

    def _came_to_the_right_end(self, generation_id: str) -> None:
        row, tasks = self.world.row(generation_id), self.known_or_not(generation_id)
        at_kie = {self.record(task)["state"] for task in tasks}
        told = (
            generation_id,
            row.delivery_state,
            row.task_id,
            tasks,
            at_kie,
            self.world.events(generation_id),
        )
        if at_kie == {"success"} and generation_id not in self.company:
            assert row.delivery_state is DeliveryState.DELIVERED, told
        elif at_kie == {"fail"}:
            assert row.delivery_state is DeliveryState.FAILED, told
        else:
            assert row.delivery_state not in ACTIVE, told


SHORT = settings(
    max_examples=6,
    stateful_step_count=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_in_any_order(world: World) -> None:
    long = settings.get_current_profile_name() == "campaign"
    machine: Any = lambda: AnyOrder(world)  # noqa: E731
    run_state_machine_as_test(machine, settings=settings.get_profile("campaign") if long else SHORT)
