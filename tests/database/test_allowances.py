"""How much a caller may ask holds for all processes together, and costs a question for ten requests."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from core import database
from core.errors import TooManyRequests
from core.web.pace import KEPT_S, Pace
from core.work import allowances
from core.work.allowances import Allowance, Granted

OF = Allowance("test", 100, 0.001)


@pytest.fixture(autouse=True)
def _nobody_has_asked(_connected: None) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM request_allowances")


def later(seconds: float) -> None:
    """Let so much time pass for everybody."""
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE request_allowances SET at = at - %s * interval '1 s'", (seconds,))


async def ask(times: int, *processes: Pace, caller: str = "ada") -> int:
    """How many of so many requests are granted, shared out among the processes."""
    granted = 0
    for n in range(times):
        try:
            await processes[n % len(processes)].take(caller)
        except TooManyRequests:
            continue
        granted += 1
    return granted


def test_processes_share_what_a_caller_may_ask() -> None:
    assert asyncio.run(ask(300, Pace(OF, "tests"), Pace(OF, "tests"), Pace(OF, "tests"))) == 100


def test_requests_at_once_are_no_more_than_one_after_another() -> None:
    async def at_once() -> int:
        paces = [Pace(OF, "tests") for _ in range(2)]
        return sum(await asyncio.gather(*(ask(1, paces[n % 2]) for n in range(150))))

    assert 90 <= asyncio.run(at_once()) <= 100, "all but what a process has taken and not used"


def test_each_caller_and_each_kind_has_its_own() -> None:
    async def all_of_them() -> list[int]:
        reads, other = Pace(OF, "tests"), Pace(Allowance("other", 5, 0.001), "tests")
        return [
            await ask(120, reads),
            await ask(120, reads, caller="bo"),
            await ask(7, other),
        ]

    assert asyncio.run(all_of_them()) == [100, 100, 5]


def test_ten_requests_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    take = allowances.take

    def counted(of: Allowance, name: str, wanted: int) -> Granted:
        asked.append(name)
        return take(of, name, wanted)

    monkeypatch.setattr(allowances, "take", counted)
    assert asyncio.run(ask(200, Pace(OF, "tests"))) == 100
    assert len(asked) == 11, "ten for what was granted and one for all that was refused"


def test_it_comes_back_with_time_and_never_beyond_its_most() -> None:
    of = Allowance("filling", 10, 2)
    assert allowances.take(of, "ada", 10).requests == 10
    refused = allowances.take(of, "ada", 1)
    assert refused.requests == 0
    assert 0 < refused.wait_s <= 0.5
    later(1)
    assert allowances.take(of, "ada", 10).requests == 2
    later(3_600)
    assert allowances.take(of, "ada", 50).requests == 10


def test_whoever_is_refused_hears_when_to_come_again() -> None:
    now = 100.0
    pace = Pace(Allowance("slow", 1, 0.1), "trainings asked for", clock=lambda: now)
    assert asyncio.run(ask(1, pace)) == 1
    with pytest.raises(TooManyRequests, match=r"1 at once, then one every 10 s\. Wait 10 s") as refused:
        asyncio.run(pace.take("ada"))
    assert refused.value.retry_after == 10
    later(10)
    now = 111.0
    assert asyncio.run(ask(1, pace)) == 1


def test_what_was_taken_and_not_used_is_not_kept() -> None:
    now = 100.0
    pace = Pace(OF, "tests", clock=lambda: now)
    assert asyncio.run(ask(1, pace)) == 1
    now += KEPT_S + 1
    assert asyncio.run(ask(200, pace)) == 90


def test_callers_of_long_ago_are_forgotten() -> None:
    allowances.take(OF, "ada", 1)
    assert allowances.prune(datetime.now(UTC)) == 0
    assert allowances.prune(datetime.now(UTC) + timedelta(days=2)) == 1
