"""Slots: every clock names the same one, whatever the moment within it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.work import runs
from core.work.limiter import HORIZON_S, Limit, Places, Priority, reserve
from jobs import worker
from jobs.schedule import JOBS, Scheduled, slot_of

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def job(every: timedelta) -> Scheduled:
    return Scheduled("test", every, lambda: 0)


@pytest.mark.parametrize(
    ("every", "now", "slot"),
    [
        pytest.param(timedelta(seconds=1), NOON, NOON, id="at its start"),
        pytest.param(timedelta(seconds=1), NOON + timedelta(microseconds=999_999), NOON, id="at its end"),
        pytest.param(timedelta(seconds=5), NOON + timedelta(seconds=4.9), NOON, id="five seconds"),
        pytest.param(timedelta(hours=1), NOON + timedelta(minutes=59), NOON, id="an hour"),
        pytest.param(
            timedelta(seconds=1),
            NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
            NOON,
            id="in another zone",
        ),
    ],
)
def test_the_slot_of_a_moment(every: timedelta, now: datetime, slot: datetime) -> None:
    found = slot_of(job(every), now)
    assert (found, found.tzinfo) == (slot, UTC)


def test_jobs_are_known_by_their_own_names_and_come_round() -> None:
    assert all(name == scheduled.name for name, scheduled in JOBS.items())
    assert all(timedelta(seconds=1) <= scheduled.every <= timedelta(days=1) for scheduled in JOBS.values())


def test_every_queue_has_places_and_the_polls_share_theirs_with_nobody() -> None:
    queues = {job.queue for job in JOBS.values()} | {"deliveries", "trainings", "plans"}
    assert queues == set(worker.PLACES)
    assert [job.name for job in JOBS.values() if job.queue == JOBS["poll"].queue] == ["poll"]
    assert [job.name for job in JOBS.values() if job.queue == JOBS["follow_trainings"].queue] == [
        "follow_trainings"
    ]


def test_a_process_may_miss_a_few_beats_before_it_counts_as_dead() -> None:
    assert runs.DEAD_AFTER >= 3 * runs.BEAT_EVERY


def process(role: str) -> runs.Process:
    return runs.Process(role, "host", 1, "1.0", NOON, NOON)


@pytest.mark.parametrize(
    ("alive", "missing"),
    [
        ((), ("clock", "worker")),
        (("clock",), ("worker",)),
        (("worker", "worker"), ("clock",)),
        (("clock", "worker"), ()),
    ],
)
def test_which_roles_nobody_plays(alive: tuple[str, ...], missing: tuple[str, ...]) -> None:
    liveness = runs.Liveness(tuple(process(role) for role in alive), {})
    assert liveness.missing == missing


def test_who_is_more_urgent_looks_further_ahead() -> None:
    ahead = [HORIZON_S[priority] for priority in sorted(Priority)]
    assert sorted(Priority) == [Priority.SYNC, Priority.CALLBACK, Priority.POLL, Priority.PLAN]
    assert ahead == sorted(ahead, reverse=True)
    assert len(set(ahead)) == len(ahead)


def test_wanting_nothing_asks_nobody() -> None:
    assert reserve(Limit("test", 1.0), 0, Priority.POLL) == Places(())
    assert not Places(())
    assert len(Places((0.0, 0.1))) == 2
