"""What a job has counted and what marks say has changed since are together what the rows say, whoever writes
and whichever version counts."""

import contextlib
import random
import threading
from datetime import timedelta
from typing import Any

import psycopg

from core import database
from core.deliveries import health, health_rows, rollups, windows
from core.deliveries.windows import Filter
from tests.database.begun import (
    BEGINS,
    ENDS,
    EVERY,
    NOW,
    SOME,
    VIEWER,
    check,
    count_everything,
    insert,
    unknown_hours,
)


def test_the_numbers_follow_other_writers(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 400, seed=2)
    count_everything()
    chance = random.Random(3)
    for turn in range(6):
        ids = [row[0] for row in writer.execute("SELECT id FROM generations ORDER BY id").fetchall()]
        some = chance.sample(ids, 8)
        writer.execute("UPDATE generations SET delivery_state = 'failed' WHERE id = ANY(%s)", (some[:3],))
        writer.execute("DELETE FROM generations WHERE id = ANY(%s)", (some[3:5],))
        writer.execute(
            "UPDATE generations SET created_at = created_at - interval '31 hours' WHERE id = ANY(%s)",
            (some[5:],),
        )
        insert(writer, 5, seed=100 + turn)
        if turn % 3 == 0:
            rollups.run(NOW)
        for wanted in SOME:
            check(wanted)
    writer.execute("TRUNCATE generations")
    assert check(Filter("30d", state="begun")) == 0


def test_what_changes_is_counted_without_reading_its_hour(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 300, seed=5)
    count_everything()
    insert(writer, 40, seed=6, days=2)
    for state, of in (("failed", "awaiting_provider"), ("delivered", "intent"), ("lost", "delivered")):
        writer.execute(
            "UPDATE generations SET delivery_state = %s, delivered_at = %s, failure_message = 'it broke'"
            " WHERE id IN (SELECT id FROM generations WHERE delivery_state = %s ORDER BY id LIMIT 9)",
            (state, NOW, of),
        )
    for (one,) in writer.execute("SELECT id FROM generations WHERE model = 'x/y'").fetchall():
        writer.execute("UPDATE generations SET kind = 'video', model = 'a/b' WHERE id = %s", (one,))
    writer.execute("DELETE FROM generations WHERE id IN (SELECT id FROM generations ORDER BY id LIMIT 20)")
    assert unknown_hours() == frozenset()
    assert sum(check(wanted) for wanted in EVERY) > 300
    found = health.look(VIEWER, Filter("30d"), NOW)
    assert "x/y" not in {line.model for line in found.models}
    broken = "SELECT count(*) FROM generations WHERE created_at >= %s AND failure_message = 'it broke'"
    by_rows = writer.execute(
        f"{broken} AND delivery_state <> 'delivered'".encode(), (BEGINS["30d"],)
    ).fetchone()
    assert by_rows == (sum(line.n for line in found.failures if line.message == "it broke"),) > (0,)
    count_everything()
    again = health.look(VIEWER, Filter("30d"), NOW)
    assert (again.counts, again.times, again.models) == (found.counts, found.times, found.models)
    assert again.failures == found.failures


def test_a_way_that_changes_no_number_leaves_no_mark(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 50, seed=7)
    count_everything()
    for state in ("sending", "awaiting_provider", "awaiting_delivery"):
        writer.execute("UPDATE generations SET delivery_state = %s WHERE delivery_state = 'intent'", (state,))
    writer.execute("UPDATE generations SET prompt = 'other', next_attempt_at = now()")
    assert writer.execute("SELECT count(*) FROM delivery_dirty_hours").fetchone() == (0,)


def test_a_change_of_many_rows_says_only_which_hours(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 600, seed=8)
    count_everything()
    writer.execute("UPDATE generations SET delivery_state = 'failed' WHERE delivery_state = 'delivered'")
    assert unknown_hours()
    lines = writer.execute("SELECT count(n), count(*) FROM delivery_dirty_hours").fetchone()
    assert lines is not None
    assert lines[0] == 100 < lines[1] < 350
    for wanted in SOME:
        check(wanted)
    insert(writer, 30, seed=9, days=3)
    for wanted in SOME:
        check(wanted)
    count_everything()
    assert unknown_hours() == frozenset()
    for wanted in SOME:
        check(wanted)


def test_what_is_rolled_back_changes_no_number(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 200, seed=10)
    count_everything()
    before = health.look(VIEWER, Filter("30d"), NOW).counts
    with writer.transaction():
        with writer.transaction(force_rollback=True):
            writer.execute("UPDATE generations SET delivery_state = 'failed'")
        writer.execute(
            "UPDATE generations SET delivery_state = 'lost' WHERE id IN"
            " (SELECT id FROM generations WHERE delivery_state = 'failed' AND created_at >= %s LIMIT 2)",
            (BEGINS["30d"],),
        )
    assert unknown_hours() == frozenset()
    found = health.look(VIEWER, Filter("30d"), NOW).counts
    assert (found.failed, found.lost) == (before.failed - 2, before.lost + 2)
    check(Filter("30d", state="lost"))


def test_a_mark_of_an_earlier_version_has_its_hour_read(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 300, seed=11)
    count_everything()
    hour = BEGINS["24h"] + timedelta(hours=3)
    writer.execute("ALTER TABLE generations DISABLE TRIGGER zz_studio_ops_mark_hours")
    writer.execute("UPDATE generations SET created_at = %s WHERE delivery_state = 'lost'", (hour,))
    writer.execute(
        "INSERT INTO delivery_dirty_hours (hour) SELECT date_trunc('hour', g.at) FROM"
        " generate_series(%s::timestamptz, %s, interval '1 hour') AS g(at)",
        (NOW - timedelta(days=41), NOW),
    )
    writer.execute("ALTER TABLE generations ENABLE ALWAYS TRIGGER zz_studio_ops_mark_hours")
    writer.execute("UPDATE generations SET delivery_state = 'failed' WHERE delivery_state = 'lost'")
    assert check(Filter("24h", state="failed")) >= 30
    count_everything()
    assert unknown_hours() == frozenset()
    assert check(Filter("24h", state="failed")) >= 30


def test_an_earlier_version_that_counts_leaves_no_wrong_number(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 300, seed=13, days=2)
    count_everything()
    writer.execute("UPDATE generations SET delivery_state = 'lost' WHERE delivery_state = 'delivered'")
    hours = [ENDS - n * windows.HOUR for n in range(1, 60)]
    with database.transaction() as connection:
        # It counts hours, and adds up days that have ended.
        rollups.SQL["take_marks"].run(connection, hours=hours)
        rollups.SQL["count_hours"].run(connection, hours=hours)
        days = {windows.day_of(hour) for hour in hours} - {windows.day_of(NOW)}
        rollups.SQL["add_days_up"].run(connection, days=sorted(days))
        connection.exec_driver_sql("UPDATE delivery_rollup_state SET rolled_at = rolled_at + interval '5 s'")
    assert unknown_hours() == frozenset()
    before = [check(wanted) for wanted in EVERY]
    assert rollups.run(NOW + timedelta(seconds=10)) == 0
    assert [check(wanted) for wanted in EVERY] == before


def test_days_are_the_sum_of_their_hours(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 300, seed=14, days=4)
    count_everything()
    writer.execute("UPDATE generations SET delivery_state = 'failed' WHERE delivery_state = 'intent'")
    writer.execute("DELETE FROM generations WHERE delivery_state = 'lost'")
    writer.execute("UPDATE generations SET delivered_at = delivered_at + interval '1 min'")
    count_everything()
    sums = (
        "SELECT measure, date_trunc('day', start), kind, model, key, sum(n) FROM delivery_rollup"
        " WHERE grain = %s GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
    )
    days = writer.execute(sums, ("day",)).fetchall()
    assert days == writer.execute(sums, ("hour",)).fetchall()
    assert {row[1] for row in days} == {windows.day_of(NOW) - n * windows.DAY for n in range(5)}
    assert not any(row[4] == "lost" for row in days)


def test_a_count_writes_what_differs_alone(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 300, seed=15, days=2)
    count_everything()
    versions = "SELECT count(*) FROM delivery_rollup WHERE xmin::text::bigint >= %s"
    [now] = writer.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
    insert(writer, 1, seed=16, days=0.01)
    assert rollups.run(NOW) == 1
    [written] = writer.execute(versions, now).fetchall()
    assert 0 < written[0] <= 6


def test_what_a_trigger_that_was_off_has_missed_is_right_again(writer: psycopg.Connection[Any]) -> None:
    insert(writer, 60, seed=12, days=1)
    count_everything()
    writer.execute("ALTER TABLE generations DISABLE TRIGGER zz_studio_ops_mark_hours")
    writer.execute("UPDATE generations SET delivery_state = 'lost' WHERE delivery_state <> 'lost'")
    writer.execute("ALTER TABLE generations ENABLE ALWAYS TRIGGER zz_studio_ops_mark_hours")
    for _ in range(26):
        rollups.run(NOW)
    assert check(Filter("24h", state="lost")) > 40


def test_a_number_equals_its_rows_while_somebody_writes(
    database_url: str, writer: psycopg.Connection[Any]
) -> None:
    insert(writer, 200, seed=4)
    count_everything()
    stop, wrong = threading.Event(), list[str]()

    def write(seed: int) -> None:
        some = "(SELECT id FROM generations ORDER BY md5(id::text || %(seed)s) LIMIT %(many)s)"
        with psycopg.connect(database_url, autocommit=True) as other:
            while not stop.is_set():
                seed += 1
                insert(other, 1 + seed % 3, seed=seed, days=3)
                for change, many in (
                    ("UPDATE generations SET delivery_state = 'failed' WHERE id IN", 1),
                    ("UPDATE generations SET created_at = created_at - interval '31 min' WHERE id IN", 2),
                    ("DELETE FROM generations WHERE id IN", 1),
                    ("UPDATE generations SET delivery_state = 'delivered' WHERE id IN", 130),
                )[: 4 if seed % 7 == 0 else 3]:
                    with contextlib.suppress(psycopg.errors.DeadlockDetected):
                        other.execute(f"{change} {some}".encode(), {"seed": str(seed), "many": many})

    def count() -> None:
        while not stop.is_set():
            rollups.run(NOW, run_for_s=0)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (1000, 5000)]
    threads += [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        for state in ("begun", "failed"):
            board = health_rows.board(VIEWER, Filter("7d", state=state), NOW, limit=100_000)
            assert board.health is not None
            assert board.page is not None
            number = getattr(board.health.counts, "total" if state == "begun" else state)
            if not number == board.total == len(board.page.generations):
                wrong.append(f"{state}: {number}, {board.total}, {len(board.page.generations)}")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
