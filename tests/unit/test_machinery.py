"""How a scheduled job does, and which pauses are refused; every job has words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from core.alerts import policy as alerts
from core.alerts.models import Kind, Severity
from core.errors import InvalidInput
from core.machinery import policy
from core.machinery.models import Facts, Health, Pause
from core.machinery.schedule import SCHEDULE, slot_of
from core.machinery.views import QUEUES
from core.work import runs
from core.work.tally import WINDOW, Tally
from jobs import worker
from jobs.schedule import JOBS
from pages.components import banner, job_words

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
POLL, HEAL = SCHEDULE["poll"], SCHEDULE["heal"]


def ago(**of: float) -> datetime:
    return NOW - timedelta(**of)


WELL = Facts("heal", ago(seconds=30), ago(seconds=30), ago(seconds=29), "succeeded", ago(seconds=29))
HOLDS = Pause(UUID(int=1), "heal", "r", "Ada", None, ago(hours=1), NOW + timedelta(hours=1), None, None, None)


@pytest.mark.parametrize(
    ("facts", "pause", "expected"),
    [
        pytest.param(WELL, None, Health.WELL, id="on time"),
        pytest.param(Facts("heal"), None, Health.NEVER, id="never due"),
        pytest.param(WELL, HOLDS, Health.PAUSED, id="paused"),
        pytest.param(WELL, replace(HOLDS, until=ago(seconds=1)), Health.WELL, id="the pause is over"),
        pytest.param(WELL, replace(HOLDS, ended_at=ago(minutes=1)), Health.WELL, id="the pause was ended"),
        pytest.param(replace(WELL, failures=1), None, Health.FAILED, id="failed once"),
        pytest.param(replace(WELL, failures=3), HOLDS, Health.FAILING, id="failing, though paused"),
        pytest.param(
            replace(WELL, slot=ago(minutes=10), enqueued_at=ago(minutes=10), started_at=ago(minutes=10)),
            None,
            Health.LATE,
            id="no clock has begun it",
        ),
        pytest.param(
            replace(WELL, state="enqueued", enqueued_at=ago(minutes=3), started_at=None),
            None,
            Health.LATE,
            id="no worker has taken it",
        ),
        pytest.param(
            replace(WELL, running=1, running_since=ago(minutes=3)), None, Health.LONG, id="runs too long"
        ),
        pytest.param(
            replace(WELL, running=2, running_since=ago(seconds=50), overlap_since=ago(seconds=31)),
            None,
            Health.OVERLAPPING,
            id="two at once",
        ),
        pytest.param(
            replace(WELL, running=2, running_since=ago(seconds=50), overlap_since=ago(seconds=2)),
            None,
            Health.WELL,
            id="two at once for a moment",
        ),
    ],
)
def test_how_a_job_does(facts: Facts, pause: Pause | None, expected: Health) -> None:
    assert policy.health(HEAL, facts, pause, NOW) is expected


def test_lag_and_the_next_run() -> None:
    assert policy.lag(HEAL, WELL, NOW) == timedelta(seconds=1)
    assert policy.next_at(HEAL, WELL, None, NOW) == NOW + timedelta(seconds=30)
    assert policy.next_at(HEAL, WELL, HOLDS, NOW) == HOLDS.until
    assert policy.next_at(HEAL, Facts("heal"), None, NOW) is None
    waits = replace(WELL, state="enqueued", enqueued_at=ago(seconds=20))
    assert policy.lag(HEAL, waits, NOW) == timedelta(seconds=20)
    ahead = replace(
        WELL, slot=NOW + timedelta(hours=1), enqueued_at=NOW + timedelta(hours=1), started_at=None
    )
    assert policy.lag(HEAL, ahead, NOW) == timedelta()


@pytest.mark.parametrize("hours", [-1, 0, 0.01, float("nan"), 168.1, 1e9, float("inf"), float("-inf")])
def test_a_pause_of_no_time_or_too_long_is_refused_at_its_field(hours: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy.check_hours(hours)
    assert refused.value.field == "hours"


@pytest.mark.parametrize(
    ("hours", "kept"), [(1, timedelta(hours=1)), (0.5, timedelta(minutes=30)), (168, timedelta(7))]
)
def test_how_long_a_pause_lasts(hours: float, kept: timedelta) -> None:
    assert policy.check_hours(hours) == kept


@pytest.mark.parametrize("reason", ["", "  ", "no", "x" * 501, "long " * 2000, "\x00\x00\x00"])
def test_no_reason_and_a_novel_are_refused_at_their_field(reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy.check_reason(reason)
    assert refused.value.field == "reason"


def test_a_reason_is_kept_as_one_line() -> None:
    assert policy.check_reason("  KIE is down\n until noon ") == "KIE is down until noon"


@pytest.mark.parametrize(
    ("took_s", "times"),
    [((1.0,) * 7, None), ((1.0,) * 8, 1.0), ((1.0,) * 4 + (3.0,) * 4, 3.0), ((0.0,) * 8, None)],
)
def test_whether_runs_become_slower(took_s: tuple[float, ...], times: float | None) -> None:
    assert policy.slower(took_s) == times


def test_the_banner_tells_of_a_dead_role_within_90_seconds() -> None:
    assert runs.DEAD_AFTER + runs.BEAT_EVERY + timedelta(seconds=banner.REFRESH_S) <= timedelta(seconds=90)


def test_every_job_and_queue_is_known_everywhere() -> None:
    assert list(SCHEDULE) == list(JOBS)
    assert set(QUEUES) == set(worker.PLACES) == set(job_words.QUEUES)
    for name, job in SCHEDULE.items():
        assert name == job.name
        assert job.does.endswith(".")
        assert job.stops.endswith(".")
        assert job.longest >= min(job.every, timedelta(minutes=2))
    assert len({job.title for job in SCHEDULE.values()}) == len(SCHEDULE)


@pytest.mark.parametrize(
    ("every", "said"),
    [
        (timedelta(seconds=1), "every second"),
        (timedelta(seconds=5), "every 5 seconds"),
        (timedelta(minutes=1), "every minute"),
        (timedelta(minutes=10), "every 10 minutes"),
        (timedelta(hours=1), "every hour, on the hour"),
        (timedelta(days=1), "every day at midnight (UTC)"),
    ],
)
def test_schedules_in_words(every: timedelta, said: str) -> None:
    assert job_words.every(every) == said
    assert slot_of(every, NOW) <= NOW < slot_of(every, NOW) + every


def test_alerts_of_jobs() -> None:
    failing = replace(Facts("alerts"), failures=3, error="ValueError: no such column.")
    long = Facts("heal", running=1, running_since=ago(minutes=5), worker="a:1")
    over = Facts("poll", running=3, running_since=ago(seconds=80), overlap_since=ago(seconds=79))
    found = alerts.of_jobs({"alerts": failing, "heal": long, "poll": over, "sweep": Facts("sweep")}, NOW)
    assert [(one.kind, one.subject, one.severity) for one in found] == [
        (Kind.JOB_FAILING, "alerts", Severity.CRITICAL),
        (Kind.JOB_LONG, "heal", Severity.WARNING),
        (Kind.JOB_OVERLAPPING, "poll", Severity.WARNING),
    ]
    assert found[0].evidence["problem"] == "ValueError: no such column."
    assert found[1].evidence["minutes"] == 2
    assert found[2].count == 3
    assert alerts.of_jobs({"alerts": replace(failing, failures=2)}, NOW) == ()


def test_a_worker_tells_its_pace_of_the_last_minutes() -> None:
    tally = Tally()
    assert tally.per_minute(NOW) == {}
    for _ in range(30):
        tally.count("polls")
    assert tally.per_minute(NOW + timedelta(minutes=1)) == {"polls": 30.0}
    for step in range(2, 12):
        found = tally.per_minute(NOW + timedelta(minutes=step))
    assert found == {"polls": 0.0}
    assert timedelta(minutes=10) > WINDOW
