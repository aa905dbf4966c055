"""kill -9 at every step of a delivery: one file, one success, one paid create.

The module's fixture lets one process after the other die, each at its step of a generation of its
own; then time passes, an ordinary worker and clock come up, and each test looks at one generation.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

import httpx
import pytest

from tests.crash.stage import MODEL, Stage, until
from tests.crash.steps import ANY, CALLBACK, FOLLOWING, LEFT, POLLING, SENDING, UNDER_WAY_S

SLOW_CREATE = f"[[fault:latency@create={UNDER_WAY_S}]]"
NO_CALLBACK = "[[fault:callback_lost]]"


def prompt_for(step: str) -> str:
    """The prompt that makes a step possible."""
    if step == "request under way":
        return SLOW_CREATE
    return NO_CALLBACK if step in POLLING else "a lighthouse"


def web_sends(stage: Stage, step: str) -> str:
    """The web process dies while it makes and sends a generation; the generation."""
    part = stage.halting(step, "kill", ANY, *stage.web())
    stage.web_answers()
    asking = threading.Thread(target=_ask_for_one, args=(stage, prompt_for(step)))
    asking.start()
    part.dies()
    asking.join()
    [(generation,)] = stage.sql("SELECT id::text FROM generations ORDER BY created_at DESC LIMIT 1")
    return str(generation)


def _ask_for_one(stage: Stage, prompt: str) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.post(
            stage.environment["PUBLIC_BASE_URL"] + "/api/kie/createTask",
            json={"model": MODEL, "input": {"prompt": prompt}},
            headers={"Authorization": f"Bearer {stage.environment['OPS_API_KEY']}"},
            timeout=20,
        )


def web_is_called_back(stage: Stage, step: str) -> str:
    """The web process dies over a callback; the generation."""
    generation = stage.create()
    part = stage.halting(step, "kill", generation, *stage.web())
    stage.web_answers()
    stage.submit(generation)
    part.dies()
    return generation


def worker_sends(stage: Stage, step: str) -> str:
    """A worker dies while it sends; the generation."""
    generation = stage.create(prompt_for(step), send_later=True)
    stage.halting(step, "kill", generation, "jobs", "worker").dies()
    return generation


def worker_follows(stage: Stage, step: str) -> str:
    """A worker dies while it follows and delivers; the generation."""
    generation = stage.create()
    stage.submit(generation)
    stage.called_back(generation)
    stage.halting(step, "kill", generation, "jobs", "worker").dies()
    return generation


def worker_polls(stage: Stage, step: str) -> str:
    """A worker dies while it polls; the generation."""
    generation = stage.create(prompt_for(step))
    stage.submit(generation)
    stage.finished(generation)
    stage.sql("UPDATE generations SET next_attempt_at = now() WHERE id = %(id)s", id=generation)
    stage.enqueue_poll()
    stage.halting(step, "kill", generation, "jobs", "worker").dies()
    return generation


@pytest.fixture(scope="module")
def aftermath(stage: Stage) -> dict[str, str]:
    """The generation of each death, after an ordinary worker and clock have worked on all that was left."""
    found: dict[str, str] = {}

    def act(play: Callable[[Stage, str], str], steps: Iterable[str], prefix: str = "") -> None:
        for step in steps:
            generation = found[prefix + step] = play(stage, step)
            assert stage.state(generation) == LEFT[step]

    act(web_sends, SENDING, "web: ")
    act(web_is_called_back, CALLBACK)
    stage.fork(*stage.web())
    stage.web_answers()
    act(worker_sends, SENDING)
    act(worker_follows, FOLLOWING)
    act(worker_polls, POLLING)
    for name, generation in found.items():
        if "request" in name or "bound" in name:
            stage.called_back(generation)
    stage.time_passes(timedelta(minutes=31))
    stage.fork("jobs", "worker")
    stage.fork("jobs", "clock")
    over = {"delivered", "needs_attention"}
    until(lambda: stage.states(list(found.values())) <= over, what="the end of every delivery")
    return found


CERTAIN = [step for step in SENDING if step != "sending recorded"]


@pytest.mark.parametrize("step", [f"web: {step}" for step in CERTAIN])
def test_the_web_process_killed_while_it_sends(stage: Stage, aftermath: dict[str, str], step: str) -> None:
    stage.assert_delivered_once(aftermath[step])


@pytest.mark.parametrize("step", CALLBACK)
def test_the_web_process_killed_over_a_callback(stage: Stage, aftermath: dict[str, str], step: str) -> None:
    stage.assert_delivered_once(aftermath[step])


@pytest.mark.parametrize("step", [*CERTAIN, *FOLLOWING, *POLLING])
def test_a_worker_killed(stage: Stage, aftermath: dict[str, str], step: str) -> None:
    stage.assert_delivered_once(aftermath[step])


@pytest.mark.parametrize("step", ["sending recorded", "web: sending recorded"])
def test_a_request_of_which_nobody_can_know_is_never_sent_again(
    stage: Stage, aftermath: dict[str, str], step: str
) -> None:
    facts = stage.facts(aftermath[step])
    assert (facts.state, facts.paid, facts.files) == ("needs_attention", 0, ())
    assert facts.events[-1] == "needs_attention"


def test_nothing_was_paid_twice(stage: Stage, aftermath: dict[str, str]) -> None:
    assert stage.sandbox.get("stats")["paid_more_than_once"] == []
