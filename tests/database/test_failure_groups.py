"""Failure groups: their numbers equal the rows, people's states hold, and what comes back opens by itself."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from core import access, queries
from core.access import Actor, Role
from core.deliveries import health_rows
from core.deliveries.models import DeliveryState
from core.deliveries.windows import Filter
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.failures import policy, service, views
from core.failures.models import TRANSITIONS, FailureGroup, GroupState, Stage
from core.failures.views import Counting
from tests.database.begun import NOW, VIEWER, count_everything, insert

ADA = access.command_line("ada")
PRODUCT = Actor("person", "p", "P", frozenset({Role.PRODUCT}), "page")
Writer = psycopg.Connection[Any]
ALL = tuple(GroupState)


@pytest.fixture
def counted(writer: Writer) -> Writer:
    insert(writer, 600, seed=3)
    count_everything()
    while service.count(NOW) or unseen():
        pass
    return writer


def every(**wanted: Any) -> Iterator[FailureGroup]:
    before = None
    while True:
        page = views.groups(VIEWER, NOW, ALL, before=before, limit=7, **wanted)
        yield from page.groups
        before = page.next_before
        if before is None:
            return


def unseen() -> bool:
    """Whether a group has rows that nobody has looked at yet."""
    return any(group.users_of == 0 for group in every())


def fail_uncounted(
    writer: Writer, at: datetime, message: str = "The upstream timed out after 3 s", n: int = 1
) -> None:
    for _ in range(n):
        writer.execute(
            "INSERT INTO generations (created_at, kind, model, status, delivery_state, failure_category,"
            " failure_code, failure_message) VALUES (%s, 'image', 'x/y', 'failed', 'failed', 'service_error',"
            " '500', %s)",
            (at, message),
        )


def fail(writer: Writer, at: datetime, message: str = "The upstream timed out after 3 s", n: int = 1) -> None:
    fail_uncounted(writer, at, message, n)
    count_everything()


def one(**found: Any) -> FailureGroup:
    [group] = [
        group for group in every() if all(getattr(group, name) == value for name, value in found.items())
    ]
    return group


def change(group: FailureGroup, state: GroupState, now: datetime = NOW, **more: Any) -> FailureGroup:
    return service.change(ADA, group.signature, state, now, seen=more.pop("seen", group.state), **more)


def test_failures_that_no_count_has_taken_up_are_told(writer: Writer) -> None:
    assert views.counting(VIEWER, NOW) == Counting(None, more=False)
    fail_uncounted(writer, NOW)
    assert views.counting(VIEWER, NOW).more, "a mark tells of it"
    count_everything()
    assert views.counting(VIEWER, NOW).more, "it is counted and in no group"
    service.count(NOW)
    assert not views.counting(VIEWER, NOW).more
    fail_uncounted(writer, NOW)
    assert views.counting(VIEWER, NOW).more
    writer.execute("DELETE FROM delivery_dirty_hours")
    assert not views.counting(VIEWER, NOW).more
    writer.execute("INSERT INTO delivery_dirty_hours (hour) VALUES ('-infinity')")
    assert views.counting(VIEWER, NOW).more, "everything is to be counted anew"
    writer.execute("TRUNCATE delivery_dirty_hours")
    writer.execute("UPDATE delivery_rollup_state SET covered_from = %s", (NOW + timedelta(hours=1),))
    assert views.counting(VIEWER, NOW).more, "its hour was never counted"
    writer.execute("UPDATE generations SET delivery_state = 'delivered', status = 'success'")
    writer.execute("TRUNCATE delivery_dirty_hours")
    assert not views.counting(VIEWER, NOW).more


def test_what_is_delivered_is_no_failure_that_is_being_counted(writer: Writer) -> None:
    writer.execute(
        "INSERT INTO generations (created_at, kind, model, status, delivery_state)"
        " VALUES (%s, 'image', 'x/y', 'success', 'delivered')",
        (NOW,),
    )
    assert not views.counting(VIEWER, NOW).more


def test_every_groups_numbers_are_those_of_its_rows(counted: Writer) -> None:
    groups = list(every())
    assert len({group.signature for group in groups}) == len(groups) > 20
    rows = counted.execute(
        "SELECT generation_signature(model, generation_failure(delivery_state, failure_category,"
        " failure_code, failure_message)), count(*), min(created_at), max(created_at) FROM generations"
        " WHERE delivery_state IN ('failed', 'lost', 'needs_attention') GROUP BY 1"
    ).fetchall()
    assert {group.signature: (group.n, group.first_seen_at, group.newest_at) for group in groups} == {
        signature: tuple(more) for signature, *more in rows
    }
    for group in groups[::5]:
        day = list(health_rows.every_row(VIEWER, Filter("24h", signature=group.signature), NOW))
        assert group.n_day == len(day)
        assert len(group.days) == service.COURSE_DAYS
        assert sum(group.days) <= group.n
    assert sum(views.counts(VIEWER).values()) == len(groups)


def test_new_ones_come_first_then_those_that_fail_most(counted: Writer) -> None:
    fail(counted, NOW - timedelta(minutes=5), "Something unheard of")
    service.count(NOW)
    groups = list(every())
    keys = [(policy.is_new(one, NOW), one.n_day, one.n, one.signature) for one in groups]
    assert keys == sorted(keys, reverse=True)
    assert groups[0].message == "Something unheard of" or groups[0].n_day >= 1
    assert policy.is_new(one(message="Something unheard of"), NOW)
    assert {group.model for group in every(model="x/y")} == {"x/y"}
    assert "x/y" in views.models(VIEWER)


def test_counting_again_changes_nothing_and_what_is_repaired_is_gone(counted: Writer) -> None:
    before = list(every())
    assert service.count(NOW) == 0
    assert list(every()) == before
    counted.execute(
        "UPDATE generations SET delivery_state = 'delivered', delivered_at = now() WHERE model = 'x/y'"
    )
    count_everything()
    kept = one(signature=before[0].signature) if before[0].model != "x/y" else before[1]
    service.count(NOW)
    assert not list(every(model="x/y"))
    assert one(signature=kept.signature).n == kept.n


def test_what_people_or_plans_have_touched_stays_although_it_is_empty(writer: Writer) -> None:
    fail(writer, NOW - timedelta(hours=1), n=3)
    service.count(NOW)
    group = change(one(), GroupState.ACKNOWLEDGED, note="I call KIE")
    assert (group.owner, group.note, group.users, group.users_of) == ("ada", "I call KIE", 0, 3)
    writer.execute("DELETE FROM generations")
    count_everything()
    service.count(NOW)
    assert (one().n, one().days) == (0, ())


def test_customers_are_counted_once_each(writer: Writer) -> None:
    fail(writer, NOW - timedelta(hours=1), n=4)
    writer.execute("INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'a@x.de')")
    writer.execute(
        "UPDATE generations SET user_id = (SELECT id FROM auth.users LIMIT 1)"
        " WHERE id IN (SELECT id FROM generations LIMIT 3)"
    )
    service.count(NOW)
    assert (one().users, one().users_of) == (1, 4)


def test_a_resolved_one_opens_when_it_comes_back(writer: Writer) -> None:
    fail(writer, NOW - timedelta(hours=1))
    service.count(NOW)
    change(one(), GroupState.RESOLVED, note="KIE has mended it")
    fail(writer, NOW - timedelta(minutes=1))
    service.count(NOW + timedelta(minutes=1))
    assert one().state is GroupState.RESOLVED, "that was begun before"
    fail(writer, NOW + timedelta(minutes=2))
    service.count(NOW + timedelta(minutes=3))
    assert (one().state, one().reopened_at) == (GroupState.OPEN, NOW + timedelta(minutes=3))
    service.count(NOW + timedelta(minutes=4))
    lines = writer.execute(
        "SELECT actor_kind, action, reason FROM audit_log WHERE object_type = 'failure' ORDER BY id"
    ).fetchall()
    assert lines == [
        ("person", "failure.resolve", "KIE has mended it"),
        ("job", "failure.reopen", "It came back."),
    ]


def test_an_ignored_one_opens_when_its_time_is_over_and_it_goes_on(writer: Writer) -> None:
    fail(writer, NOW - timedelta(hours=1))
    service.count(NOW)
    until = NOW + timedelta(minutes=10)
    change(one(), GroupState.IGNORED, until=until)
    fail(writer, NOW + timedelta(minutes=5))
    for minutes in (6, 11):
        service.count(NOW + timedelta(minutes=minutes))
        assert one().state is GroupState.IGNORED
    fail(writer, NOW + timedelta(minutes=12))
    service.count(NOW + timedelta(minutes=13))
    assert (one().state, one().ignored_until) == (GroupState.OPEN, None)


@pytest.mark.parametrize("origin", list(GroupState))
@pytest.mark.parametrize("target", list(GroupState))
def test_only_the_moves_of_the_table_are_made(writer: Writer, origin: GroupState, target: GroupState) -> None:
    fail(writer, NOW - timedelta(hours=1))
    service.count(NOW)
    until = NOW + timedelta(days=1)
    if origin is not GroupState.OPEN:
        change(one(), origin, until=until)
    if target in TRANSITIONS[origin] or target is origin:
        assert change(one(), target, until=until).state is target
        return
    with pytest.raises(Conflict, match=f"It is {origin}, and cannot become {target}"):
        change(one(), target, until=until)


def test_refusals_are_sentences_at_their_field(writer: Writer) -> None:
    fail(writer, NOW - timedelta(hours=1))
    service.count(NOW)
    group = one()
    for field, given in (
        ("note", {"state": GroupState.ACKNOWLEDGED, "note": "x" * 10_000}),
        ("owner", {"state": GroupState.ACKNOWLEDGED, "owner": "y" * 81}),
        ("until", {"state": GroupState.IGNORED}),
        ("until", {"state": GroupState.IGNORED, "until": NOW - timedelta(days=1)}),
        ("until", {"state": GroupState.IGNORED, "until": NOW + timedelta(days=9_999)}),
    ):
        with pytest.raises(InvalidInput) as refusal:
            change(group, **given)
        assert refusal.value.field == field
    with pytest.raises(NotAllowed, match="may not see to failure groups"):
        service.change(PRODUCT, group.signature, GroupState.RESOLVED, NOW, seen=group.state)
    with pytest.raises(NotFound):
        service.change(ADA, "0" * 12, GroupState.RESOLVED, NOW, seen=group.state)
    kept = change(group, GroupState.ACKNOWLEDGED, owner="<b>ملف 🦊</b>", note="=1+1")
    assert (kept.owner, kept.note) == ("<b>ملف 🦊</b>", "=1+1")


def test_two_people_never_overwrite_each_other(writer: Writer) -> None:
    fail(writer, NOW - timedelta(hours=1))
    service.count(NOW)
    seen = one()
    change(seen, GroupState.RESOLVED)
    with pytest.raises(Conflict, match="It has become resolved by ada since you saw it"):
        change(seen, GroupState.ACKNOWLEDGED)


@pytest.mark.parametrize(
    ("stands", "category", "code", "stage"),
    [
        ("failed", "service_error", "500", Stage.GENERATING),
        ("failed", "validation", "422", Stage.GENERATING),
        ("failed", "authentication", "401", Stage.SENDING),
        ("needs_attention", "network", "", Stage.SENDING),
        ("needs_attention", "file_error", "", Stage.FETCHING),
        ("needs_attention", "service_error", "storage_refused", Stage.STORING),
        ("lost", "file_error", "result_gone", Stage.KEEPING),
        ("lost", "", "", Stage.KEEPING),
    ],
)
def test_a_stage_is_told_by_what_is_known(stands: str, category: str, code: str, stage: Stage) -> None:
    group = FailureGroup(
        signature="0" * 12,
        model="",
        stands=DeliveryState(stands),
        category=category,
        code=code,
        message="",
        n=1,
        n_day=1,
        n_day_before=0,
        days=(),
        users=0,
        users_of=1,
        first_seen_at=NOW,
        newest_at=NOW,
        state=GroupState.OPEN,
        ignored_until=None,
        owner=None,
        owner_id=None,
        note=None,
        changed_by=None,
        changed_by_id=None,
        changed_at=None,
        reopened_at=None,
    )
    assert policy.stage(group) is stage


def test_rows_of_a_group_are_found_by_their_index(counted: Writer) -> None:
    sql = queries.load("failures")["look_at_rows"].sql.replace(":groups", "50").replace(":rows", "1000")
    counted.execute("ANALYZE generations")
    counted.execute("SET enable_seqscan = off")
    plan = "\n".join(row[0] for row in counted.execute(f"EXPLAIN {sql}"))
    assert "generations_of_failure" in plan
