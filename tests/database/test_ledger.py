"""The ledger's lines: never changed, put right by further ones, counted once, whoever wrote them."""

import random
import string
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from core import access, database
from core.access import Actor, Role
from core.budget import fold, rates, service, views
from core.budget.models import (
    DELIVERIES,
    EVERYTHING,
    OTHER,
    TRAININGS,
    BudgetExceeded,
    Reservation,
)
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tests.database import ledger
from tests.database.ledger import NOW, delivery, line_of, reserve, settle, sql

ADA = access.command_line("ada")
MIA = Actor("person", "mia", "Mia", frozenset({Role.PRODUCT}), "page")
NOVEMBER = date(2026, 11, 1)
D = Decimal
# No compression makes it fit into an index's entry.
LONG = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    ledger.empty(sql)
    sql("DELETE FROM budget_limits WHERE set_by <> 'Studio Ops'")
    sql("DELETE FROM prices WHERE set_by IS NOT NULL")
    rates.forget()


def stands(scope: str = TRAININGS, now: datetime = NOW) -> tuple[str, str]:
    """Settled and reserved once everything is taken up, proven by the lines."""
    fold.run(now)
    found = views.position(ADA, now, scope)
    if scope != EVERYTHING:
        assert found == views.by_lines(ADA, now, scope)
    return f"{found.settled_usd:.4f}", f"{found.reserved_usd:.4f}"


# Append-only.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE job_costs SET amount_usd = 0",
        "UPDATE job_costs SET note = 'x' WHERE source_key = 'ours'",
        "DELETE FROM job_costs WHERE source_key = 'ours'",
        "DELETE FROM job_costs",
        "TRUNCATE job_costs",
        (
            "INSERT INTO job_costs (source_key, kind) VALUES ('ours', 'settle') ON CONFLICT (source_key)"
            " WHERE source_key IS NOT NULL DO UPDATE SET amount_usd = 1"
        ),
    ],
)
def test_a_line_of_ours_is_never_changed_and_the_refusal_says_how_to_correct(statement: str) -> None:
    settle(reserve("2"), "2", "ours")
    with pytest.raises(DBAPIError) as refused:
        sql(statement)
    assert "are never changed or deleted" in str(refused.value.orig)
    assert "press Correct" in str(refused.value.orig.diag.message_hint)  # type: ignore[union-attr]
    assert stands() == ("2.0000", "0.0000")


def test_lines_of_other_systems_stay_theirs_and_count() -> None:
    sql("INSERT INTO job_costs (service, amount_usd) VALUES ('runpod', 1.25), ('stripe', 3), ('kie', 0.5)")
    sql("INSERT INTO job_costs (service, amount_usd, lora_model_id) VALUES ('gpu', 1, gen_random_uuid())")
    now = datetime.now(UTC)
    assert [stands(scope, now)[0] for scope in (TRAININGS, OTHER, DELIVERIES, EVERYTHING)] == [
        "2.2500", "3.0000", "0.5000", "5.7500",
    ]  # fmt: skip
    sql("UPDATE job_costs SET amount_usd = 2 WHERE service = 'runpod'")
    sql("DELETE FROM job_costs WHERE service = 'stripe'")
    assert [stands(scope, now)[0] for scope in (TRAININGS, OTHER, EVERYTHING)] == [
        "3.0000",
        "0.0000",
        "3.5000",
    ]


@pytest.mark.parametrize(
    ("columns", "usd"),
    [
        ({"amount_usd": "NaN"}, "0.0000"),
        ({"amount_usd": None}, "0.0000"),
        ({"occurred_at": "infinity", "amount_usd": "1"}, "1.0000"),
        ({"occurred_at": "-infinity", "amount_usd": "1"}, "1.0000"),
        ({"kind": "refund", "amount_usd": "-0.5"}, "-0.5000"),
        ({"kind": "x" * 5000, "provider": "y" * 5000, "stage": "z" * 5000, "amount_usd": "1"}, "1.0000"),
        ({"service": LONG, "provider": LONG, "amount_usd": "1"}, "1.0000"),
        ({"user_id": str(uuid.uuid4()), "amount_usd": "1"}, "1.0000"),
    ],
)
def test_whatever_another_system_writes_is_let_in(columns: dict[str, Any], usd: str) -> None:
    values = {"service": "billing", **columns}
    sql(
        f"INSERT INTO job_costs ({', '.join(values)}) VALUES (%s{', %s' * (len(values) - 1)})",
        *values.values(),
    )
    now = datetime.now(UTC)
    fold.run(now)
    assert f"{views.position(ADA, now, OTHER).settled_usd:.4f}" == usd


# Corrections.


def test_a_correction_is_a_further_line_in_the_same_month() -> None:
    name = settle(reserve("2", lora_model_id=None), "2")
    later = NOW + timedelta(days=20)
    more = service.correct(ADA, line_of(name), D("1.4"), "the provider refunded it", later, "request-1")
    assert more == D("-0.6000")
    assert stands() == ("1.4000", "0.0000")
    assert stands(now=later) == ("0.0000", "0.0000")
    service.correct(ADA, line_of(name), D(0), "all of it", later, "request-2")
    assert stands() == ("0.0000", "0.0000")
    [entry] = sql("SELECT before, after, reason FROM audit_log WHERE object_id = %s AND reason = 'all of it'",
                  str(line_of(name)))  # fmt: skip
    assert (entry.before, entry.after) == ({"amount_usd": "1.4000"}, {"amount_usd": "0.0000"})


def test_a_correction_of_a_delivery_counts_too() -> None:
    delivery("0.5", "kie:1")
    service.correct(ADA, line_of("kie:1"), D("0.75"), "KIE's invoice says so", NOW, "request-1")
    assert stands(DELIVERIES) == ("0.7500", "0.0000")


def test_the_same_correction_twice_is_once() -> None:
    name = settle(reserve("2"), "2")
    for _ in range(2):
        service.correct(ADA, line_of(name), D(1), "a refund", NOW, "request-1")
    assert stands() == ("1.0000", "0.0000")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: _correct_or_not(name, f"{n}"), range(8)))
    assert stands() == ("0.2500", "0.0000")


def _correct_or_not(name: str, n: str) -> None:
    try:
        service.correct(ADA, line_of(name), D("0.25"), "by many at once", NOW, f"request-many-{n}")
    except Conflict:
        return


@pytest.mark.parametrize("amount", ["NaN", "-1", "Infinity", "1000000"])
def test_a_correction_to_no_amount_is_refused(amount: str) -> None:
    name = settle(reserve("2"), "2")
    with pytest.raises(InvalidInput):
        service.correct(ADA, line_of(name), D(amount), "a slip", NOW, "request-1")


def test_what_cannot_be_corrected_says_why() -> None:
    name = settle(reserve("2", "run:1"), "1.5")
    with pytest.raises(NotFound, match="There is no line"):
        service.correct(ADA, uuid.uuid4(), D(1), "nothing", NOW, "request-1")
    with pytest.raises(Conflict, match="a promise, not a cost"):
        service.correct(ADA, line_of("run:1"), D(1), "a reservation", NOW, "request-1")
    with pytest.raises(Conflict, match=r"stands at \$1.5000 already"):
        service.correct(ADA, line_of(name), D("1.5"), "nothing new", NOW, "request-1")
    service.correct(ADA, line_of(name), D(1), "once", NOW, "request-2")
    with pytest.raises(Conflict, match="Correct the line that it corrects"):
        service.correct(ADA, line_of("correct:request-2"), D(1), "twice", NOW, "request-3")
    with pytest.raises(NotAllowed, match="Mia may not change budgets"):
        service.correct(MIA, line_of(name), D(1), "not hers", NOW, "request-4")
    with pytest.raises(InvalidInput, match="Say why"):
        service.correct(ADA, line_of(name), D(1), " ", NOW, "request-5")


# Amounts and order.


@pytest.mark.parametrize("amount", ["0", "-2", "NaN", "Infinity", "100001", "0.00001"])
def test_what_is_no_amount_is_not_reserved(amount: str) -> None:
    with pytest.raises(InvalidInput):
        reserve(amount)
    assert stands() == ("0.0000", "0.0000")


@pytest.mark.parametrize("amount", ["-2", "NaN", "Infinity", "100001"])
def test_what_is_no_amount_is_not_settled(amount: str) -> None:
    key = reserve("2")
    with pytest.raises((InvalidInput, ArithmeticError)):
        settle(key, amount)
    assert stands() == ("0.0000", "2.0000")


def test_a_settle_without_a_reserve_is_named() -> None:
    with pytest.raises(NotFound, match="run:nobody"):
        settle("run:nobody", "1")


def test_a_release_after_the_settle_gives_nothing_back_twice() -> None:
    key = reserve("2")
    settle(key, "1.5")
    with database.transaction() as connection:
        service.release(connection, key, "late", NOW)
    assert stands() == ("1.5000", "0.0000")


def test_the_last_second_of_a_month_is_that_months() -> None:
    last, first = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    key = reserve("2", now=last)
    reserve("3", now=first)
    settle(key, "1.75", now=first + timedelta(hours=3))
    assert stands(now=last) == ("1.7500", "0.0000")
    assert stands(now=first) == ("0.0000", "3.0000")
    wanted = "dimension = 'all' AND grain = 'day' AND settled_usd > 0 AND scope = 'trainings'"
    [(day,)] = sql(f"SELECT start FROM cost_rollup WHERE {wanted}")
    assert day == date(2026, 11, 30)


def test_a_clock_that_jumps_back_settles_in_the_reservations_month() -> None:
    first = datetime(2026, 12, 1, 0, 0, 5, tzinfo=UTC)
    settle(reserve("2", now=first), "1.75", now=first - timedelta(days=3))
    assert stands(now=first) == ("1.7500", "0.0000")
    assert stands() == ("0.0000", "0.0000")
    wanted = "dimension = 'all' AND grain = 'day' AND settled_usd > 0 AND scope = 'trainings'"
    assert sql(f"SELECT start FROM cost_rollup WHERE {wanted}") == [(date(2026, 12, 1),)]


def test_a_leap_day_is_a_day_of_its_month() -> None:
    leap = datetime(2028, 2, 29, 12, tzinfo=UTC)
    settle(reserve("2", now=leap), "2", now=leap)
    assert stands(now=leap) == ("2.0000", "0.0000")


# Counted once.


def parts(scope: str, dimension: str) -> dict[str, str]:
    found = views.board(ADA, NOW, scope)
    rows = {"provider": found.providers, "stage": found.stages, "model": found.models, "user": found.users}
    return {part.key: f"{part.settled_usd:.2f}/{part.reserved_usd:.2f}" for part in rows[dimension]}


def test_parts_add_up_and_a_given_back_reservation_leaves_nothing() -> None:
    user = uuid.uuid4()
    key = reserve("5", user_id=user)
    settle(key, "2", close=False)
    delivery("0.5", user_id=str(user))
    fold.run(NOW)
    assert parts(TRAININGS, "provider") == {"fal": "2.00/3.00"}
    assert parts(TRAININGS, "user") == {str(user): "2.00/3.00"}
    assert parts(EVERYTHING, "provider") == {"fal": "2.00/3.00", "kie": "0.50/0.00"}
    with database.transaction() as connection:
        service.release(connection, key, "done", NOW)
    fold.run(NOW)
    assert parts(TRAININGS, "provider") == {"fal": "2.00/0.00"}
    assert views.board(ADA, NOW, EVERYTHING).months[0].settled_usd == D("2.5")


def test_changes_are_taken_up_once_by_many_jobs() -> None:
    for n in range(200):
        delivery("0.01", at=NOW - timedelta(hours=n % 300))
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: fold.run(NOW), range(6)))
    assert sum(taken) <= 200
    assert stands(DELIVERIES) == ("2.0000", "0.0000")
    assert sql("SELECT count(*) FROM cost_changes")[0][0] == 0


def test_a_rolled_back_line_is_not_counted() -> None:
    with database.transaction() as connection:
        service.reserve(connection, Reservation("run:9", D(2), "fal", "training"), NOW)
        connection.rollback()
    assert stands() == ("0.0000", "0.0000")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "close", "release", "correct", "foreign"]),
        st.integers(0, 5),
        st.decimals(D("0.0001"), D(60), places=4),
    ),
    max_size=25,
)


@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_whatever_happens_the_total_is_the_sum_of_the_lines_and_never_negative(
    steps: list[tuple[str, int, Decimal]],
) -> None:
    ledger.empty(sql)
    for n, (step, which, amount) in enumerate(steps):
        _take(step, f"run:{which}", str(amount), n)
        found = views.position(ADA, NOW)
        assert found.reserved_usd >= 0
        assert found.settled_usd >= 0
    for which in range(6):
        _take("release", f"run:{which}", "0", 0)
    settled, reserved = stands()
    assert reserved == "0.0000"
    total = sum((month.settled_usd for month in views.board(ADA, NOW).months), D(0))
    assert f"{total:.4f}" == settled


def _take(step: str, key: str, amount: str, n: int) -> None:
    try:
        match step:
            case "reserve":
                reserve(amount, key)
            case "settle" | "close":
                settle(key, amount, f"line:{key}:{n}", close=step == "close")
            case "release":
                with database.transaction() as connection:
                    service.release(connection, key, "over", NOW)
            case "correct":
                rows = sql("SELECT id FROM job_costs WHERE kind = 'settle' ORDER BY id LIMIT 1")
                if rows:
                    service.correct(
                        ADA, uuid.UUID(str(rows[0][0])), D(amount), "a check", NOW, f"request-{n}"
                    )
            case "foreign":
                sql(
                    "INSERT INTO job_costs (service, amount_usd, occurred_at) VALUES ('lora', %s, %s)",
                    amount,
                    NOW,
                )
    except (NotFound, BudgetExceeded, Conflict):
        return
