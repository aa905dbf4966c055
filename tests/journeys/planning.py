"""Plans of a bulk resync among everything else that may happen to deliveries."""

import contextlib
import uuid
from abc import abstractmethod
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core import access
from core.deliveries import tools
from core.errors import StudioOpsError
from core.plans import running
from core.plans import service as plans
from core.plans.models import DONE, Source
from tests.journeys.crashing import Fuse, Killed
from tests.journeys.world import World

ACTOR = access.command_line("anybody")
fuses = st.one_of(st.none(), st.builds(Fuse, st.integers(0, 6), st.booleans()))
which = st.integers(0, 50)


class PlansInAnyOrder(RuleBasedStateMachine):
    """What people and workers do with plans, and what must always hold of them; `ids` are all generations,
    `plans` all plans, `offset` is how far the clock was put forward."""

    world: World
    ids: list[str]
    plans: list[UUID]
    offset: timedelta

    @abstractmethod
    def tools(self, fuse: Fuse | None = None) -> tools.Tools:
        """The outside, by the clock that was put forward."""

    @abstractmethod
    def one(self, number: int) -> str:
        """One of the generations."""

    @abstractmethod
    def a_sweep(self) -> None:
        """One sweep job."""

    @abstractmethod
    def work_off(self) -> None:
        """Everything that waits on the queue."""

    @precondition(lambda self: self.ids)
    @rule(numbers=st.lists(which, min_size=1, max_size=6), starts=st.booleans())
    def somebody_makes_a_plan(self, numbers: list[int], starts: bool) -> None:
        names = tuple(dict.fromkeys(self.one(number) for number in numbers))
        source = Source(names=(*names, "task-of-nobody"))
        plan = plans.prepare(ACTOR, source, self.tools(), request_key=uuid.uuid4().hex)
        self.plans.append(plan.id)
        assert plan.total == len(names) + 1
        if starts:
            self.somebody_steers_a_plan(-1, "start")

    @precondition(lambda self: self.plans)
    @rule(number=which, act=st.sampled_from(["start", "pause", "resume", "abort"]))
    def somebody_steers_a_plan(self, number: int, act: str) -> None:
        plan_id = self.plans[number % len(self.plans)]
        acts: dict[str, Any] = {
            "start": plans.start,
            "pause": plans.pause,
            "resume": plans.resume,
            "abort": plans.abort,
        }
        with contextlib.suppress(StudioOpsError):
            acts[act](ACTOR, plan_id, self.tools())

    @precondition(lambda self: self.plans)
    @rule(number=which, fuse=fuses)
    def a_worker_runs_a_plan(self, number: int, fuse: Fuse | None) -> None:
        self.run_plan(self.plans[number % len(self.plans)], fuse)

    def run_plan(self, plan_id: UUID, fuse: Fuse | None) -> None:
        with contextlib.suppress(Killed):
            running.run(plan_id, self.tools(fuse), run_for_s=0.4, threads=1)

    def a_plan_asks_for_all(self) -> None:
        if not self.ids:
            return
        source = Source(names=tuple(self.ids))
        plan = plans.prepare(ACTOR, source, self.tools(), request_key=uuid.uuid4().hex)
        if plan.eligible:
            self.plans.append(plan.id)
            plans.start(ACTOR, plan.id, self.tools(), typed=plan.eligible)

    @invariant()
    def a_plan_never_loses_or_gains_an_item(self) -> None:
        assert not self.world.sql(
            "SELECT p.id FROM resync_plans p"
            " WHERE (SELECT sum(n::int) FROM jsonb_each_text(p.counts) AS c(g, n))"
            " IS DISTINCT FROM (SELECT count(*) FROM resync_items i WHERE i.plan_id = p.id)"
        )
        assert not self.world.sql(
            "SELECT p.id FROM resync_plans p JOIN resync_items i ON i.plan_id = p.id WHERE i.tries > 0"
            " AND (p.state = 'draft' OR i.sorted <> 'eligible')"
        )

    @invariant()
    def no_two_plans_do_the_same(self) -> None:
        """What one has done since another was made is not done by that other once more."""
        assert not self.world.sql(
            "SELECT b.generation_id FROM resync_items a JOIN resync_items b USING (generation_id)"
            " JOIN resync_plans p ON p.id = b.plan_id WHERE a.plan_id <> b.plan_id AND b.tries = 1"
            " AND a.state = ANY(%s) AND b.state = ANY(%s) AND a.ended_at >= p.created_at"
            " AND a.ended_at < b.begun_at",
            list(DONE),
            list(DONE),
        )

    @invariant()
    def nothing_is_begun_after_an_abort(self) -> None:
        assert not self.world.sql(
            "SELECT i.plan_id FROM resync_items i JOIN resync_plans p ON p.id = i.plan_id"
            " WHERE p.state = 'aborted' AND (i.state = 'waiting' OR i.begun_at > p.ended_at)"
        )

    def every_plan_comes_to_an_end(self) -> None:
        for plan_id in self.plans:
            self.somebody_steers_a_plan(self.plans.index(plan_id), "resume")
        for _ in range(8):
            self.offset += timedelta(minutes=2)
            self.a_sweep()
            self.work_off()
        for state, left, results in self.world.sql(
            "SELECT p.state, count(*) FILTER (WHERE i.state IN ('waiting', 'working')),"
            " (SELECT sum(n::int) FROM jsonb_each_text(p.results) AS r(s, n)) - count(*) FILTER"
            " (WHERE i.state <> 'left_out') FROM resync_plans p JOIN resync_items i ON i.plan_id = p.id"
            " WHERE p.state <> 'draft' GROUP BY p.id"
        ):
            assert (state in {"finished", "aborted"}, left, results) == (True, 0, 0), (state, left, results)
