"""How numbers compare with what they were, in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.deliveries.cells import Counts
from core.deliveries.health import Health, Times, UnderWay
from core.deliveries.moments import Moment
from core.deliveries.windows import Filter
from pages.components import trends

NOW = datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)
NONE = Counts()
HEALTH = Health(
    as_of=NOW,
    filter=Filter("7d"),
    windows={"24h": NONE, "7d": Counts(lost=5, failed=2), "30d": NONE},
    before={"7d": Counts(lost=2, failed=2)},
    bars=(),
    models=(),
    failures=(),
    times=Times(None, None, 0),
    times_before=None,
    under_way=UnderWay(1_250, 0, 0, None),
    moment_before=Moment(NOW - timedelta(days=7, minutes=34), 1_000, 3),
    being_counted=frozenset(),
    behind=False,
    rolled_at=None,
    any_generation=True,
)


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (Counts(delivered=99, failed=1), Counts(delivered=90, failed=10), "↗ 9.0 points better"),
        (Counts(delivered=90, failed=10), Counts(delivered=99, failed=1), "↘ 9.0 points worse"),
        (Counts(delivered=9, failed=1), Counts(delivered=90, failed=10), "→ as before"),
        (Counts(delivered=9), NONE, trends.NOTHING),
        (None, Counts(delivered=9), trends.NOTHING),
    ],
)
def test_a_rate(now: Counts | None, before: Counts, said: str) -> None:
    assert trends.rate(now, before) == said


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (Times(40, 90, 9), Times(50, 90, 9), "↘ 10\u00a0s quicker, p95 → as before"),
        (Times(50, 150, 9), Times(40, 90, 9), "↗ 10\u00a0s slower, p95 ↗ 1\u00a0min slower"),
        (Times(50, 90, 9), Times(50, 90, 9), "→ as before"),
        (Times(50, 90, 9), Times(None, None, 0), trends.NOTHING),
        (Times(50, 90, 9), None, trends.NOTHING),
    ],
)
def test_a_time_that_falls_is_quicker(now: Times, before: Times | None, said: str) -> None:
    assert trends.times(now, before) == said


def test_what_was_begun_is_compared_with_the_window_before() -> None:
    assert trends.begun(HEALTH, "lost") == "↗ 3 more than before"
    assert trends.begun(HEALTH, "failed") == "→ as before"
    assert trends.begun(replace(HEALTH, filter=Filter("30d")), "lost") == trends.NOTHING
    assert trends.begun(replace(HEALTH, being_counted=frozenset({"7d"})), "lost") == trends.NOTHING


def test_what_is_on_its_way_is_compared_with_the_moment_at_which_the_window_began() -> None:
    assert trends.under_way(HEALTH, "in_flight") == "↗ 250 more than 7\u00a0d ago"
    assert trends.under_way(HEALTH, "stuck") == "↘ 3 fewer than 7\u00a0d ago"
    young = replace(HEALTH, moment_before=Moment(NOW - timedelta(minutes=34), 1_250, 0))
    assert trends.under_way(young, "in_flight") == "→ as 1\u00a0h ago"
    assert trends.under_way(replace(HEALTH, moment_before=None), "stuck") == trends.NOTHING
