"""When something is wrong enough for an alert: a row for each threshold."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.alerts import policy, words
from core.alerts.models import Alert, Facts, Group, Kind, Severity
from core.work import runs
from pages.components import alerts
from tests.unit.generations import ID, NOW

H, M, S = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
NONE = Group(0)
WELL = Facts(lost=NONE, expiring=NONE, stuck=NONE, storage=(), delivered=100, finished=100)


def kinds(**changes: object) -> list[Kind]:
    found = policy.of_deliveries(replace(WELL, **changes), NOW)  # type: ignore[arg-type]
    return [cause.kind for cause in found]


@pytest.mark.parametrize(
    ("left", "alarmed"),
    [
        pytest.param(6 * H + S, False, id="more than six hours"),
        pytest.param(6 * H, False, id="six hours"),
        pytest.param(6 * H - S, True, id="less"),
        pytest.param(S, True, id="a second"),
        pytest.param(-S, True, id="it should be gone by now, and nobody has looked yet"),
    ],
)
def test_the_rescue_clock(left: timedelta, alarmed: bool) -> None:
    assert kinds(expiring=Group(1, (ID,), NOW + left)) == ([Kind.RESCUE_CLOCK] if alarmed else [])


@pytest.mark.parametrize(
    ("delivered", "finished", "alarmed"),
    [
        pytest.param(0, 0, False, id="nothing yet"),
        pytest.param(0, 49, False, id="too few to say"),
        pytest.param(48, 50, True, id="96 % of enough"),
        pytest.param(49, 50, False, id="just 98 %"),
        pytest.param(1959, 2000, True, id="just below"),
        pytest.param(1960, 2000, False, id="98 % of many"),
    ],
)
def test_the_success_rate(delivered: int, finished: int, alarmed: bool) -> None:
    assert kinds(delivered=delivered, finished=finished) == ([Kind.SUCCESS_RATE] if alarmed else [])


@pytest.mark.parametrize(("count", "alarmed"), [(0, False), (4, False), (5, True), (500, True)])
def test_stuck_ones_are_an_alert_when_they_are_many(count: int, alarmed: bool) -> None:
    assert kinds(stuck=Group(count, (ID,), NOW - H)) == ([Kind.STUCK] if alarmed else [])


def test_one_lost_result_is_enough_and_many_are_one_alert() -> None:
    assert kinds(lost=Group(1, (ID,), NOW)) == [Kind.LOST_RESULTS]
    assert kinds(lost=Group(700, (ID,), NOW)) == [Kind.LOST_RESULTS]


def test_a_storage_that_refuses_for_two_reasons_is_two_alerts() -> None:
    groups = tuple(Group(3, (ID,), NOW, subject) for subject in ("The bucket is missing.", "Wrong key."))
    found = policy.of_deliveries(replace(WELL, storage=groups), NOW)
    assert [(cause.kind, cause.subject, cause.count) for cause in found] == [
        (Kind.STORAGE_REFUSING, "The bucket is missing.", 3),
        (Kind.STORAGE_REFUSING, "Wrong key.", 3),
    ]


def test_the_worst_come_first_and_name_their_rows() -> None:
    group = Group(9, (ID,), NOW)
    found = policy.of_deliveries(Facts(group, group, group, (group,), 1, 100), NOW)
    assert [cause.severity for cause in found] == [Severity.CRITICAL] * 3 + [Severity.WARNING] * 2
    assert found[0].evidence == {"ids": [str(ID)], "until": NOW.isoformat()}


LATELY, LONG_AGO = NOW - 59 * S, NOW - 60 * S


@pytest.mark.parametrize(
    ("clock", "worker", "up_for", "dead"),
    [
        pytest.param(LATELY, LATELY, H, [], id="both live"),
        pytest.param(LATELY, LONG_AGO, H, [Kind.DEAD_WORKER], id="no worker"),
        pytest.param(LONG_AGO, LATELY, H, [Kind.DEAD_CLOCK], id="no clock"),
        pytest.param(None, LATELY, H, [Kind.DEAD_CLOCK], id="never a clock"),
        pytest.param(LONG_AGO, LATELY, 59 * S, [], id="who looks has just started"),
        pytest.param(LONG_AGO, LATELY, 60 * S, [Kind.DEAD_CLOCK], id="and has been up for a minute"),
    ],
)
def test_who_is_missed(
    clock: datetime | None, worker: datetime | None, up_for: timedelta, dead: list[Kind]
) -> None:
    found = policy.of_machinery({"clock": clock, "worker": worker}, NOW - up_for, NOW)
    assert [cause.kind for cause in found] == dead


def test_every_kind_is_found_by_somebody_and_told() -> None:
    found = {*policy.OF_DELIVERIES, *policy.OF_MACHINERY.values(), *policy.OF_MONEY, *policy.OF_TRAININGS}
    found |= {*policy.OF_TOTALS, *policy.OF_LIBRARY, *policy.OF_JOBS}
    assert found | {Kind.STORAGE_GROWTH, Kind.BROKEN_CHANNEL} == set(Kind)
    assert set(Kind) == set(alerts.ICONS) == set(words.WORDS)
    assert set(policy.OF_MACHINERY) == set(runs.ROLES)


def an_alert(kind: Kind, subject: str = "", evidence: dict[str, Any] | None = None, **more: Any) -> Alert:
    known = {"severity": Severity.CRITICAL, "count": 3, "opened_at": NOW, "last_seen_at": NOW, "once": False}
    acknowledged = ("acknowledged_at", "acknowledged_by", "acknowledged_by_id", "note")
    rest = dict.fromkeys((*acknowledged, "resolved_at", "notified_at", "message_key"))
    values: dict[str, Any] = {**known, **rest, **more}
    return Alert(id=UUID(int=1), kind=kind, subject=subject, evidence=evidence or {}, **values)


def test_an_alert_is_told_in_words() -> None:
    evidence = {"ids": [str(ID)], "expires_at": (NOW + H).isoformat(), "delivered": 40, "finished": 50}
    for kind in Kind:
        alert = an_alert(kind, "<b>", evidence)
        assert "_" not in words.headline(alert)
        detail = alerts.detail_html(alert, NOW + M, NOW.tzinfo)  # type: ignore[arg-type]
        assert "<b>" not in detail
        assert ("&lt;b&gt;" in detail) == (kind is Kind.STORAGE_REFUSING)
        assert "59\u00a0min" in detail
