"""kill -9 at every boundary of an image that fills a draft up: paid once, settled once, kept once.

One image; one worker after the other dies over it, each at its step. Then an ordinary one finishes it.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core import database
from core.trainings import dataset, filling_up, tools
from core.work import queue
from jobs.schedule import JOBS
from tests.crash.stage import Stage, until
from tests.crash.steps import ANY
from tests.crash.training_stage import ACTOR, draft

JOB = "draw_training_images"
WORDS = "A woman of forty with short grey hair, a lighthouse keeper"
# In the order in which the image comes to them; its task is known again by KIE's callback.
STEPS = (
    "request accepted",
    "drawing bound",
    "record read",
    "drawing ended",
    "drawn image received",
    "drawn image in draft",
)


@pytest.fixture(scope="module")
def drawn(stage: Stage) -> Iterator[Stage]:
    """The stage with its web up, and drawings quick and real."""
    tools.current.cache_clear()
    stage.sandbox.put("settings", image_seconds=0.05, file_bytes=0, callback_retry_seconds=0.5)
    stage.fork(*stage.web())
    stage.web_answers()
    yield stage
    tools.current().close()
    tools.current.cache_clear()


def asked() -> UUID:
    """A draft of four images, for which a fifth has been asked for."""
    made = draft()
    assert filling_up.ask(ACTOR, made, WORDS, 0, tools.current()) == 1
    return made


def time_passes(stage: Stage, made: UUID) -> None:
    """Leases and pauses run out, and the next worker finds its job."""
    stage.time_passes(timedelta(minutes=2))
    stage.sql(
        "UPDATE training_drawings SET lease_until = NULL, next_attempt_at = now() - interval '1 s'"
        " WHERE lora_model_id = %(id)s AND next_attempt_at IS NOT NULL",
        id=made,
    )
    with database.transaction() as connection:
        queue.enqueue(connection, JOB, queue=JOBS[JOB].queue, slot="2026-01-01T00:00:00+00:00")


def row(stage: Stage, made: UUID) -> Any:
    [found] = stage.sql(
        "SELECT id, state, tries, image_n, cost_usd FROM training_drawings WHERE lora_model_id = %(id)s",
        id=made,
    )
    return found


def called_back(stage: Stage, made: UUID) -> bool:
    """Whether KIE has told of it."""
    of = row(stage, made)[0]
    return bool(stage.sql("SELECT 1 FROM training_webhooks WHERE call_id = %(id)s", id=of))


def ends(stage: Stage, made: UUID) -> None:
    """An ordinary worker goes on until the image is in the draft, or needs a person."""
    worker = stage.fork("jobs", "worker")

    def over() -> bool:
        time_passes(stage, made)
        found = row(stage, made)
        return found[3] is not None or found[1] == "unknown"

    until(over, what="the image's end")
    stage.stop(worker)


def left(stage: Stage) -> Decimal:
    [(reserved,)] = stage.sql("SELECT coalesce(sum(reserved_usd), 0) FROM budget_totals")
    return Decimal(reserved)


def test_an_image_whose_worker_dies_at_every_step_is_paid_and_kept_once(drawn: Stage) -> None:
    made = asked()
    for step in STEPS:
        time_passes(drawn, made)
        drawn.halting(step, "kill", ANY, "jobs", "worker").dies()
        if step == "request accepted":
            until(lambda: called_back(drawn, made), what="KIE's callback")
    ends(drawn, made)
    id_, state, tries, number, cost = row(drawn, made)
    assert (state, tries, number, cost) == ("succeeded", 1, 5, Decimal("0.025"))
    assert drawn.sandbox.get("stats")["paid_by_generation"][str(id_)] == 1
    assert [image.n for image in dataset.sheet(ACTOR, made).waiting] == [5]
    settled = drawn.sql(
        "SELECT amount_usd FROM job_costs WHERE kind = 'settle' AND lora_model_id = %(id)s", id=made
    )
    assert [amount for (amount,) in settled] == [Decimal("0.025")]
    assert left(drawn) == 0


@pytest.mark.parametrize("step", ["drawing to be sent", "drawing about to leave"])
def test_one_whose_request_never_left_is_a_persons_and_never_sent_again(drawn: Stage, step: str) -> None:
    made = asked()
    time_passes(drawn, made)
    drawn.halting(step, "kill", ANY, "jobs", "worker").dies()
    assert row(drawn, made)[1] == "sending"
    drawn.sql(
        "UPDATE training_drawings SET submitted_at = submitted_at - interval '31 min'"
        " WHERE lora_model_id = %(id)s",
        id=made,
    )
    ends(drawn, made)
    id_, state, tries, number, _ = row(drawn, made)
    assert (state, tries, number) == ("unknown", 1, None)
    assert str(id_) not in drawn.sandbox.get("stats")["paid_by_generation"]
    assert left(drawn) == Decimal("0.025")
    assert filling_up.give_up(ACTOR, made, tools.current()) == 1
    assert left(drawn) == 0
