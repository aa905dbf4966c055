"""Limits, overrides and prices, each with its history; and lines as pages and files read them."""

import uuid
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core import access, database
from core.access import Actor, Role
from core.budget import controls, fold, prices, rates, service, views
from core.budget import ledger as lines
from core.budget.ledger import Filter
from core.budget.models import (
    DELIVERIES,
    EVERYTHING,
    NO_LIMIT,
    TRAININGS,
    BudgetExceeded,
)
from core.budget.rates import Rate
from core.errors import Conflict, InvalidInput, NotAllowed
from tests.database import ledger
from tests.database.ledger import NOW, delivery, line_of, reserve, settle, sql

ADA = access.command_line("ada")
MIA = Actor("person", "mia", "Mia", frozenset({Role.PRODUCT}), "page")
NOVEMBER = date(2026, 11, 1)
D = Decimal


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    ledger.empty(sql)
    sql("DELETE FROM budget_limits WHERE set_by <> 'Studio Ops'")
    sql("DELETE FROM prices WHERE set_by IS NOT NULL")
    rates.forget()


# Limits, overrides, prices.


def test_a_limit_is_changed_by_a_further_row_and_holds_from_now_on() -> None:
    controls.set_limit(ADA, TRAININGS, D(300), D(250), "a busy month", NOW)
    now = views.position(ADA, NOW)
    assert (now.limit_usd, now.alert_usd) == (D(300), D(250))
    assert views.position(ADA, NOW - timedelta(seconds=1)).limit_usd == 200
    history = views.board(ADA, NOW).limits
    assert [(one.limit_usd, one.set_by, one.reason) for one in history] == [
        (D(300), "ada", "a busy month"),
        (D(200), "Studio Ops", None),
    ]
    with pytest.raises(Conflict, match="holds already"):
        controls.set_limit(ADA, TRAININGS, D(300), D(250), "again", NOW + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("scope", "limit", "alert", "field"),
    [
        (TRAININGS, "NaN", "1", "limit_usd"),
        (TRAININGS, "-1", "0", "limit_usd"),
        (TRAININGS, "100", "150", "alert_usd"),
        (TRAININGS, "1000000", "1", "limit_usd"),
        ("groceries", "100", "50", "scope"),
    ],
)
def test_a_limit_that_cannot_be_meant(scope: str, limit: str, alert: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        controls.set_limit(ADA, scope, D(limit), D(alert), "a slip", NOW)
    assert refused.value.field == field


def test_everything_can_have_a_limit_of_its_own() -> None:
    assert views.position(ADA, NOW, EVERYTHING).limit_usd == NO_LIMIT
    controls.set_limit(ADA, EVERYTHING, D(10), D(8), "a lean month", NOW)
    delivery("9")
    fold.run(NOW)
    with pytest.raises(BudgetExceeded, match=r"\$2.00 of the everything budget, and \$1.00 is left"):
        reserve("2")
    reserve("1")
    assert views.position(ADA, NOW, EVERYTHING).left_usd == 0


def test_a_month_that_is_over_is_shown_with_what_was_allowed_then() -> None:
    controls.override(ADA, uuid.uuid4(), TRAININGS, D(5), "a campaign", NOW + timedelta(days=90), NOW)
    later = NOW + timedelta(days=20)
    controls.set_limit(ADA, TRAININGS, D(300), D(250), "a busy month", later)
    stands = views.board(ADA, later, TRAININGS, NOVEMBER).position
    assert (stands.limit_usd, stands.alert_usd, stands.override_usd) == (D(205), D(150), D(5))
    assert views.board(ADA, later, TRAININGS).position.limit_usd == 300


def test_an_override_lets_more_through_until_it_ends() -> None:
    settle(reserve("199"), "199")
    with pytest.raises(BudgetExceeded):
        reserve("2")
    one = uuid.uuid4()
    for _ in range(2):
        controls.override(ADA, one, TRAININGS, D(5), "the launch on Friday", NOW + timedelta(hours=4), NOW)
    found = views.position(ADA, NOW)
    assert (found.limit_usd, found.override_usd, found.left_usd) == (D(205), D(5), D(6))
    reserve("2")
    assert views.position(ADA, NOW + timedelta(hours=4)).left_usd == D(-1)
    with pytest.raises(BudgetExceeded):
        reserve("2", now=NOW + timedelta(hours=4))
    controls.end_override(ADA, one, NOW + timedelta(hours=1))
    with pytest.raises(BudgetExceeded):
        reserve("2", now=NOW + timedelta(hours=2))
    with pytest.raises(Conflict, match="ended already"):
        controls.end_override(ADA, one, NOW + timedelta(hours=1))
    actions = sql(
        "SELECT action FROM audit_log WHERE action LIKE 'budget.override%%' ORDER BY id DESC LIMIT 2"
    )
    assert [row.action for row in actions] == ["budget.override_ended", "budget.override"]


def test_an_override_is_for_operations_and_has_a_reason_a_size_and_an_end() -> None:
    one, end = uuid.uuid4(), NOW + timedelta(days=1)
    with pytest.raises(NotAllowed, match="Mia may not change budgets"):
        controls.override(MIA, one, TRAININGS, D(5), "please", end, NOW)
    for amount, reason, until in (("0", "why", end), ("NaN", "why", end), ("5", "", end), ("5", "why", NOW)):
        with pytest.raises(InvalidInput):
            controls.override(ADA, one, TRAININGS, D(amount), reason, until, NOW)
    with pytest.raises(Conflict, match="Nothing limits deliveries"):
        controls.override(ADA, one, DELIVERIES, D(5), "why not", end, NOW)


def test_a_price_is_changed_by_a_further_row_of_operations_with_its_source() -> None:
    prices.set_price(ADA, "fal", "flux-lora", "megapixel", D("0.04"), "fal's page of today", NOW)
    held = {(line.price.service, line.price.unit_usd) for line in views.prices(ADA, NOW) if line.holds}
    assert ("flux-lora", D("0.040000")) in held
    with database.reading() as connection:
        assert prices.current(connection, "fal", "flux-lora", NOW - timedelta(seconds=1)).unit_usd == D(
            "0.035"
        )
    with pytest.raises(Conflict, match="costs that already"):
        prices.set_price(ADA, "fal", "flux-lora", "megapixel", D("0.04"), "again", NOW + timedelta(hours=1))
    with pytest.raises(NotAllowed):
        prices.set_price(MIA, "fal", "flux-lora", "megapixel", D("0.01"), "hers", NOW)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unit_usd": D("NaN")}, "unit_usd"),
        ({"unit_usd": D(0)}, "unit_usd"),
        ({"unit_usd": D("-0.01")}, "unit_usd"),
        ({"unit_usd": D("1e9")}, "unit_usd"),
        ({"provider": ""}, "provider"),
        ({"service": "x" * 81}, "service"),
        ({"source": "?"}, "source"),
    ],
)
def test_what_is_no_price(changes: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {
        "provider": "fal", "service": "s", "unit": "step", "unit_usd": D(1), "source": "a page", **changes,
    }  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        prices.set_price(ADA, **given, now=NOW)
    assert refused.value.field == field


def test_a_days_rate_of_credits_holds_whatever_the_price_says_later() -> None:
    other = Rate(D(9), "never")
    assert rates.of_kie(NOW, other).unit_usd == D("0.005")
    prices.set_price(ADA, "kie", "credit", "credit", D("0.006"), "KIE's letter", NOW + timedelta(minutes=1))
    rates.forget()
    assert rates.of_kie(NOW + timedelta(hours=5), other).unit_usd == D("0.005")
    tomorrow = rates.of_kie(NOW + timedelta(days=1), other)
    assert (tomorrow.unit_usd, tomorrow.version) == (D("0.006"), "kie/credit 2026-11-25")


def test_a_line_priced_by_its_family_is_flagged_until_there_is_a_price() -> None:
    delivery("1.1", flagged=True, note="No price", model="veo-9", user_id=str(uuid.uuid4()))
    fold.run(NOW)
    assert [one.key for one in views.unpriced(ADA, NOW)] == ["kie/veo-9"]
    [flagged] = lines.lines(ADA, Filter(NOVEMBER, DELIVERIES, flagged=True)).lines
    assert flagged.note == "No price"
    prices.set_price(ADA, "kie", "veo-9", "generation", D("0.8"), "KIE's page", NOW)
    assert views.unpriced(ADA, NOW) == ()


# Read.


def test_lines_are_paged_filtered_and_counted() -> None:
    user = uuid.uuid4()
    for n in range(120):
        delivery("0.01", at=NOW - timedelta(minutes=n), user_id=str(user) if n % 2 else None)
    key = reserve("2", user_id=user)
    settle(key, "2", "fal:1")
    service.correct(ADA, line_of("fal:1"), D(1), "a refund", NOW, "request-1")
    fold.run(NOW)

    def keys(**wanted: Any) -> list[str | None]:
        return [line.source_key for line in lines.every_line(ADA, Filter(NOVEMBER, **wanted))]

    assert len(keys(scope=DELIVERIES)) == len(set(keys(scope=DELIVERIES))) == 120
    assert len(keys(scope=EVERYTHING)) == 124
    assert len(keys(scope=EVERYTHING, user=user)) == 64
    assert keys(kind="correct") == ["correct:request-1"]
    assert keys(scope=EVERYTHING, provider="fal", kind="settle") == ["fal:1"]
    assert keys(scope=EVERYTHING, provider="nobody") == []
    assert keys(model="training", stage="training") == ["fal:1", "correct:request-1"] or keys(
        model="training", stage="training"
    ) == ["correct:request-1", "fal:1"]
    page = lines.lines(ADA, Filter(NOVEMBER, DELIVERIES))
    assert (len(page.lines), page.next_before is not None) == (50, True)
    counted = lines.counted(ADA, Filter(NOVEMBER, EVERYTHING, user=user))
    assert counted is not None
    assert (counted.lines, counted.settled_usd) == (64, D("1.6000"))
    assert lines.counted(ADA, Filter(NOVEMBER, EVERYTHING, user=user, kind="settle")) is None


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, 0),
        ({"scope": "everything", "month": "2026-02", "kind": "settle", "user": str(uuid.UUID(int=1))}, 0),
        ({"scope": "x", "month": "2026-13", "kind": "'; --", "user": "me", "run": "1", "model": ""}, 6),
        ({"provider": "a\x00b", "stage": "y" * 500, "flagged": "maybe"}, 3),
    ],
)
def test_a_filter_is_read_from_its_address(given: dict[str, str], faults: int) -> None:
    wanted, found = lines.read(given, NOW)
    assert len(found) == faults
    assert lines.read(wanted.query(), NOW) == (wanted, [])


def test_rare_lines_are_found_by_indexes_of_their_own() -> None:
    delivery("0.01", "kie:1", flagged=True, note="No price")
    delivery("0.02", "fal:1", provider="fal", at=NOW - timedelta(minutes=1))
    delivery("0.03", "fal:2", provider="fal", flagged=True, at=NOW - timedelta(minutes=2))
    settle(reserve("2"), "2", "fal:3")
    fold.run(NOW)

    def keys(**wanted: Any) -> set[str | None]:
        return {line.source_key for line in lines.every_line(ADA, Filter(NOVEMBER, **wanted))}

    assert keys(scope=DELIVERIES, provider="fal") == {"fal:1", "fal:2"}
    assert keys(scope=EVERYTHING, provider="fal", kind="settle") == {"fal:1", "fal:2", "fal:3"}
    assert keys(scope=EVERYTHING, flagged=True) == {"kie:1", "fal:2"}
    assert keys(scope=DELIVERIES, flagged=True, provider="fal") == {"fal:2"}
    assert keys(scope=TRAININGS, flagged=True) == set()
