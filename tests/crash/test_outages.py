"""What a delivery stands on goes away for a while: the disk's space, a slow provider, a clock in mid-air."""

import resource
from datetime import timedelta

import psutil  # type: ignore[import-untyped]
import pytest

from jobs import worker
from tests.crash.stage import Stage, until
from tests.crash.steps import ANY


@pytest.fixture(scope="module", autouse=True)
def _web(stage: Stage) -> None:
    stage.fork(*stage.web())
    stage.web_answers()


def test_a_full_disk_is_waited_for(stage: Stage) -> None:
    work, clock = stage.fork("jobs", "worker"), stage.fork("jobs", "clock")
    unlimited = resource.RLIM_INFINITY
    psutil.Process(work.pid).rlimit(resource.RLIMIT_FSIZE, (200_000, unlimited))
    generation = stage.create(send_later=True)
    until(lambda: "download_failed" in stage.events(generation), what="the failure")
    [(words, category)] = stage.sql(
        "SELECT words, error_category FROM delivery_events"
        " WHERE generation_id = %(id)s AND kind = 'download_failed' LIMIT 1",
        id=generation,
    )
    assert "is full" in words
    assert category == "file_error"
    assert stage.facts(generation).files == ()
    psutil.Process(work.pid).rlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    stage.time_passes(timedelta(minutes=1))
    until(lambda: stage.state(generation) == "delivered", what="its delivery")
    stage.assert_delivered_once(generation)
    assert work.poll() is None
    stage.stop(work, clock)


def test_slow_files_never_hold_up_the_polls(stage: Stage) -> None:
    places = worker.PLACES["deliveries"]
    stage.sandbox.put("settings", file_latency_seconds=2)
    slow = [stage.create(send_later=True) for _ in range(places + 4)]
    work, clock = stage.fork("jobs", "worker"), stage.fork("jobs", "clock")
    in_hand = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing' AND task_name = 'deliver'"
    until(lambda: stage.states(slow) == {"awaiting_delivery"} or "delivered" in stage.states(slow))
    until(lambda: stage.sql(in_hand)[0][0] == places, what="the use of every place")
    [(polls,)] = stage.sql("SELECT count(*) FROM job_runs WHERE job = 'poll' AND state = 'succeeded'")
    until(
        lambda: (
            stage.sql("SELECT count(*) FROM job_runs WHERE job = 'poll' AND state = 'succeeded'")[0][0]
            > polls
        ),
        seconds=2.5,
        what="a poll",
    )
    until(lambda: stage.states(slow) == {"delivered"}, what="the delivery of all")
    stage.sandbox.put("settings", file_latency_seconds=0)
    for generation in slow:
        stage.assert_delivered_once(generation)
    stage.stop(work, clock)


def test_a_clock_killed_with_a_slot_in_its_hand(stage: Stage) -> None:
    stage.halting("slot claimed", "kill", ANY, "jobs", "clock").dies()
    assert_polled_by_another_clock(stage)


def test_a_clock_that_stands_still_with_a_slot_in_its_hand(stage: Stage) -> None:
    stopped = stage.halting("slot claimed", "stop", ANY, "jobs", "clock")
    stopped.stands_still()
    assert_polled_by_another_clock(stage)
    stopped.goes_on()
    stopped.finishes()


def assert_polled_by_another_clock(stage: Stage) -> None:
    """An ordinary clock and worker poll, and no slot is fired twice."""
    [(last,)] = stage.sql("SELECT max(slot) FROM job_runs WHERE job = 'poll' AND state = 'succeeded'")
    work, clock = stage.fork("jobs", "worker"), stage.fork("jobs", "clock")
    later = "SELECT 1 FROM job_runs WHERE job = 'poll' AND state = 'succeeded' AND slot > %(last)s"
    until(lambda: stage.sql(later, last=last), what="a poll")
    stage.stop(work, clock)
