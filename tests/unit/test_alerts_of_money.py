"""When money, trainings, storage and channels are wrong enough for an alert, and how that is told."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.alerts import messages, policy, words
from core.alerts.models import Group, Kind, Money, Orphan, Severity, Training
from core.budget.policy import Due
from core.budget.views import Credits, Unpriced
from core.notifications.channels import Channel
from core.notifications.service import Outcome, Standing
from core.usage import Line, Snapshot
from pages.navigation import PAGES
from tests.unit.generations import ID, NOW
from tests.unit.test_alerts import an_alert

D = Decimal
NOVEMBER = date(2026, 11, 1)
DAY = timedelta(days=1)


def money(**changes: Any) -> list[Kind]:
    known: dict[str, Any] = {
        "dues": (),
        "failures": 1,
        "failures_usd": D(0),
        "ended_usd": D(0),
        "month": NOVEMBER,
        **changes,
    }
    return [cause.kind for cause in policy.of_money(Money(**known))]


@pytest.mark.parametrize(
    ("failed", "ended", "alarmed"),
    [
        ("0", "0", False),
        ("9.99", "10", False),
        ("10", "50", False),
        ("10.01", "50", True),
        ("40", "199", True),
    ],
)
def test_the_cost_of_failures(failed: str, ended: str, alarmed: bool) -> None:
    assert money(failures_usd=D(failed), ended_usd=D(ended)) == ([Kind.FAILURE_COST] if alarmed else [])


@pytest.mark.parametrize(
    ("usd", "days", "alarmed"),
    [
        ("500", None, False),
        ("500", 3.0, False),
        ("500", 2.9, True),
        ("4.99", None, True),
        ("4.99", 90.0, True),
    ],
)
def test_few_credits(usd: str, days: float | None, alarmed: bool) -> None:
    left = Credits(D(usd) * 200, NOW, D(usd), days)
    assert money(credits=left) == ([Kind.LOW_CREDITS] if alarmed else [])


def test_thresholds_are_told_once_the_worst_first() -> None:
    dues = tuple(Due(what, "trainings", NOVEMBER, D(100)) for what in ("half", "alert", "full", "forecast"))
    causes = policy.of_money(
        Money(dues, 0, D(0), D(0), NOVEMBER, unpriced=(Unpriced("kie/veo-9", NOVEMBER),))
    )
    assert [cause.kind for cause in causes] == [
        Kind.BUDGET_FULL,
        Kind.BUDGET_ALERT,
        Kind.BUDGET_FORECAST,
        Kind.UNKNOWN_PRICE,
        Kind.BUDGET_HALF,
    ]
    assert [cause.once for cause in causes] == [True, True, True, False, True]


def training(**changes: Any) -> list[tuple[Kind, Severity]]:
    known: dict[str, Any] = {
        "completed": 20, "failed": 0, "silent": Group(0), "images_came": 100, "images_lost": 0, **changes,
    }  # fmt: skip
    return [(cause.kind, cause.severity) for cause in policy.of_trainings(Training(**known))]


@pytest.mark.parametrize(
    ("completed", "failed", "alarmed"),
    [(0, 9, False), (9, 1, False), (8, 2, True), (90, 10, False), (89, 11, True), (0, 0, False)],
)
def test_the_success_of_trainings(completed: int, failed: int, alarmed: bool) -> None:
    kinds = [kind for kind, _ in training(completed=completed, failed=failed)]
    assert kinds == ([Kind.TRAINING_SUCCESS] if alarmed else [])


@pytest.mark.parametrize(
    ("came", "lost", "alarmed"), [(0, 19, False), (99, 1, False), (98, 2, True), (0, 20, True), (0, 0, False)]
)
def test_the_download_of_images(came: int, lost: int, alarmed: bool) -> None:
    kinds = [kind for kind, _ in training(images_came=came, images_lost=lost)]
    assert kinds == ([Kind.IMAGE_DOWNLOADS] if alarmed else [])


def test_a_silent_training_and_a_pod_of_nobody() -> None:
    assert training(silent=Group(1, (ID,), NOW)) == [(Kind.TRAININGS_SILENT, Severity.CRITICAL)]
    runs = Orphan("pod1", D("2.89"), None)
    ended = Orphan("pod2", D(0), NOW)
    assert training(orphans=(runs, ended)) == [(Kind.ORPHAN_PODS, Severity.CRITICAL)]
    assert training(orphans=(ended,)) == [(Kind.ORPHAN_PODS, Severity.WARNING)]


def test_test_images_that_nobody_judges_are_a_reminder() -> None:
    assert training(unjudged=Group(2, (ID,), NOW)) == [(Kind.VERDICT_WAITING, Severity.NOTICE)]


def stored(gigabytes: float, days_ago: float) -> Snapshot:
    size = int(gigabytes * 10**9)
    return Snapshot(NOW - days_ago * DAY, (Line("generations", "films", 1, size),))


@pytest.mark.parametrize(
    ("sizes", "alarmed"),
    [
        ([], False),
        ([(100, 0)], False),
        ([(100, 7), (125, 0)], True),
        ([(100, 7), (124, 0)], False),
        ([(10, 7), (29, 0)], False),
        ([(10, 7), (31, 0)], True),
        ([(1, 30), (100, 6), (110, 0)], False),
        ([(500, 7), (100, 0)], False),
    ],
)
def test_the_growth_of_what_is_stored(sizes: list[tuple[float, float]], alarmed: bool) -> None:
    causes = policy.of_storage([stored(size, ago) for size, ago in sizes])
    assert [cause.kind for cause in causes] == ([Kind.STORAGE_GROWTH] if alarmed else [])


def standing(state: str | None, attempts: int = 1, fault: str | None = None) -> Standing:
    channel = Channel("c1", "Slack, address 1", False, fault, "slack://secret")
    last = None if state is None else Outcome("Slack", state, attempts, "503", None, None)
    return Standing(channel, last)


@pytest.mark.parametrize(
    ("one", "alarmed"),
    [
        (standing(None), False),
        (standing("sent", 5), False),
        (standing("waiting", 2), False),
        (standing("waiting", 3), True),
        (standing("failed", 7), True),
        (standing(None, fault="Address 1 of ALERT_URLS is none."), True),
    ],
)
def test_a_broken_channel(one: Standing, alarmed: bool) -> None:
    causes = policy.of_channels([one])
    assert [cause.kind for cause in causes] == ([Kind.BROKEN_CHANNEL] if alarmed else [])
    assert "secret" not in str(causes)


@pytest.mark.parametrize(
    ("kind", "evidence", "said"),
    [
        (
            Kind.BUDGET_FORECAST,
            {"scope": "trainings", "month": "2026-11", "mark_usd": "200.00", "on": "2026-11-28"},
            "November's trainings will likely reach $200.00 on 28 November",
        ),
        (
            Kind.BUDGET_ALERT,
            {"scope": "trainings", "month": "2026-11", "mark_usd": "150.00"},
            "November's trainings have cost $150.00",
        ),
        (
            Kind.LOW_CREDITS,
            {"usd": "3.50", "days_left": 1.2},
            "KIE has $3.50 of credits left, enough for 1.2 days",
        ),
        (
            Kind.ORPHAN_PODS,
            {"running": 1, "usd_per_hour": "2.89"},
            "1 pod runs for no training, $2.89 an hour",
        ),
        (
            Kind.VIDEO_SUCCESS,
            {"delivered": 97, "finished": 100},
            "Only 97.0 % of the last 100 films were delivered",
        ),
        (Kind.TRAINING_SUCCESS, {}, "Only 0 % of the last 30 days' 0 trainings were completed"),
    ],
)
def test_what_is_told(kind: Kind, evidence: dict[str, Any], said: str) -> None:
    assert (
        words.headline(an_alert(kind, "trainings 2026-11 $150.00", evidence)).replace("\u00a0", " ") == said
    )


def test_a_message_names_the_worst_first_and_counts_the_rest() -> None:
    alerts = [an_alert(Kind.STUCK, severity=Severity.WARNING) for _ in range(12)]
    alerts.append(an_alert(Kind.LOST_RESULTS, evidence={"ids": [str(ID)]}, count=1))
    title, body = messages.of(alerts, "https://ops.example.com/")
    assert title == "Studio Ops: 1 result lost, and 12 more"
    assert body.startswith("Critical: 1 result lost\n")
    assert f"https://ops.example.com/debug_sync?q={ID}" in body
    assert "And 3 more." in body
    assert body.endswith("All that is open: https://ops.example.com/alerts")
    assert "\u00a0" not in title + body


def test_evidence_is_a_page_that_there_is() -> None:
    known = {entry.url_path for entry in PAGES} | {""}
    assert {one.page for one in words.WORDS.values()} <= known
