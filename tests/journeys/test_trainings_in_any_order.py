"""Whatever happens to trainings in whatever order: none is paid twice, no money stays reserved, no pod is
left.

Hypothesis plays people, the trainers, their webhooks, the clock, the workers and the hand that kills them,
against the real services on a real Postgres and the sandbox over HTTP. The default run is short and always
the same; `pytest --hypothesis-profile=campaign tests/journeys/test_trainings_in_any_order.py` goes on for
longer, each time by another way.
"""

import contextlib
import hashlib
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core import database
from core.access import Actor, Role
from core.budget import proof
from core.errors import StudioOpsError
from core.providers.training import WebhookEvent
from core.trainings import cleaning, following, service
from core.trainings.models import ENDED, Launch, Run, RunState
from core.trainings.tools import WEIGHTS, Tools
from tests.database import ledger
from tests.journeys.crashing import Fuse, Killed, fused_trainings
from tests.journeys.training_world import STAFF, Trainings

TRAINERS = ("fal", "replicate", "runpod")
EMPTIED = (
    "training_calls",
    "training_stages",
    "training_log",
    "training_events",
    "training_webhooks",
    "training_images",
    "training_zips",
    "lora_training_jobs",
    "orphan_pods",
    "procrastinate_jobs",
)
SUBMITS = [f"{name}_submit" for name in TRAINERS]
# Webhooks are a rule of their own.
SILENT: dict[str, Any] = {"webhook_never": {"at": ["fal_training", "fal_image", "replicate_training"]}}
FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {"trainer_answer_lost": {"at": SUBMITS, "times": 1}},
    {"trainer_accepted_then_error": {"at": SUBMITS, "times": 1, "value": 503}},
    {"trainer_dead": {"at": [*SUBMITS, "fal_read"], "times": 1}},
    {"trainer_rate_limited": {"at": SUBMITS, "times": 2}},
    {"no_capacity": {"at": ["runpod_submit"], "times": 1}},
    {"terminate_fails": {"at": ["runpod_training"], "value": 2}},
    {"trainer_error": {"at": ["fal_cancel", "replicate_cancel"], "times": 1, "value": 503}},
    {"weights_truncated": {"at": ["fal_training"], "times": 1}},
    {"validation_image_fails": {"times": 1}},
)
fuses = st.one_of(st.none(), st.builds(Fuse, st.integers(0, 9), st.booleans()))
which = st.integers(0, 20)


class AnyOrder(RuleBasedStateMachine):
    """Everything that may happen to trainings; `offset` is how far the clock was put forward."""

    def __init__(self, trainings: Trainings, images: list[Any]) -> None:
        super().__init__()
        self.trainings = trainings
        self.world = trainings.world
        self.images = images
        self.offset = timedelta()
        self.wishes: list[tuple[Actor, Launch]] = []
        self.runs: list[UUID] = []
        for table in EMPTIED:
            self.world.sql(f"DELETE FROM {table}")
        ledger.empty(self.world.sql)
        self.world.sandbox.reset()
        self.world.sandbox.put("settings", training_seconds=3600, lora_image_seconds=0.02)
        self.world.sandbox.put("faults", **SILENT)

    # The hands.

    def tools(self, fuse: Fuse | None = None) -> Tools:
        calm = replace(
            self.trainings.tools, clock=lambda: datetime.now(UTC) + self.offset, sleep=lambda _: None
        )
        return fused_trainings(calm, replace(fuse)) if fuse else calm

    def one(self, number: int) -> Run:
        return self.trainings.run(self.runs[number % len(self.runs)])

    def at_the_trainers(self) -> list[dict[str, Any]]:
        """Everything that a trainer has accepted, and so been paid for."""
        return list(self.world.sandbox.get("trainings")["trainings"])

    # What people do.

    @precondition(lambda self: len(self.runs) < 4)
    @rule(trainer=st.sampled_from(TRAINERS))
    def somebody_launches(self, trainer: str) -> None:
        who = Actor("person", f"p{len(self.wishes)}", "Somebody", frozenset({Role.PRODUCT}), "page")
        draft_id = uuid.uuid4()
        for row in self.images:
            values = row | {"lora_model_id": draft_id}
            marks = ", ".join(["%s"] * len(values))
            self.world.sql(
                f"INSERT INTO training_images ({', '.join(values)}) VALUES ({marks})", *values.values()
            )
        wish = Launch(uuid.uuid4().hex, draft_id, f"Ada {draft_id.hex[:8]}", "ada_v1", trainer, 1000)
        self.wishes.append((who, wish))
        self.runs.append(service.launch(who, wish, self.tools()).id)

    @precondition(lambda self: self.runs)
    @rule(number=which)
    def somebody_clicks_twice(self, number: int) -> None:
        who, wish = self.wishes[number % len(self.wishes)]
        assert service.launch(who, wish, self.tools()).id in self.runs

    @precondition(lambda self: self.runs)
    @rule(number=which, sure=st.booleans(), changes_their_mind=st.sampled_from([False, True, True]))
    def somebody_cancels(self, number: int, sure: bool, changes_their_mind: bool) -> None:
        if changes_their_mind:
            return
        with contextlib.suppress(StudioOpsError):
            service.cancel(STAFF, self.one(number).id, self.tools(), reason="enough", nothing_runs=sure)

    @precondition(lambda self: self.runs)
    @rule(number=which, sure=st.booleans())
    def somebody_resumes(self, number: int, sure: bool) -> None:
        with contextlib.suppress(StudioOpsError):
            service.resume(STAFF, self.one(number).id, self.tools(), nothing_runs=sure)

    @precondition(lambda self: self.runs)
    @rule(number=which)
    def somebody_looks_again(self, number: int) -> None:
        service.look_again(STAFF, self.one(number).id, self.tools())

    @precondition(lambda self: self.runs)
    @rule(number=which, index=st.integers(0, 2), shows=st.sampled_from([True, True, False]))
    def somebody_judges(self, number: int, index: int, shows: bool) -> None:
        with contextlib.suppress(StudioOpsError):
            service.judge(STAFF, self.one(number).id, index, self.tools(), shows=shows)

    # What the trainers do.

    @rule(fault=st.sampled_from(FAULTS))
    def a_trainer_misbehaves(self, fault: dict[str, Any]) -> None:
        self.world.sandbox.put("faults", **SILENT, **fault)

    @rule(fails=st.booleans())
    def the_trainers_end_all(self, fails: bool) -> None:
        for one in self.at_the_trainers():
            if one["live"] and one["kind"] == "training":
                given = {"fail": "CUDA out of memory"} if fails else {}
                with contextlib.suppress(httpx.HTTPStatusError):
                    self.world.sandbox.post(f"trainings/{one['id']}/finish", **given)

    @rule(number=which, twice=st.booleans(), of=st.sampled_from(["its own", "another's", "nobody's"]))
    def a_webhook_comes(self, number: int, twice: bool, of: str) -> None:
        """Early, late, twice, of another run, with what is not so: none of it is believed."""
        found = self.at_the_trainers()
        if not found:
            return
        one, other = found[number % len(found)], found[(number + 1) % len(found)]
        call_id = {"its own": one["run"], "another's": other["run"], "nobody's": None}[of]
        for _ in range(1 + twice):
            self._receive(one, UUID(call_id) if call_id else None)

    def _receive(self, one: dict[str, Any], call_id: UUID | None) -> None:
        digest = hashlib.sha256(f"{one['id']} {call_id}".encode()).hexdigest()
        event = WebhookEvent(one["id"], digest, "OK")
        with contextlib.suppress(StudioOpsError):
            service.receive_webhook(one["service"], call_id, event, self.tools())

    # What the machinery does.

    @rule(fuse=fuses)
    def a_worker_takes_a_job(self, fuse: Fuse | None) -> None:
        job = self.world.sql(
            "DELETE FROM procrastinate_jobs WHERE id = (SELECT id FROM procrastinate_jobs"
            " WHERE status = 'todo' AND task_name = 'train' AND (scheduled_at IS NULL OR scheduled_at <= %s)"
            " ORDER BY priority DESC, id LIMIT 1) RETURNING args",
            self.tools().clock(),
        )
        if job:
            with contextlib.suppress(Killed):
                following.step(UUID(job[0][0]["run_id"]), self.tools(fuse))

    @rule(fuse=fuses)
    def a_poll(self, fuse: Fuse | None) -> None:
        with contextlib.suppress(Killed):
            following.poll_due(self.tools(fuse))

    @rule()
    def a_sweep(self) -> None:
        following.sweep(self.tools())

    @rule()
    def the_sweep_of_what_still_costs(self) -> None:
        cleaning.sweep_orphans(self.tools())

    @rule(seconds=st.sampled_from([1, 31, 61, 700, 2000, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.offset += timedelta(seconds=seconds)

    # What must always hold.

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        """Each attempt has an id of its own, which the trainers were told."""
        times = Counter(one["run"] for one in self.at_the_trainers())
        assert not [run for run, many in times.items() if many > 1]
        assert not self.world.sql(
            "SELECT source_key FROM job_costs WHERE kind = 'settle' GROUP BY source_key HAVING count(*) > 1"
        )

    @invariant()
    def what_is_over_has_nothing_reserved(self) -> None:
        assert not self.world.sql(
            "SELECT id FROM lora_training_jobs WHERE reservation_key IS NOT NULL AND state = ANY(%s)",
            [state.value for state in ENDED],
        )

    @invariant()
    def what_is_completed_has_its_file(self) -> None:
        rows = self.world.sql(
            "SELECT l.storage_path, l.weights_sha256, l.file_size FROM lora_training_jobs r"
            " JOIN lora_models l ON l.id = r.lora_model_id WHERE r.state = 'completed'"
        )
        for path, sha256, size in rows:
            with contextlib.closing(self.trainings.tools.storage.open(WEIGHTS, path)) as reader:
                content = b"".join(reader.chunks())
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (sha256, size)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """What is under way is due, or held by somebody whose lease ends."""
        assert not self.world.sql(
            "SELECT id FROM lora_training_jobs WHERE state IN ('running', 'ending')"
            " AND next_attempt_at IS NULL AND lease_until IS NULL"
        )

    def teardown(self) -> None:
        """The trainers end what they have and say so, people decide, time goes on: all come to an end."""
        self.world.sandbox.put("faults", **SILENT)
        for _ in range(40):
            if not self._open():
                break
            self.the_trainers_end_all(fails=False)
            for one in self.at_the_trainers():
                self._receive(one, UUID(one["run"]))
            self.offset += timedelta(minutes=11)
            self._work_off()
            self._decide()
        assert not self._open(), [(run.state, run.stage, run.error_message) for run in self._open()]
        for _ in range(3):
            self.offset += timedelta(minutes=20)
            for one in self.at_the_trainers():
                self._receive(one, UUID(one["run"]))
            self.the_sweep_of_what_still_costs()
            self._work_off()
        self._nothing_is_left()

    def _open(self) -> list[Run]:
        return [run for run in map(self.trainings.run, self.runs) if run.state not in ENDED]

    def _work_off(self) -> None:
        for _ in range(12):
            self.a_sweep()
            while self.world.sql(
                "SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' AND task_name = 'train'"
                " AND (scheduled_at IS NULL OR scheduled_at <= %s) LIMIT 1",
                self.tools().clock(),
            ):
                self.a_worker_takes_a_job(None)
            self.offset += timedelta(seconds=45)
            if not following.poll_due(self.tools()):
                return

    def _decide(self) -> None:
        """A person says yes to each image, and gives up what nobody can know."""
        for run in self._open():
            if run.state is RunState.AWAITING_VERDICT:
                for index in range(3):
                    with contextlib.suppress(StudioOpsError):
                        service.judge(STAFF, run.id, index, self.tools(), shows=True)
            elif run.state is RunState.NEEDS_ATTENTION:
                with contextlib.suppress(StudioOpsError):
                    service.cancel(STAFF, run.id, self.tools(), reason="unknown", nothing_runs=True)

    def _nothing_is_left(self) -> None:
        self.nothing_is_paid_twice()
        self.what_is_completed_has_its_file()
        assert self.trainings.reserved() == 0
        assert self.world.sandbox.get("stats")["trainings"]["pods_alive"] == 0
        with database.reading() as connection:
            assert proof.differences(connection) == ()
        settled = self.world.sql(
            "SELECT coalesce(sum(amount_usd), 0) FROM job_costs WHERE kind IN ('settle', 'correct')"
        )
        counted = self.world.sql("SELECT coalesce(sum(cost_usd), 0) FROM training_calls")
        assert settled[0][0] == counted[0][0], "what calls have cost is what the ledger says"


SHORT = settings(
    max_examples=3,
    stateful_step_count=25,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_trainings_in_any_order(trainings: Trainings) -> None:
    draft = trainings.draft()
    rows = trainings.world.sql("SELECT * FROM training_images WHERE lora_model_id = %s", str(draft))
    images = [dict(row._mapping) for row in rows]
    long = settings.get_current_profile_name() == "campaign"
    machine: Any = lambda: AnyOrder(trainings, images)  # noqa: E731
    run_state_machine_as_test(machine, settings=settings.get_profile("campaign") if long else SHORT)
