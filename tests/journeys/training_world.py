"""What journeys do with trainings: a draft with pictures, a launch, jobs on demand, the facts at the end."""

import io
import random
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from PIL import Image

from core import access, database
from core.access import Actor, Role
from core.trainings import cleaning, dataset, following, service, tools
from core.trainings.models import Launch, Run, RunState
from core.trainings.repository import calls_of, find
from core.trainings.tools import Tools
from tests.journeys.world import World, until

STAFF = Actor("person", "ada", "Ada", frozenset({Role.PRODUCT}), "page")
VIEWER = Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page")
ENDS = {
    RunState.AWAITING_VERDICT,
    RunState.COMPLETED,
    RunState.FAILED,
    RunState.CANCELLED,
    RunState.NEEDS_ATTENTION,
}


def photograph(seed: int, size: int = 640) -> bytes:
    """A JPEG that looks like no other."""
    dice = random.Random(seed)
    small = Image.new("RGB", (8, 8))
    small.putdata([(dice.randrange(256), dice.randrange(256), dice.randrange(256)) for _ in range(64)])
    kept = io.BytesIO()
    small.resize((size, size), Image.Resampling.BICUBIC).save(kept, "JPEG", quality=85)
    return kept.getvalue()


@dataclass(frozen=True)
class Trainings:
    """A running product and its sandbox, as trainings see it."""

    world: World

    @property
    def tools(self) -> Tools:
        return tools.current()

    def draft(self, pictures: int = 4, actor: Actor = STAFF) -> UUID:
        """A draft with so many good pictures."""
        draft_id = uuid.uuid4()
        files = [dataset.NewFile(f"{n}.jpg", io.BytesIO(photograph(n))) for n in range(pictures)]
        dataset.add_files(actor, draft_id, files, self.tools.dataset)
        return draft_id

    def wish(self, **changes: Any) -> Launch:
        """A launch that every rule allows; with `changes`."""
        values: dict[str, Any] = {
            "request_key": uuid.uuid4().hex,
            "name": f"Ada {uuid.uuid4().hex[:8]}",
            "trigger_word": "ada_v1",
            "trainer": "fal",
            "steps": 1000,
        }
        draft_id = changes.pop("draft_id", None) or self.draft()
        return Launch(**{**values, "draft_id": draft_id, **changes})

    def launch(self, actor: Actor = STAFF, **changes: Any) -> Run:
        """A run that has just been launched."""
        return service.launch(actor, self.wish(**changes), self.tools)

    def run(self, run_id: UUID) -> Run:
        """The run's row."""
        with database.reading() as connection:
            found = find(connection, run_id)
        assert found is not None
        return found

    def calls(self, run_id: UUID) -> list[Any]:
        """Its paid calls."""
        with database.reading() as connection:
            return calls_of(connection, run_id)

    def events(self, run_id: UUID) -> list[str]:
        """The kinds of its timeline, in order."""
        rows = self.world.sql("SELECT kind FROM training_events WHERE run_id = %s ORDER BY id", run_id)
        return [str(row[0]) for row in rows]

    def log(self, run_id: UUID) -> str:
        """Its log as one text."""
        rows = self.world.sql("SELECT message FROM training_log WHERE run_id = %s ORDER BY id", run_id)
        return "\n".join(str(row[0]) for row in rows)

    def due(self, run_id: UUID) -> None:
        """Make the run due now and free of any lease, as time would."""
        self.world.sql(
            "UPDATE lora_training_jobs SET next_attempt_at = now() - interval '1 s', lease_until = NULL"
            " WHERE id = %s AND next_attempt_at IS NOT NULL",
            run_id,
        )

    def age(self, run_id: UUID, interval: str) -> None:
        """Let the run's calls be older by `interval`, and the run due."""
        self.world.sql(
            "UPDATE training_calls SET created_at = created_at - CAST(%s AS interval),"
            " submitted_at = submitted_at - CAST(%s AS interval),"
            " accepted_at = accepted_at - CAST(%s AS interval) WHERE run_id = %s",
            interval,
            interval,
            interval,
            run_id,
        )
        self.due(run_id)

    def step(self, run_id: UUID) -> Run:
        """One step of the run, in this process."""
        self.due(run_id)
        found = following.advance(run_id, self.tools)
        assert found is not None
        return found

    def settle(self, run_id: UUID, *states: RunState, seconds: float = 20.0) -> Run:
        """Step until the run stands at one of `states`, by default until it needs a person or is over."""
        wanted = set(states) or ENDS

        def reached() -> Run | None:
            row = self.run(run_id)
            if row.state not in wanted:
                self.step(run_id)
                return None
            return row

        return until(reached, seconds)  # type: ignore[no-any-return]

    def at(self, run_id: UUID, stage: str) -> Run:
        """Step until the run stands at the stage."""

        def reached() -> Run | None:
            row = self.run(run_id)
            if row.stage != stage:
                self.step(run_id)
                return None
            return row

        return until(reached)  # type: ignore[no-any-return]

    def judge(self, run_id: UUID, *verdicts: bool) -> Run:
        """A person's word on each picture."""
        for n, shows in enumerate(verdicts):
            service.judge(STAFF, run_id, n, self.tools, shows=shows)
        return self.run(run_id)

    def completed(self, **changes: Any) -> Run:
        """A run from its launch to its completion."""
        made = self.launch(**changes)
        self.settle(made.id, RunState.AWAITING_VERDICT)
        self.judge(made.id, True, True, False)
        return self.settle(made.id, RunState.COMPLETED)

    def paid(self, run_id: UUID | None = None) -> list[dict[str, Any]]:
        """The paid submissions that the sandbox accepted, of the run alone if given."""
        found = self.world.sandbox.get("trainings")["trainings"]
        ours = {str(call.id) for call in self.calls(run_id)} if run_id else None
        return [one for one in found if ours is None or one["run"] in ours]

    def ledger(self, run_id: UUID) -> dict[str, Decimal]:
        """What stands in the ledger for the run, by kind."""
        rows = self.world.sql(
            "SELECT kind, sum(amount_usd) FROM job_costs WHERE run_id = %s GROUP BY kind", run_id
        )
        return dict(tuple(row) for row in rows)

    def reserved(self) -> Decimal:
        """What is reserved by the running total."""
        rows = self.world.sql("SELECT coalesce(sum(reserved_usd), 0) FROM budget_totals")
        return Decimal(rows[0][0])

    def sweep(self) -> int:
        """One tick of the follower."""
        return following.sweep(self.tools) + following.poll_due(self.tools)

    def clean(self) -> int:
        """One clean-up."""
        return cleaning.clean(self.tools)


__all__ = ["ENDS", "STAFF", "VIEWER", "Trainings", "access", "photograph"]
