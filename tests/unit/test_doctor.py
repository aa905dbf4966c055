"""How doctor judges clocks."""

from datetime import UTC, datetime, timedelta

import pytest

from core.configuration.of_the_database import clock_verdict

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "good", "warning", "words"),
    [
        (0, 0.1, True, False, "agree"),
        (-3, 3, True, False, "agree"),  # a slow way to the database proves nothing
        (1.5, 1.6, True, False, "agree"),
        (12, 12.1, True, True, "12 s ahead of the database"),
        (-12.1, -12, True, True, "12 s behind the database"),
        (90, 90.1, False, False, "90 s ahead of the database"),
        (-7200.1, -7200, False, False, "7,200 s behind the database"),
    ],
)
def test_two_clocks(before: float, after: float, good: bool, warning: bool, words: str) -> None:
    found = clock_verdict(NOW + timedelta(seconds=before), NOW, NOW + timedelta(seconds=after))
    assert (found.good, found.warning, words in found.message) == (good, warning, True), found.message
