"""Three workers and two clocks at once, every callback several times, and jobs that nobody knows."""

from collections import Counter
from dataclasses import dataclass

import pytest

from tests.crash.stage import Stage, until

GENERATIONS = 40
REPEATS = 3
LATER = "of_a_later_version"


@dataclass(frozen=True)
class Crowd:
    """Generations that are delivered, by whoever was first, and how often each one's file was fetched."""

    generations: list[str]
    downloads: Counter[str]


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    """Everything that happens."""
    stage.sandbox.put("faults", callback_duplicate={"rate": 1.0, "value": REPEATS})
    stage.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)"
        " VALUES ('deliveries', %(task)s, 50, '{}'), (%(task)s, %(task)s, 50, '{}')",
        task=LATER,
    )
    for arguments in (
        stage.web(),
        *(("jobs", role) for role in ("worker", "worker", "worker", "clock", "clock")),
    ):
        stage.fork(*arguments)
    stage.web_answers()
    made = [stage.create(send_later=True) for _ in range(GENERATIONS)]
    until(lambda: stage.states(made) == {"delivered"}, what="the delivery of all")
    until(lambda: stage.sandbox.get("stats")["callbacks_owed"] == 0, what="the last callback")
    fetched = stage.sandbox.get("log", kind="file", limit=10_000)["rows"]
    return Crowd(made, Counter(row["generation"] for row in fetched))


def test_each_is_fetched_and_delivered_once(stage: Stage, crowd: Crowd) -> None:
    assert crowd.downloads == Counter(crowd.generations)
    for generation in crowd.generations:
        stage.assert_delivered_once(generation)
        assert stage.events(generation).count("accepted") == 1


def test_repeated_callbacks_are_all_recorded(stage: Stage, crowd: Crowd) -> None:
    """The sandbox's repeats differ in the account's balance, so that some have a row of their own."""
    rows = stage.sql(
        "SELECT generation_id::text, count(*), sum(duplicates) FROM callback_inbox GROUP BY generation_id"
    )
    assert sorted(row[0] for row in rows) == sorted(crowd.generations)
    assert {int(row[1] + row[2]) for row in rows} == {REPEATS}
    for generation, recorded, _ in rows:
        assert stage.events(generation).count("callback") == recorded


def test_every_slot_was_run_once_by_one_of_them(stage: Stage, crowd: Crowd) -> None:
    roles = stage.sql("SELECT role, count(*) FROM process_heartbeats GROUP BY role ORDER BY role")
    assert [tuple(row) for row in roles] == [("clock", 2), ("worker", 3)]
    assert len(stage.sql("SELECT DISTINCT worker FROM job_runs WHERE state = 'succeeded'")) > 1
    assert stage.sql("SELECT job FROM job_runs WHERE state = 'failed'") == []


def test_a_job_that_this_version_does_not_know_stops_nothing(stage: Stage, crowd: Crowd) -> None:
    found = stage.sql(
        "SELECT queue_name, status::text FROM procrastinate_jobs WHERE task_name = %(task)s ORDER BY 1",
        task=LATER,
    )
    assert [tuple(row) for row in found] == [("deliveries", "failed"), (LATER, "todo")]
