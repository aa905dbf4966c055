"""The limiter in Postgres: the rate holds for everybody together, and the urgent go first."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from core import database
from core.deliveries import following
from core.work import limiter
from core.work.limiter import HORIZON_S, Limit, Places, Priority, reserve

LIMIT = Limit("test:calls", 10.0)


@pytest.fixture
def lines(_connected: None) -> None:
    """A database in which nobody has called anything yet."""
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM provider_limits")


def behind(seconds: float, key: str = LIMIT.key) -> None:
    """Let the line for this limit be so long."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO provider_limits (key, per_second, next_free_at)"
            " VALUES (%s, 10, clock_timestamp() + %s * interval '1 s')"
            " ON CONFLICT (key) DO UPDATE SET next_free_at = EXCLUDED.next_free_at",
            (key, seconds),
        )


def line_s() -> float:
    """How long the line is now, in seconds."""
    with database.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT extract(epoch FROM next_free_at - clock_timestamp())::float FROM provider_limits"
            " WHERE key = %s",
            (LIMIT.key,),
        )
        return float(found.scalar_one())


def test_the_first_call_goes_at_once_and_the_others_evenly_after_it(lines: None) -> None:
    places = reserve(LIMIT, 5, Priority.POLL)
    assert len(places) == 5
    assert places.delays_s[0] <= 0.001
    gaps = [b - a for a, b in zip(places.delays_s, places.delays_s[1:], strict=False)]
    assert gaps == pytest.approx([0.1] * 4)


def test_places_are_handed_out_once(lines: None) -> None:
    first, second = reserve(LIMIT, 3, Priority.POLL), reserve(LIMIT, 1, Priority.POLL)
    assert second.delays_s[0] > first.delays_s[-1]


def test_what_was_not_used_is_not_saved_up(lines: None) -> None:
    behind(-3600)
    assert reserve(LIMIT, 50, Priority.SYNC).delays_s[-1] > 4.8


@pytest.mark.parametrize("priority", Priority)
def test_a_caller_looks_as_far_ahead_as_its_urgency_allows(lines: None, priority: Priority) -> None:
    places = reserve(LIMIT, 1000, priority)
    assert len(places) == int(HORIZON_S[priority] * LIMIT.per_second) + 1
    assert places.delays_s[-1] <= HORIZON_S[priority] + 0.001
    assert reserve(LIMIT, 1, priority) == Places(())


@pytest.mark.parametrize(
    ("seconds", "served"),
    [
        (0.0, [Priority.SYNC, Priority.CALLBACK, Priority.POLL, Priority.PLAN]),
        (1.0, [Priority.SYNC, Priority.CALLBACK, Priority.POLL]),
        (2.0, [Priority.SYNC, Priority.CALLBACK]),
        (4.0, [Priority.SYNC]),
        (6.0, []),
    ],
)
def test_while_the_line_is_long_only_the_urgent_get_a_place(
    lines: None, seconds: float, served: list[Priority]
) -> None:
    found = []
    for priority in Priority:
        behind(seconds)
        if len(reserve(LIMIT, 1, priority)):
            found.append(priority)
    assert found == served


def test_a_refusal_does_not_lengthen_the_line(lines: None) -> None:
    behind(10)
    for _ in range(20):
        assert not len(reserve(LIMIT, 5, Priority.POLL))
    assert 9 < line_s() <= 10


def turned_away(seconds: float) -> None:
    """Let whoever was turned away have been so for so long."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE provider_limits SET waiting = jsonb_build_object('poll',"
            " clock_timestamp() - %s * interval '1 s')",
            (seconds,),
        )


@pytest.mark.parametrize(("seconds", "granted"), [(limiter.PATIENCE_S - 1, 0), (limiter.PATIENCE_S + 1, 1)])
def test_who_was_turned_away_for_long_gets_a_place_behind_the_others(
    lines: None, seconds: float, granted: int
) -> None:
    behind(4)
    assert not len(reserve(LIMIT, 5, Priority.POLL))
    turned_away(seconds)
    places = reserve(LIMIT, 5, Priority.POLL)
    assert len(places) == granted
    if granted:
        assert places.delays_s[0] > 3.9
        assert not len(reserve(LIMIT, 5, Priority.POLL)), "its patience begins anew"
        assert not len(reserve(LIMIT, 5, Priority.PLAN)), "another's is its own"


def test_a_flood_of_urgent_calls_starves_nobody(lines: None) -> None:
    """A minute of people who take every place: a poll gets through again and again."""
    served = 0
    for _ in range(6):
        behind(4)
        assert not len(reserve(LIMIT, 1, Priority.POLL))
        turned_away(limiter.PATIENCE_S + 0.1)
        served += len(reserve(LIMIT, 20, Priority.POLL))
        behind(4)
        assert len(reserve(LIMIT, 1, Priority.SYNC)) == 1
    assert served == 6


def test_twenty_callers_at_once_stay_under_the_rate_together(lines: None) -> None:
    barrier = threading.Barrier(20)

    def call() -> Places:
        barrier.wait(10)
        return reserve(LIMIT, 2, Priority.SYNC)

    with ThreadPoolExecutor(20) as pool:
        granted = [done.result() for done in [pool.submit(call) for _ in range(20)]]
    assert sum(len(places) for places in granted) == 40
    assert 3.0 < line_s() <= 4.0


def test_each_key_has_its_own_line(lines: None) -> None:
    behind(10)
    assert len(reserve(Limit("test:others", 10.0), 1, Priority.PLAN)) == 1


def test_an_operators_own_figure_stays(lines: None) -> None:
    reserve(LIMIT, 1, Priority.POLL)
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE provider_limits SET per_second = %s, next_free_at = now()", (Decimal("2"),)
        )
    assert len(reserve(Limit(LIMIT.key, 50.0), 100, Priority.POLL)) == 4
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT per_second FROM provider_limits").scalar_one() == 2


def test_kies_limits_are_those_of_its_documents() -> None:
    """At most 10 queries a second, 20 creates in 10 s (both with a little left for clocks that drift)."""
    assert 9 <= limiter.READS["kie"].per_second < 10
    assert 1.8 <= limiter.CREATES["kie"].per_second < 2
    assert limiter.READS["kie"].key != limiter.CREATES["kie"].key
    rate = limiter.READS["kie"].per_second
    polls_ahead = min(following.POLL_CHUNK, limiter.HORIZON_S[Priority.POLL] * rate + 1)
    assert limiter.HORIZON_S[Priority.SYNC] * rate > polls_ahead
