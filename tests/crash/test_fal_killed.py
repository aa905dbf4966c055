"""kill -9 over a generation at fal: one paid request, one file, one line of cost, as at KIE."""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from core import access
from core.deliveries import service, tools
from tests.crash.stage import Stage, until

FILM = "fal-ai/kling-video/v2.1/pro/image-to-video"
GIVEN = {"prompt": "a fox runs", "image_url": "https://cdn.example.com/frame.jpg"}
# Where each step leaves the delivery, so that it is known that it was the step that was asked for.
SENDING = {
    "place reserved": "intent",
    "request accepted at fal": "sending",
    "task bound": "awaiting_provider",
}
FOLLOWING = {
    "record read at fal": "awaiting_provider",
    "result noted": "awaiting_delivery",
    "file in place": "awaiting_delivery",
    "delivery recorded": "delivered",
}


def make() -> str:
    """The row of a new film at fal."""
    wanted = service.NewGeneration(FILM, GIVEN, request_key=os.urandom(8).hex())
    return str(service.create(access.command_line("crash test"), wanted, tools.current()).id)


def paid(stage: Stage, generation: str) -> int:
    """How many requests fal has accepted for it."""
    return sum(one["run"] == generation for one in stage.sandbox.get("trainings")["trainings"])


@pytest.fixture(scope="module")
def aftermath(stage: Stage) -> dict[str, str]:
    """The generation of each death, after an ordinary worker and clock have worked on all that was left."""
    tools.current.cache_clear()
    stage.sandbox.put("settings", video_seconds=0.2)
    stage.fork(*stage.web())
    stage.web_answers()
    found: dict[str, str] = {}

    def act(steps: Iterable[tuple[str, str]], *, called_back: bool) -> None:
        for step, state in steps:
            generation = found[step] = make()
            if called_back:
                stage.submit(generation)
                stage.called_back(generation)
            stage.halting(step, "kill", generation, "jobs", "worker").dies()
            assert stage.state(generation) == state, step

    act(SENDING.items(), called_back=False)
    act(FOLLOWING.items(), called_back=True)
    for step in ("request accepted at fal", "task bound"):
        stage.called_back(found[step])
    stage.time_passes(timedelta(minutes=31))
    stage.fork("jobs", "worker")
    stage.fork("jobs", "clock")
    until(lambda: stage.states(list(found.values())) == {"delivered"}, what="the end of every delivery")
    return found


@pytest.mark.parametrize("step", [*SENDING, *FOLLOWING])
def test_a_worker_killed(stage: Stage, aftermath: dict[str, str], step: str) -> None:
    generation = aftermath[step]
    facts = stage.facts(generation)
    assert (facts.state, facts.status, facts.delivered_events) == ("delivered", "success", 1)
    assert (len(facts.files), len(facts.recorded_sha256), facts.cost_lines) == (1, 1, 1)
    assert paid(stage, generation) == 1


def test_nothing_was_paid_twice(stage: Stage, aftermath: dict[str, str]) -> None:
    runs: list[Any] = [one["run"] for one in stage.sandbox.get("trainings")["trainings"]]
    assert sorted(runs) == sorted(aftermath.values())
