"""SIGSTOP at a step until the lease has run out and others have taken over, then SIGCONT.

The process that wakes up believes that it still owns the delivery. Whatever it does then: one paid
create, one file with the right bytes, one success.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.crash.stage import Forked, Stage, until
from tests.crash.steps import LEFT, SENDING, STOOD_STILL

# Each stands on several connections to the database, so that they come in two groups.
GROUPS = (
    ("sending recorded", "request accepted", "lease taken", "record read", "poll leased"),
    ("result noted", "download open", "file half written", "file in place", "delivery recorded"),
)
PATIENCE = timedelta(minutes=31)


@dataclass(frozen=True)
class Sleeper:
    """A worker that stands still at a step of its generation."""

    step: str
    generation: str
    worker: Forked


def falls_asleep(stage: Stage, step: str) -> Sleeper:
    """A worker takes up a generation and stops at the step."""
    if step in SENDING:
        generation = stage.create(send_later=True)
    else:
        generation = stage.create(
            "a lighthouse [[fault:callback_lost]]" if "poll" in step else "a lighthouse"
        )
        stage.submit(generation)
    if "poll" in step:
        stage.finished(generation)
        stage.sql("UPDATE generations SET next_attempt_at = now() WHERE id = %(id)s", id=generation)
        stage.enqueue_poll()
    elif step not in SENDING:
        stage.called_back(generation)
    worker = stage.halting(step, "stop", generation, "jobs", "worker")
    worker.stands_still()
    assert stage.state(generation) == LEFT[step]
    return Sleeper(step, generation, worker)


def others_take_over(stage: Stage, generations: Sequence[str]) -> None:
    """An ordinary worker and clock work after the leases have run out, until nothing more can be done."""
    stage.time_passes(STOOD_STILL)
    stage.fork("jobs", "worker")
    stage.fork("jobs", "clock")
    until(
        lambda: stage.states(generations) <= {"delivered", "sending"} and not _leased(stage, generations),
        what="the take-over",
    )


def _leased(stage: Stage, generations: Sequence[str]) -> bool:
    found = stage.sql(
        "SELECT 1 FROM generations WHERE id = ANY(%(ids)s::uuid[]) AND lease_token IS NOT NULL",
        ids=[*generations],
    )
    return bool(found)


@pytest.fixture(scope="module")
def woken(stage: Stage) -> dict[str, str]:
    """The generation of each step, after its sleeper has woken up and finished what it was at."""
    stage.fork(*stage.web())
    stage.web_answers()
    found: dict[str, str] = {}
    for group in GROUPS:
        sleepers = [falls_asleep(stage, step) for step in group]
        generations = [sleeper.generation for sleeper in sleepers]
        others = len(stage.running)
        others_take_over(stage, generations)
        for sleeper in sleepers:
            expected = "sending" if sleeper.step == "sending recorded" else "delivered"
            assert stage.state(sleeper.generation) == expected
            sleeper.worker.goes_on()
        for sleeper in sleepers:
            sleeper.worker.finishes()
        until(lambda: stage.states(generations) == {"delivered"}, what="the delivery of all")  # noqa: B023
        stage.stop(*stage.running[others:])
        found |= {sleeper.step: sleeper.generation for sleeper in sleepers}
    return found


@pytest.mark.parametrize("step", [step for group in GROUPS for step in group])
def test_a_worker_that_wakes_up_too_late(stage: Stage, woken: dict[str, str], step: str) -> None:
    stage.assert_delivered_once(woken[step])


def test_a_request_that_was_given_up_and_is_sent_after_all(stage: Stage, woken: dict[str, str]) -> None:
    others = len(stage.running)
    sleeper = falls_asleep(stage, "sending recorded")
    stage.time_passes(PATIENCE)
    stage.fork("jobs", "worker")
    stage.fork("jobs", "clock")
    until(lambda: stage.state(sleeper.generation) == "needs_attention", what="its giving up")
    assert stage.facts(sleeper.generation).paid == 0
    sleeper.worker.goes_on()
    until(lambda: stage.state(sleeper.generation) == "delivered", what="its delivery")
    sleeper.worker.finishes()
    stage.assert_delivered_once(sleeper.generation)
    stage.stop(*stage.running[others:])


def test_nothing_was_paid_twice(stage: Stage, woken: dict[str, str]) -> None:
    assert stage.sandbox.get("stats")["paid_more_than_once"] == []
