"""What a window covers, what an address asks for, and from which pieces a span is put together."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.deliveries.windows import BARS, DAY, HOUR, WINDOWS, Counted, Filter, cover, read

NOW = datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)


def at(day: int, hour: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "since", "why"),
    [
        ("24h", NOW, at(24, 12), "the full hour 24 hours ago"),
        ("24h", at(25, 12), at(24, 12), "on the full hour, exactly 24 hours"),
        ("7d", NOW, at(18, 12), "the quarter of a day 7 days ago"),
        ("7d", at(25, 11), at(18, 6), "an earlier quarter in the morning"),
        ("30d", NOW, at(26, month=10), "the day (UTC) 30 days ago"),
        ("30d", at(25), at(26, month=10), "at midnight, exactly 30 days"),
    ],
)
def test_a_window_is_whole_bars(window: str, now: datetime, since: datetime, why: str) -> None:
    begin, end = Filter(window).span(now)
    assert begin == since, why
    assert end == now.replace(minute=0, second=0) + HOUR
    assert now - begin >= WINDOWS[window]
    assert now - begin < WINDOWS[window] + BARS[window]


@pytest.mark.parametrize(
    ("bar", "span"),
    [
        (at(25, 12), (at(25, 12), at(25, 13))),
        (at(24, 12), (at(24, 12), at(24, 13))),
        (at(24, 11), (at(24, 12), at(24, 12))),
        (at(26, 11), (at(24, 12), at(24, 12))),
    ],
    ids=["the hour that has begun", "the oldest", "before the window", "to come"],
)
def test_a_bar_is_cut_to_its_window(bar: datetime, span: tuple[datetime, datetime]) -> None:
    begin, end = Filter("24h", at=bar).span(NOW)
    assert (begin, end) == span or begin >= end


@pytest.mark.parametrize(
    ("window", "asked", "bar"),
    [
        ("24h", "2026-11-25T11:00Z", at(25, 11)),
        ("24h", "2026-11-25T11:59Z", at(25, 11)),
        ("7d", "2026-11-25T11:00Z", at(25, 6)),
        ("30d", "2026-11-25T11:00Z", at(25)),
    ],
)
def test_an_address_names_a_bar_by_any_time_in_it(window: str, asked: str, bar: datetime) -> None:
    found, faults = read({"window": window, "at": asked})
    assert (found.at, faults) == (bar, [])
    assert read(found.query()) == (found, [])


COUNTED = Counted(at(1), frozenset(), NOW)
# As an earlier version has counted: the day that has begun is not added up.
EARLIER = Counted(at(1), frozenset(), NOW, today=False)
HALF_A_DAY = [at(25) + n * HOUR for n in range(13)]


@pytest.mark.parametrize(
    ("since", "until", "counted", "days", "hours", "rows"),
    [
        pytest.param(at(23), at(25, 13), COUNTED, [at(23), at(24), at(25)], [], [], id="days, and today"),
        pytest.param(
            at(24), at(25, 13), EARLIER, [at(24)], HALF_A_DAY, [], id="today is not added up: its hours"
        ),
        pytest.param(
            at(24), at(25, 12), COUNTED, [at(24)], HALF_A_DAY[:12], [], id="today holds an hour too many"
        ),
        pytest.param(
            at(24, 12), at(25, 13), COUNTED, [at(25)], [at(24, 12) + n * HOUR for n in range(12)], [],
            id="hours up to the first whole day",
        ),
        pytest.param(
            at(24), at(24, 12), COUNTED, [], [at(24) + n * HOUR for n in range(12)], [], id="part of a day"
        ),
        pytest.param(
            at(24), at(25, 13), Counted(at(1), rolled_at=at(24, 20)), [at(24), at(25)], [], [],
            id="counted until yesterday: marks say what came since",
        ),
        pytest.param(
            at(24), at(24, 21), Counted(at(1), rolled_at=at(24, 20)), [at(24)], [], [],
            id="up to the hour of the last count",
        ),
        pytest.param(
            at(24, 11), at(24, 13), Counted(None), [], [], [(at(24, 11), at(24, 13))], id="nothing counted"
        ),
        pytest.param(
            at(24, 10), at(24, 13), Counted(at(1), frozenset({at(24, 11)}), NOW), [],
            [at(24, 10), at(24, 12)], [(at(24, 11), at(24, 12))], id="an hour with an unknown change",
        ),
        pytest.param(
            at(23), at(24, 2), Counted(at(24, 1), rolled_at=NOW), [], [at(24, 1)], [(at(23), at(24, 1))],
            id="what came before is not counted yet",
        ),
        pytest.param(at(24, 13), at(24, 12), COUNTED, [], [], [], id="nothing at all"),
    ],
)  # fmt: skip
def test_a_span_is_put_together(
    since: datetime,
    until: datetime,
    counted: Counted,
    days: list[datetime],
    hours: list[datetime],
    rows: list[tuple[datetime, datetime]],
) -> None:
    found = cover(since, until, counted, days=True)
    assert (list(found.days), list(found.hours), list(found.rows)) == (days, hours, rows)


def test_a_day_with_an_unknown_hour_is_put_together_from_its_hours() -> None:
    dirty = frozenset({at(23, 5), at(23, 9)})
    found = cover(at(22), at(24), Counted(at(1), dirty, NOW), days=True)
    assert found.days == (at(22),)
    assert len(found.hours) == 22
    assert found.rows == ((at(23, 5), at(23, 6)), (at(23, 9), at(23, 10)))


def test_pieces_touch_nowhere_and_leave_nothing_out() -> None:
    for days in (False, True):
        dirty = frozenset({at(20, 3), at(20, 4), at(24, 23)})
        since, until = Filter("30d").span(NOW)
        found = cover(since, until, Counted(at(5, 7), dirty, NOW), days=days)
        pieces = [(day, min(day + DAY, until)) for day in found.days]
        pieces += [(hour, hour + HOUR) for hour in found.hours]
        pieces = sorted([*pieces, *found.rows])
        assert [begin for begin, _ in pieces] == [since, *(end for _, end in pieces[:-1])]
        assert pieces[-1][1] == until


@pytest.mark.parametrize("window", list(WINDOWS))
def test_days_are_those_of_utc_wherever_somebody_looks(window: str) -> None:
    in_delhi = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Filter(window).span(in_delhi) == Filter(window).span(NOW)
