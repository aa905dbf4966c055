"""Jobs that people run and pause, what clocks do with it, and what alerts find; on a real database."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from core import access
from core.access import Actor, Role
from core.alerts import service as alerts
from core.alerts import views as open_alerts
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.machinery import policy, service, views
from core.machinery.models import Health
from core.work import runs
from jobs import clock
from jobs.schedule import JOBS
from tests.database.ledger import sql

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
ADA = access.command_line("ada")
EYES = Actor("person", "eve", "Eve", frozenset({Role.VIEWER, Role.SUPPORT, Role.PRODUCT}), "page")
ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    sql("DELETE FROM procrastinate_jobs")
    for table in ("job_runs", "job_pauses", "work_takeovers", "process_heartbeats", "alerts"):
        sql(f"DELETE FROM {table}")


def audited() -> list[tuple[str, str, str | None]]:
    rows = sql("SELECT action, object_id, reason FROM audit_log WHERE object_type = 'job' ORDER BY id")
    return [(row[0], row[1], row[2]) for row in rows]


def queued() -> list[str]:
    return [
        row[0] for row in sql("SELECT task_name FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
    ]


def a_worker(pid: int = 7, age_s: float = 1, role: str = "worker") -> None:
    at = NOW - timedelta(seconds=age_s)
    sql(
        "INSERT INTO process_heartbeats (id, role, host, pid, version, started_at, beat_at, detail)"
        " VALUES (gen_random_uuid(), %s, 'box', %s, '1', %s, %s, %s)",
        role,
        pid,
        at,
        at,
        '{"per_minute": {"polls": 60, "x": "?"}}',
    )


def a_run(job: str, state: str, begun_s: float, took_s: float = 1, worker: str = "box:7") -> None:
    begun = NOW - timedelta(seconds=begun_s)
    ended = None if state == "running" else begun + timedelta(seconds=took_s)
    sql(
        "INSERT INTO job_runs (job, slot, enqueued_at, started_at, finished_at, state, error, worker)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        job,
        *(begun, begun, begun, ended),
        state,
        "OSError: away" if state == "failed" else None,
        worker,
    )


# Run now.


def test_a_job_is_run_once_however_often_it_is_asked_for() -> None:
    before = len(audited())
    with ThreadPoolExecutor(4) as pool:
        answers = [
            asked.result()
            for asked in [pool.submit(service.run_now, ADA, "heal", ONE, NOW) for _ in range(8)]
        ]
    assert queued() == ["heal"]
    assert any(answers)
    assert [row[0] for row in sql("SELECT asked_by FROM job_runs")] == ["ada"]
    assert audited()[before:] == [("job.run", "heal", None)]
    assert service.run_now(ADA, "heal", ONE, NOW + timedelta(seconds=1))
    assert not service.run_now(ADA, "heal", TWO, NOW + timedelta(seconds=1))
    assert queued() == ["heal"]


def test_what_a_person_asked_for_is_done_and_moves_no_schedule() -> None:
    a_run("heal", "succeeded", 40)
    service.run_now(ADA, "heal", ONE, NOW)
    one = views.standing(ADA, "heal", NOW)
    assert one.facts.slot == NOW - timedelta(seconds=40)
    runs.start("heal", NOW, NOW)
    runs.finish("heal", NOW, NOW, items=3, error=None)
    [newest, _] = views.recent(ADA, "heal")
    assert (newest.asked_by, newest.state, newest.items) == ("ada", "succeeded", 3)


def test_who_may_not_steer_is_refused_and_nothing_is_written() -> None:
    before = len(audited())
    for attempt in (
        lambda: service.run_now(EYES, "heal", ONE, NOW),
        lambda: service.pause(EYES, "heal", ONE, 1, "a reason", NOW),
        lambda: service.resume(EYES, ONE, NOW),
    ):
        with pytest.raises(NotAllowed, match="run or pause a scheduled job"):
            attempt()
    with pytest.raises(NotFound, match="no job"):
        service.run_now(ADA, "drop_everything", ONE, NOW)
    assert queued() == []
    assert len(audited()) == before


# Pauses.


def test_a_paused_job_is_begun_by_no_clock_and_goes_on_by_itself() -> None:
    before = len(audited())
    made = service.pause(ADA, "heal", ONE, 1, "KIE is down", NOW)
    assert (made.paused_by, made.until) == ("ada", NOW + timedelta(hours=1))
    assert not clock.tick(JOBS["heal"], NOW)
    assert not clock.tick(JOBS["heal"], NOW + timedelta(minutes=59))
    assert clock.tick(JOBS["sweep"], NOW)
    assert queued() == ["sweep"]
    assert views.standing(ADA, "heal", NOW).health is Health.PAUSED
    assert clock.tick(JOBS["heal"], NOW + timedelta(hours=1))
    later = NOW + timedelta(hours=2)
    assert views.standing(ADA, "heal", later).pause is None
    assert service.pause(ADA, "heal", TWO, 1, "KIE is down again", later).id == TWO
    assert audited()[before:] == [
        ("job.pause", "heal", "KIE is down"),
        ("job.pause", "heal", "KIE is down again"),
    ]


def test_a_pause_is_made_once_and_ended_once() -> None:
    first = service.pause(ADA, "heal", ONE, 1, "KIE is down", NOW)
    assert service.pause(ADA, "heal", ONE, 1, "KIE is down", NOW) == first
    with pytest.raises(Conflict, match="paused already"):
        service.pause(ADA, "heal", TWO, 2, "me too", NOW)
    assert service.resume(ADA, ONE, NOW).ended_by == "ada"
    assert clock.tick(JOBS["heal"], NOW)
    with pytest.raises(Conflict, match="ended already"):
        service.resume(ADA, ONE, NOW)
    assert audited()[-1][0] == "job.resume"


def test_a_paused_job_may_still_be_run_by_hand() -> None:
    service.pause(ADA, "heal", ONE, 1, "KIE is down", NOW)
    assert service.run_now(ADA, "heal", TWO, NOW)
    assert queued() == ["heal"]


@pytest.mark.parametrize(
    ("hours", "reason", "field"),
    [(-1, "KIE is down", "hours"), (1, "x" * 10_000, "reason"), (1, " ", "reason")],
)
def test_a_pause_that_cannot_be_meant_is_refused_at_its_field(hours: float, reason: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        service.pause(ADA, "heal", ONE, hours, reason, NOW)
    assert refused.value.field == field
    assert sql("SELECT 1 FROM job_pauses") == []


# What is seen of it.


def test_an_empty_database_shows_every_job_as_not_yet_run() -> None:
    seen = views.board(ADA, NOW)
    assert {one.health for one in seen.jobs} == {Health.NEVER}
    assert (seen.processes, seen.takeovers) == ((), ())
    assert {(one.waiting, one.running, one.per_minute) for one in seen.queues} == {(0, 0, 0)}


def test_the_worst_job_comes_first_with_its_failures_runs_and_times() -> None:
    a_worker()
    for at in (50, 110, 170):
        a_run("heal", "failed", at)
    a_run("heal", "succeeded", 230, took_s=4)
    a_run("prune", "running", 45 * 60)
    a_run("library", "running", 45 * 60, worker="box:8")
    seen = views.board(ADA, NOW)
    failing, long = seen.jobs[:2]
    assert (failing.job.name, failing.health, failing.facts.failures) == ("heal", Health.FAILING, 3)
    assert failing.facts.error == "OSError: away"
    assert failing.facts.took_s == (4.0, 1.0, 1.0, 1.0)
    assert (long.job.name, long.health, long.facts.worker) == ("prune", Health.LONG, "box:7")
    assert views.standing(ADA, "library", NOW).facts.running == 0, "its worker is dead"
    assert (seen.alive("worker"), seen.alive("clock")) == (1, 0)
    assert seen.processes[0].per_minute == {"polls": 60.0}
    assert next(one for one in seen.queues if one.name == "polls").per_minute == 60.0


def test_queues_say_what_waits_and_since_when() -> None:
    clock.tick(JOBS["heal"], NOW)
    clock.tick(JOBS["sweep"], NOW)
    found = {one.name: one for one in views.board(ADA, NOW).queues}
    assert found["housekeeping"].waiting == 2
    assert found["housekeeping"].oldest_at is not None
    assert found["long"].waiting == 0


def test_takeovers_name_the_worker_that_is_known_to_be_gone() -> None:
    a_worker(pid=7, age_s=45)
    a_run("heal", "running", 50)
    slot = (NOW - timedelta(seconds=50)).isoformat()
    service.took_over("heal", "housekeeping", {"slot": slot}, NOW, begun_anew=False)
    service.took_over("deliver", "deliveries", {"generation_id": str(ONE)}, NOW, begun_anew=True)
    newest, first = views.board(ADA, NOW).takeovers
    assert (newest.subject, newest.lost_by, newest.begun_anew) == (str(ONE), "box:7", True)
    assert (first.task, first.lost_by, first.found_by) == ("heal", "box:7", runs.here())
    [given_up] = views.recent(ADA, "heal")
    assert given_up.state == "failed"
    assert "waiting already" in str(given_up.error)
    a_worker(pid=9, age_s=45)
    service.took_over("deliver", "deliveries", {"generation_id": str(TWO)}, NOW, begun_anew=True)
    assert views.board(ADA, NOW).takeovers[0].lost_by is None, "two are silent: nobody knows which"
    assert service.prune(NOW + timedelta(days=31)) == 3


def test_who_was_stopped_in_order_is_neither_alive_nor_taken_for_dead() -> None:
    one = uuid.uuid4()
    runs.beat(one, "worker", NOW - timedelta(seconds=45))
    runs.end(one)
    [process] = views.board(ADA, NOW).processes
    assert (process.alive, process.ended) == (False, True)
    service.took_over("deliver", "deliveries", {"generation_id": str(ONE)}, NOW, begun_anew=True)
    assert views.board(ADA, NOW).takeovers[0].lost_by is None


# Alerts.


def kinds() -> list[tuple[str, str]]:
    return [(str(one.kind), one.subject) for one in open_alerts.waiting(ADA)]


def test_alerts_of_jobs_open_and_end_by_themselves() -> None:
    a_worker()
    for at in (50, 110, 170):
        a_run("heal", "failed", at)
    a_run("prune", "running", 45 * 60)
    a_run("poll", "running", 60)
    a_run("poll", "running", 40)
    assert alerts.watch_jobs(NOW) == 3
    assert sorted(kinds()) == [("job_failing", "heal"), ("job_long", "prune"), ("job_overlapping", "poll")]
    assert alerts.watch_jobs(NOW) == 0
    a_run("heal", "succeeded", 2)
    sql("UPDATE job_runs SET state = 'succeeded', finished_at = %s WHERE state = 'running'", NOW)
    assert alerts.watch_jobs(NOW) == 3
    assert kinds() == []


def test_two_failures_are_no_alert_and_a_success_begins_the_count_anew() -> None:
    a_run("heal", "failed", 200)
    a_run("heal", "failed", 140)
    a_run("heal", "succeeded", 100)
    a_run("heal", "failed", 50)
    assert alerts.watch_jobs(NOW) == 0
    assert views.standing(ADA, "heal", NOW).health is Health.FAILED
    assert policy.FAILURES == 3
