"""Four processes under one provider key: together never over its limit, the urgent first, nobody starved."""

import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from core import settings
from core.work.limiter import HORIZON_S, Priority
from tests.crash.stage import Stage

KIES_LIMIT = 10  # queries in any second
SECONDS = 3.0
PROCESSES = 4


class Hammers:
    """Four processes that read a task each, and what the sandbox saw of it."""

    def __init__(self, stage: Stage, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._stage = stage
        self._processes = processes
        self.at: list[int] = []
        self.late_ms = 0

    def strike(self, priorities: Sequence[Priority]) -> list[list[int]]:
        """Let them all hammer at once; the milliseconds of each one's reads. `at` has those of all."""
        tasks = [self._task() for _ in self._processes]
        self._stage.sql("DELETE FROM provider_limits WHERE key = 'kie:read'")
        for process, priority, task in zip(self._processes, priorities, tasks, strict=True):
            assert process.stdin is not None
            process.stdin.write(f"{priority.name} {task} {SECONDS}\n")
            process.stdin.flush()
        told = [process.stdout.readline().split() for process in self._processes if process.stdout]
        read = self._stage.sandbox.get("log", kind="read", limit=10_000)["rows"]
        seen = [[row["at"] for row in read if row["task"] == task] for task in tasks]
        assert [int(reads) for reads, _ in told] == [len(times) for times in seen]
        self.at = sorted(at for times in seen for at in times)
        self.late_ms = max(int(late) for _, late in told)
        return seen

    def _task(self) -> str:
        generation = self._stage.create("hammered [[fault:stuck]]")
        self._stage.submit(generation)
        [(task,)] = self._stage.sql("SELECT task_id FROM generations WHERE id = %(id)s", id=generation)
        return str(task)

    def most_in_a_second(self) -> int:
        """The most reads in any window of one second, as the sandbox counted.

        By how much this machine woke a process too late, the window is shorter: the limiter gives places,
        and a call that is held up comes in upon its neighbour.
        """
        window = max(1, 1000 - self.late_ms)
        return max(sum(start <= at < start + window for at in self.at) for start in self.at)


@pytest.fixture(scope="module")
def hammers(stage: Stage) -> Iterator[Hammers]:
    """The four processes, ready."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.crash.hammering"],
            env=stage.environment,
            cwd=settings.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield Hammers(stage, processes)
    for process in processes:
        process.communicate()


def test_equals_share_the_limit_and_never_pass_it(hammers: Hammers) -> None:
    reads = [len(times) for times in hammers.strike([Priority.POLL] * PROCESSES)]
    assert hammers.most_in_a_second() <= KIES_LIMIT
    assert sum(reads) >= 4 * SECONDS, "the limit is used"
    assert min(reads) > 0
    assert max(reads) < sum(reads) * 2 / 3


def test_the_urgent_go_first_and_nobody_passes_the_limit(hammers: Hammers) -> None:
    seen = hammers.strike(list(Priority))
    assert hammers.most_in_a_second() <= KIES_LIMIT
    # The line is empty at first: whoever comes first has a place then, as far ahead as the third may look.
    long = hammers.at[0] + 1000 * HORIZON_S[Priority.POLL] + hammers.late_ms
    sync, callback, poll, plan = (sum(at > long for at in times) for times in seen)
    # A person's and a callback's reads share the front of the line; neither is ahead of the other.
    assert min(sync, callback) > 2 * max(poll, plan)
