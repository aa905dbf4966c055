"""What delivery health compares its numbers with: the time before, and what was on its way."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from core.deliveries import health, moments, rollups, windows
from core.deliveries.windows import Filter
from tests.database.begun import BEGINS, NOW, VIEWER, count_everything, insert


@pytest.mark.parametrize("counted", [True, False])
def test_each_window_is_compared_with_as_long_a_time_before_it(
    writer: psycopg.Connection[Any], counted: bool
) -> None:
    insert(writer, 900, seed=5, days=62)
    if counted:
        count_everything()
    for chosen, known in (("24h", {"24h", "7d"}), ("7d", {"24h", "7d"}), ("30d", {"24h", "7d", "30d"})):
        found = health.look(VIEWER, Filter(chosen), NOW)
        assert set(found.before) == known
        for window, counts in found.before.items():
            until = BEGINS[window]
            rows = writer.execute(
                "SELECT delivery_state FROM generations WHERE created_at >= %s AND created_at < %s",
                (until - windows.WINDOWS[window], until),
            ).fetchall()
            wanted = Counter(state for (state,) in rows)
            assert (counts.delivered, counts.failed, counts.lost, counts.needs_attention) == tuple(
                wanted[state] for state in ("delivered", "failed", "lost", "needs_attention")
            )
        if counted:
            assert found.times_before is not None
            assert found.times_before.samples == found.before[chosen].delivered > 0
        else:
            assert found.times_before is None


def test_what_was_on_its_way_is_written_down_once_an_hour(writer: psycopg.Connection[Any]) -> None:
    hour = NOW.replace(minute=0, second=0)
    look = Filter("24h")
    assert health.look(VIEWER, look, NOW).moment_before is None
    yesterday = hour - timedelta(hours=24)
    begin_some(writer, yesterday, image=3, video=2)
    for later in (timedelta(seconds=4), timedelta(minutes=50)):
        moments.record(yesterday + later)
        begin_some(writer, yesterday, image=1, video=0)
    moments.record(hour - timedelta(hours=5))
    writer.execute("UPDATE generations SET delivery_state = 'delivered', delivered_at = created_at")
    found = health.look(VIEWER, look, NOW).moment_before
    assert found == moments.Moment(yesterday, in_flight=5, stuck=3)
    films = health.look(VIEWER, look.but(kind="video"), NOW).moment_before
    assert films == moments.Moment(yesterday, in_flight=2, stuck=0)
    of_model = health.look(VIEWER, look.but(model="x/y"), NOW).moment_before
    assert of_model == moments.Moment(yesterday, in_flight=0, stuck=0)
    writer.execute("DELETE FROM generations")
    moments.record(NOW)
    count_everything()
    younger = health.look(VIEWER, look, NOW + timedelta(hours=19)).moment_before
    assert younger == moments.Moment(hour - timedelta(hours=5), in_flight=7, stuck=7)
    nothing = health.look(VIEWER, look, NOW + timedelta(hours=24)).moment_before
    assert nothing == moments.Moment(hour, in_flight=0, stuck=0)
    moments.record(NOW + rollups.KEPT + timedelta(hours=1))
    assert writer.execute("SELECT count(*) FROM delivery_rollup WHERE measure = 'moment'").fetchone() == (1,)


def begin_some(writer: psycopg.Connection[Any], at: datetime, *, image: int, video: int) -> None:
    """Generations that are on their way, for fifteen minutes: an image is stuck by then, a film is not."""
    for kind, many in (("image", image), ("video", video)):
        writer.execute(
            "INSERT INTO generations (kind, model, created_at, submitted_at, delivery_state)"
            " SELECT %s, 'some/' || %s, %s, %s, 'awaiting_provider' FROM generate_series(1, %s)",
            (kind, kind, at - timedelta(minutes=15), at - timedelta(minutes=15), many),
        )


def test_counting_everything_anew_keeps_what_was_on_its_way(writer: psycopg.Connection[Any]) -> None:
    begin_some(writer, NOW - timedelta(hours=3), image=2, video=0)
    moments.record(NOW - timedelta(hours=3))
    count_everything()
    writer.execute("INSERT INTO delivery_dirty_hours (hour) VALUES ('-infinity')")
    count_everything()
    found = health.look(VIEWER, Filter(), NOW).moment_before
    assert found is not None
    assert found.in_flight == 2
