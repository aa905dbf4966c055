"""Numbers and moments in the words of a person."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pages.components import formats, times

NOW = datetime(2026, 11, 20, 17, 35, 10, tzinfo=UTC)


def plain(text: str) -> str:
    """With spaces that may break, as they are typed."""
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (None, "–"),
        (Decimal(0), "$0.00"),
        (Decimal("0.03"), "$0.03"),
        (Decimal("0.0250"), "$0.025"),
        (Decimal("0.0004"), "$0.0004"),
        (Decimal("0.00004"), "$0.00"),
        (Decimal("1.27"), "$1.27"),
        (Decimal("1.2"), "$1.20"),
        (Decimal("1234.5"), "$1,234.50"),
        (Decimal("-0.55"), "−$0.55"),
    ],
)
def test_money(usd: Decimal | None, said: str) -> None:
    assert formats.money(usd) == said


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (None, "–"),
        (Decimal(0), "$0.00"),
        (Decimal("0.1050"), "$0.11"),
        (Decimal("2.1050"), "$2.11"),
        (Decimal("197.8950"), "$197.90"),
        (Decimal("0.0250"), "$0.03"),
        (Decimal("0.0004"), "$0.0004"),  # less than a cent, and not nothing
        (Decimal("-0.555"), "−$0.56"),
    ],
)
def test_sums_are_told_to_the_cent(usd: Decimal | None, said: str) -> None:
    assert formats.total(usd) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.982, "98.2 %"),
        (0.98, "98.0 %"),
        (0.9999, "99.9 %"),  # not all of it, so never 100 %
        (0.0004, "0.0 %"),
        (2 / 3, "66.6 %"),
    ],
)
def test_percent(share: float | None, said: str) -> None:
    assert plain(formats.percent(share)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0002, "1 ms"),
        (0.04, "40 ms"),
        (0.099, "0.1 s"),
        (0.43, "0.4 s"),
        (2.0, "2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (41, "41 s"),
        (59.6, "1 min"),
        (190, "3 min 10 s"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (86_400 * 3 + 4 * 3_600, "3 d 4 h"),
    ],
)
def test_duration(seconds: float | None, said: str) -> None:
    assert plain(formats.duration(seconds)) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "–"),
        (0, "0 B"),
        (384, "384 B"),
        (250_000, "250 KB"),
        (999_600, "1.0 MB"),
        (1_234_567, "1.2 MB"),
        (300_000_000, "300 MB"),
        (5_400_000_000, "5.4 GB"),
        (7 * 10**15, "7000 TB"),
    ],
)
def test_size(number: int | None, said: str) -> None:
    assert plain(formats.size(number)) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 deliveries"), (1, "1 delivery"), (1234, "1,234 deliveries")]
)
def test_counted(number: int, said: str) -> None:
    assert plain(formats.counted(number, "delivery", "deliveries")) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "short"),
        ("two\n lines", "two lines"),
        ("a quick brown fox jumps", "a quick brown…"),
        ("x" * 40, "x" * 17 + "…"),
    ],
)
def test_excerpt(text: str, said: str) -> None:
    assert formats.excerpt(text, 18) == said


@pytest.mark.parametrize(
    ("before_s", "said"),
    [
        (0, "just now"),
        (1.9, "just now"),
        (-1, "just now"),
        (12.4, "12 s ago"),
        (190, "3 min ago"),
        (3_599, "59 min ago"),
        (7_500, "2 h ago"),
        (86_400 * 2.5, "2 d ago"),
        (-20, "in 20 s"),
    ],
)
def test_ago(before_s: float, said: str) -> None:
    assert plain(times.ago(NOW - timedelta(seconds=before_s), NOW)) == said


def test_never() -> None:
    assert times.ago(None, NOW) == "never"
    assert times.ago_html(None, NOW, UTC) == "never"


def test_the_exact_time_is_the_viewers() -> None:
    berlin = times.zone("Europe/Berlin")
    assert times.exact(NOW, berlin) == "20 Nov 2026, 18:35:10 CET"
    assert times.clock_time(NOW, berlin) == "18:35:10"
    assert times.ago_html(NOW, NOW, berlin) == (
        '<time class="so-time" datetime="2026-11-20T17:35:10+00:00"'
        ' title="20 Nov 2026, 18:35:10 CET">just now</time>'
    )


@pytest.mark.parametrize("name", [None, "", "Nowhere/Land", "../etc/passwd"])
def test_an_unknown_zone_is_utc(name: str | None) -> None:
    assert times.zone(name) is UTC
