"""The numbers of delivery health equal the rows that they open, whatever has been counted already."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from core.deliveries import cells, health, windows
from core.deliveries.windows import Filter
from tests.database.begun import EVERY, NOW, VIEWER, by_hand, check, count_everything, insert


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


def test_one_whose_clock_is_ahead_counts_in_the_hour_that_has_begun(writer: psycopg.Connection[Any]) -> None:
    for minutes in (20, 30):
        writer.execute(
            "INSERT INTO generations (created_at, delivery_state) VALUES (%s, 'delivered')",
            (NOW + timedelta(minutes=minutes),),
        )
    assert check(Filter("24h", state="delivered")) == 1
    count_everything()
    assert check(Filter("24h", state="delivered")) == 1


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
