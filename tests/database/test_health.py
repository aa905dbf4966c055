"""The numbers of delivery health equal the rows that they open, whatever has been counted already."""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core import access, database
from core.deliveries import cells, health, health_rows, rollups, windows
from core.deliveries.windows import Filter

NOW = datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)
# From when on each window counts: its first whole bar, by the hour, six hours and day (UTC).
BEGINS = {
    "24h": datetime(2026, 11, 24, 12, tzinfo=UTC),
    "7d": datetime(2026, 11, 18, 12, tzinfo=UTC),
    "30d": datetime(2026, 10, 26, tzinfo=UTC),
}
ENDS = datetime(2026, 11, 25, 13, tzinfo=UTC)
VIEWER = access.command_line("viewer")
STATES = (
    "delivered",
    "delivered",
    "delivered",
    "failed",
    "lost",
    "needs_attention",
    "awaiting_provider",
    "intent",
)
MODELS = (
    ("image", "flux-2/pro-text-to-image"),
    ("video", "kling-2.6/text-to-video"),
    (None, None),
    ("image", "x/y"),
)
WORDS = ("The upstream timed out after 31 s", "The upstream timed out after 7 s", "NSFW content", None)
EVERY = [Filter("30d", state=state) for state in windows.STATES]
EVERY += [Filter(window, state=state) for window in ("24h", "7d") for state in ("begun", "failed", "timed")]
SOME = [Filter(window, state=state) for window in windows.WINDOWS for state in ("begun", "failed")]


@pytest.fixture
def writer(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def insert(writer: psycopg.Connection[Any], count: int, seed: int, days: float = 40) -> None:
    """Generations of the last `days` days in every state, of every kind and model."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        begun = NOW - timedelta(seconds=chance.uniform(0, days * 86400))
        state, (kind, model) = chance.choice(STATES), chance.choice(MODELS)
        failed = state in {"failed", "lost", "needs_attention"}
        rows.append(
            (
                begun,
                begun,
                kind,
                model,
                state,
                begun + timedelta(seconds=chance.uniform(2, 300)) if state == "delivered" else None,
                "service_error" if failed else None,
                chance.choice(["500", "501", None]) if failed else None,
                chance.choice(WORDS) if failed else None,
                NOW + timedelta(hours=5) if state == "needs_attention" else None,
            )
        )
    with writer.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO generations (created_at, submitted_at, kind, model, status, delivery_state,"
            " delivered_at, failure_category, failure_code, failure_message, result_expires_at)"
            " VALUES (%s, %s, %s, %s, 'queued', %s, %s, %s, %s, %s, %s)",
            rows,
        )


def count_everything() -> None:
    while rollups.run(NOW, run_for_s=60):
        pass


def check(wanted: Filter) -> int:
    """The number and the rows that it opens are the same; how many."""
    number = health_rows.board(VIEWER, wanted, NOW).total
    opened = [row.id for row in health_rows.every_row(VIEWER, wanted, NOW)]
    assert len(set(opened)) == len(opened), wanted
    assert number == len(opened), wanted
    return len(opened)


def unknown_hours() -> frozenset[datetime]:
    """Hours whose rows have to be read."""
    with database.reading() as connection:
        return frozenset(cells.counted_now(connection, NOW).dirty)


def by_hand(writer: psycopg.Connection[Any], window: str) -> Counter[str]:
    rows = writer.execute(
        "SELECT delivery_state FROM generations WHERE created_at >= %s AND created_at < %s",
        (BEGINS[window], ENDS),
    )
    ended = {"delivered", "failed", "lost", "needs_attention"}
    return Counter(state if state in ended else "in_flight" for (state,) in rows)


@pytest.mark.parametrize("counted", [False, True], ids=["from rows", "from counts"])
def test_every_number_equals_the_rows_that_it_opens(writer: psycopg.Connection[Any], counted: bool) -> None:
    insert(writer, 600, seed=1)
    if counted:
        count_everything()
    for window in windows.WINDOWS:
        found = health.look(VIEWER, Filter(window), NOW).counts
        assert {stand: getattr(found, stand) for stand in cells.STANDS} == dict(by_hand(writer, window))
    assert sum(check(wanted) for wanted in EVERY) > 600
    for state in ("finished", "failed", "timed", "in_flight", "rescue"):
        check(Filter("30d", kind="video", state=state))
        check(Filter("30d", model="kling-2.6/text-to-video", state=state))
    for line in health.look(VIEWER, Filter("30d"), NOW).failures[::8]:
        assert check(Filter("30d", signature=line.signature)) == line.n
        for state in ("finished", line.state, "delivered", "timed", "open"):
            check(Filter("30d", signature=line.signature, state=state, kind=line.kind, model=line.model))
    for bar in health.look(VIEWER, Filter("7d"), NOW).bars[::9]:
        assert check(Filter("7d", state="begun", at=bar.start)) == bar.counts.total
        check(Filter("7d", state="timed", at=bar.start))


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


def test_one_whose_clock_is_ahead_counts_in_the_hour_that_has_begun(writer: psycopg.Connection[Any]) -> None:
    for minutes in (20, 30):
        writer.execute(
            "INSERT INTO generations (created_at, delivery_state) VALUES (%s, 'delivered')",
            (NOW + timedelta(minutes=minutes),),
        )
    assert check(Filter("24h", state="delivered")) == 1
    count_everything()
    assert check(Filter("24h", state="delivered")) == 1


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


def test_what_is_stuck_is_the_same_in_number_and_rows(writer: psycopg.Connection[Any]) -> None:
    for created, submitted, model in (
        (NOW - timedelta(minutes=11), None, None),
        (NOW - timedelta(minutes=9), None, None),
        (NOW - timedelta(minutes=11), None, "someone/video-maker"),
        (NOW - timedelta(minutes=21), None, "someone/video-maker"),
        (NOW - timedelta(hours=2), NOW - timedelta(minutes=1), None),
        (None, NOW - timedelta(minutes=30), None),
        (None, None, None),
    ):
        writer.execute(
            "INSERT INTO generations (created_at, submitted_at, model, delivery_state)"
            " VALUES (%s, %s, %s, 'awaiting_provider')",
            (created, submitted, model),
        )
    assert check(Filter("24h", state="stuck")) == 3
    assert check(Filter("24h", state="stuck", kind="video")) == 1
    assert check(Filter("24h", state="in_flight")) == 7
    assert check(Filter("24h", state="open")) == 5


def test_an_empty_product(database_url: str) -> None:
    found = health.look(VIEWER, Filter(), NOW)
    assert not found.any_generation
    assert found.counts.success_rate is None
    assert (found.times.p50_s, found.models, found.failures) == (None, [], [])
    assert sum(bar.counts.total for bar in found.bars) == 0
    assert len(found.bars) == 25


def test_times_to_deliver_are_within_their_bound(writer: psycopg.Connection[Any]) -> None:
    begun = NOW - timedelta(hours=2)
    for seconds in range(1, 101):
        writer.execute(
            "INSERT INTO generations (created_at, delivery_state, delivered_at) VALUES (%s, 'delivered', %s)",
            (begun, begun + timedelta(seconds=seconds)),
        )
    count_everything()
    times = health.look(VIEWER, Filter(), NOW).times
    assert times.samples == 100
    assert times.p50_s == pytest.approx(50, rel=0.075)
    assert times.p95_s == pytest.approx(95, rel=0.075)


def test_the_same_failure_in_other_numbers_is_one_group(writer: psycopg.Connection[Any]) -> None:
    for words in ("Timed out after 31 s for task_ab12", "Timed out after 7.5 s for task_cd34", "Other words"):
        writer.execute(
            "INSERT INTO generations (created_at, delivery_state, failure_code, failure_message, model)"
            " VALUES (%s, 'failed', '500', %s, 'x/y')",
            (NOW - timedelta(hours=1), words),
        )
    lines = health.look(VIEWER, Filter(), NOW).failures
    assert [(line.n, line.message) for line in lines] == [
        (2, "Timed out after <n> s for <id>"),
        (1, "Other words"),
    ]
