"""The machinery: clocks that fire a slot once, jobs that vanish, workers that die, commands."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core import access, database, settings
from core.machinery import service as machinery
from core.work import queue, runs
from jobs import clock, deliver, worker
from jobs.schedule import JOBS, Scheduled, slot_of
from tests.journeys.world import Said, World, until

NOW = datetime(2026, 11, 20, 12, 0, 0, 400_000, tzinfo=UTC)
POLL = JOBS["poll"]


def waiting(world: World) -> list[tuple[str, str | None]]:
    return [
        (row.task_name, row.queueing_lock)
        for row in world.sql(
            "SELECT task_name, queueing_lock FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id"
        )
    ]


# Clock.


def test_two_clocks_fire_a_slot_once(world: World) -> None:
    barrier = threading.Barrier(4)

    def tick() -> bool:
        barrier.wait(10)
        return clock.tick(POLL, NOW)

    with ThreadPoolExecutor(4) as pool:
        fired = [done.result() for done in [pool.submit(tick) for _ in range(4)]]
    assert sorted(fired) == [False, False, False, True]
    assert waiting(world) == [("poll", "job:poll")]
    assert [row.slot for row in world.sql("SELECT slot FROM job_runs")] == [slot_of(POLL, NOW)]


def test_a_slot_that_was_done_is_not_fired_again_by_a_late_clock(world: World) -> None:
    assert clock.tick(POLL, NOW)
    world.sql("DELETE FROM procrastinate_jobs")
    assert not clock.tick(POLL, NOW + timedelta(milliseconds=300))
    assert waiting(world) == []
    assert clock.tick(POLL, NOW + timedelta(seconds=1))
    assert waiting(world) == [("poll", "job:poll")]


def test_while_a_job_waits_no_second_one_joins_it(world: World) -> None:
    for second in range(5):
        clock.tick(POLL, NOW + timedelta(seconds=second))
    assert waiting(world) == [("poll", "job:poll")]
    assert len(world.sql("SELECT 1 FROM job_runs")) == 1


def test_a_clock_beats_and_fires_every_job_when_it_starts(world: World) -> None:
    stop = threading.Event()
    ticking = threading.Thread(target=clock.tick_until, args=(stop,))
    ticking.start()
    until(lambda: len(world.sql("SELECT 1 FROM job_runs WHERE job = 'poll'")) >= 1)
    until(lambda: runs.liveness(datetime.now(UTC)).missing == ("worker",))
    stop.set()
    ticking.join(10)
    assert {name for name, _ in waiting(world)} == set(JOBS)


# Runs.


def test_a_run_is_recorded_with_what_it_did(world: World) -> None:
    clock.tick(JOBS["sweep"], NOW)
    world.work()
    [run] = world.sql("SELECT job, state, items, error, started_at, finished_at, worker FROM job_runs")
    assert (run.job, run.state, run.items, run.error) == ("sweep", "succeeded", 0, None)
    assert run.started_at <= run.finished_at
    assert run.worker == runs.here()
    [told] = [row for row in runs.last_runs(["sweep", "never"]) if row["job"] == "sweep"]
    assert told["state"] == "succeeded"


def test_a_run_that_fails_says_why_without_secrets(world: World) -> None:
    def broken() -> int:
        raise RuntimeError("cannot reach https://kie.example/?secret=hunter2")

    job = Scheduled("poll", timedelta(seconds=1), broken)
    clock.tick(job, NOW)
    with pytest.raises(RuntimeError):
        worker.run_slot(job, slot_of(job, NOW))
    [run] = world.sql("SELECT state, error FROM job_runs")
    assert run.state == "failed"
    assert run.error == "RuntimeError: cannot reach https://kie.example/?secret=***"


def test_prune_forgets_what_is_old_and_keeps_how_each_job_went_last(world: World) -> None:
    world.sql(
        "INSERT INTO job_runs (job, slot, state)"
        " SELECT 'poll', CAST(%s AS timestamptz) - n * interval '1 hour',"
        "        CASE WHEN n = 100 THEN 'failed' ELSE 'succeeded' END"
        " FROM generate_series(40, 200) n",
        NOW,
    )
    world.sql(
        "INSERT INTO job_runs (job, slot) VALUES ('sweep', CAST(%s AS timestamptz) - interval '90 d')", NOW
    )
    world.sql(
        "INSERT INTO process_heartbeats (id, role, beat_at) VALUES"
        " (gen_random_uuid(), 'worker', CAST(%s AS timestamptz) - interval '2 d'),"
        " (gen_random_uuid(), 'clock', %s)",
        NOW,
        NOW,
    )
    assert runs.prune(NOW) == 151 + 1
    kept = world.sql("SELECT job, state, count(*) AS n FROM job_runs GROUP BY job, state ORDER BY job, state")
    assert [tuple(row) for row in kept] == [
        ("poll", "failed", 1),
        ("poll", "succeeded", 9),
        ("sweep", "enqueued", 1),
    ]
    assert [row.role for row in world.sql("SELECT role FROM process_heartbeats")] == ["clock"]


# Jobs that vanish, workers that die.


@pytest.mark.parametrize("fault", ["rate_limited@create*1", "expired_url*1", "answer_lost"])
def test_the_sweep_brings_back_what_has_lost_its_job(world: World, fault: str) -> None:
    made = world.create(f"vanished [[fault:{fault}]]")["generationId"]
    if fault == "expired_url*1":
        world.sandbox.put("faults", server_error={"at": ["file"], "times": 1})
        world.settle(made, {"awaiting_delivery"})
    if fault == "answer_lost":
        until(lambda: "callback" in world.events(made))
    world.sql("DELETE FROM procrastinate_jobs")
    world.due(made)
    assert world.sweep() == 1
    assert world.sweep() == 0
    assert waiting(world) == [("deliver", f"deliver:{made}")]
    assert world.settle(made, {"delivered"}).status == "success"
    assert world.paid(made) == 1


def test_the_sweep_leaves_alone_what_is_not_due_or_in_work_or_a_polls(world: World) -> None:
    made = [world.create(f"number {n} [[fault:rate_limited@create]]")["generationId"] for n in range(2)]
    polled = world.create("a poll's business")["generationId"]
    world.due(polled)
    world.due(made[0])
    world.sql("UPDATE generations SET lease_until = now() + interval '1 min' WHERE id = %s", made[0])
    assert world.sweep() == 0


def dead_worker(world: World, job: str, lock: str) -> None:
    """A job in the hands of a worker that has been silent for a minute."""
    world.sql(
        "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 min')"
        " RETURNING id)"
        " INSERT INTO procrastinate_jobs (queue_name, task_name, status, queueing_lock, args, worker_id)"
        " SELECT 'deliveries', 'deliver', 'doing', %s,"
        " jsonb_build_object('generation_id', CAST(%s AS text)), id FROM dead",
        lock,
        job,
    )


def rescue(world: World) -> int:
    app = worker.make_app(world.environment["DATABASE_URL"])

    async def run() -> int:
        async with app.open_async():
            return await worker.rescue(app)

    return asyncio.run(run())


def test_a_dead_workers_job_is_begun_anew(world: World) -> None:
    made = world.create("orphaned [[fault:callback_lost]]")
    one = made["generationId"]
    world.finished_at_kie(made["taskId"])
    dead_worker(world, one, f"deliver:{one}")
    world.due(one)
    world.work()
    assert world.row(one).delivery_state == "awaiting_provider"
    assert rescue(world) == 1
    world.work()
    assert world.row(one).delivery_state == "delivered"


def test_a_dead_workers_job_whose_twin_waits_is_ended(world: World) -> None:
    one = world.create("twin [[fault:stuck]]")["generationId"]
    dead_worker(world, one, f"deliver:{one}")
    with database.transaction() as connection:
        assert queue.enqueue(connection, "deliver", once=f"deliver:{one}", generation_id=one)
    assert rescue(world) == 0
    assert waiting(world) == [("deliver", f"deliver:{one}")]
    assert world.sql("SELECT 1 FROM procrastinate_jobs WHERE status = 'doing'") == []
    [taken] = world.sql("SELECT task, subject, found_by, begun_anew FROM work_takeovers")
    assert tuple(taken) == ("deliver", one, runs.here(), False)


def test_what_a_person_asks_for_is_done_by_a_worker_without_any_clock(world: World) -> None:
    asked = datetime.now(UTC)
    assert machinery.run_now(access.command_line("ada"), "sweep", uuid.UUID(int=7), asked)
    world.work()
    [run] = world.sql("SELECT slot, state, asked_by FROM job_runs")
    assert tuple(run) == (asked, "succeeded", "ada")


def test_a_living_workers_job_is_left_to_it(world: World) -> None:
    one = world.create("alive [[fault:stuck]]")["generationId"]
    dead_worker(world, one, f"deliver:{one}")
    world.sql("UPDATE procrastinate_workers SET last_heartbeat = now()")
    assert rescue(world) == 0


def test_a_job_is_queued_with_the_change_that_needs_it_or_not_at_all(world: World) -> None:
    with database.transaction() as connection:
        assert queue.enqueue(connection, "deliver", once="deliver:x", generation_id="x")
        connection.rollback()
    assert waiting(world) == []
    with database.transaction() as connection:
        assert queue.enqueue(connection, "deliver", once="deliver:x", generation_id="x")
        assert not queue.enqueue(connection, "deliver", once="deliver:x", generation_id="x")
        queue.enqueue(connection, "deliver", generation_id="y")
    assert waiting(world) == [("deliver", "deliver:x"), ("deliver", None)]


def test_a_job_for_a_generation_that_is_gone_does_nothing(world: World) -> None:
    deliver.run("00000000-0000-0000-0000-000000000000")
    assert world.sql("SELECT 1 FROM delivery_events") == []


# Processes and commands.


def environment_of(world: World) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, **world.environment, "PYTHONUNBUFFERED": "1"}


def test_one_process_of_clock_and_worker_delivers_and_outlives_a_lost_database(world: World) -> None:
    made = world.create("by itself [[fault:callback_lost]]")["generationId"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs"],
        cwd=settings.ROOT,
        env=environment_of(world),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        world.due(made)
        until(lambda: world.row(made).delivery_state == "delivered", 40)
        assert runs.liveness(datetime.now(UTC)).missing == ()
        assert drop_connections(world) > 0
        again = world.create("after the loss [[fault:callback_lost]]")["generationId"]
        world.due(again)
        until(lambda: world.row(again).delivery_state == "delivered", 40)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=40)
    assert process.returncode == 0
    assert "worker.stopped" in said


def drop_connections(world: World) -> int:
    """Cut every connection of the database but ours, as a restart of Postgres would."""
    with psycopg.connect(world.environment["DATABASE_URL"], autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        ).fetchall()
    database.connect(world.environment["DATABASE_URL"])
    return len(cut)


def test_the_commands_run_and_sync_tell_what_they_did(world: World, command: Callable[..., Said]) -> None:
    made = world.create("typed [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    done = command("sync", made["taskId"])
    *told, last = done.out.splitlines()
    assert (done.code, last.split()[:3]) == (0, [f"{made['taskId']}:", "success,", "delivered,"])
    assert told[0].endswith("(callback-never-arrived)")
    assert [line.split("  ")[-1] for line in told[1:-1]] == [
        "sync requested",
        "result ready",
        "stored",
        "delivered",
    ]
    assert told[-1] == "after: It was delivered and the file is there. (all-well)"
    line: Any = world.sql(
        "SELECT actor_kind, source FROM audit_log WHERE object_id = %s AND action = 'generation.sync'",
        made["generationId"],
    )[0]
    assert (line.actor_kind, line.source) == ("person", "command")
    unknown = command("sync", "task_unknown")
    assert (unknown.code, unknown.out) == (1, "")
    assert "No generation has the task id 'task_unknown'" in unknown.err
    assert "Traceback" not in unknown.err
    ran = command("run", "sweep")
    assert (ran.code, ran.out.split(":")[0]) == (0, "sweep")
