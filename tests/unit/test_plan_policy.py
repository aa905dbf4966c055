"""What a plan of a bulk resync may do: every generation is sorted, a reason a row."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.deliveries.models import DeliveryState, EventKind
from core.deliveries.windows import STATES, WINDOWS, Filter
from core.errors import Conflict, InvalidInput
from core.plans import policy
from core.plans.models import OVER, TRANSITIONS, Group, ItemState, Plan, PlanState, Source
from tests.unit.generations import generation

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
S = DeliveryState
ADA, BO = uuid.uuid4(), uuid.uuid4()
OLD = {"created_at": NOW - timedelta(hours=2), "submitted_at": NOW - timedelta(hours=2)}
YOUNG = {"created_at": NOW - timedelta(minutes=1), "submitted_at": NOW - timedelta(minutes=1)}


def one(state: DeliveryState | None, **more: Any) -> Any:
    known = {"provider": "kie", "task_id": "task", "user_id": ADA, "model": "flux-2/pro-text-to-image", **OLD}
    return generation(**{**known, "delivery_state": state, **more})


@pytest.mark.parametrize(
    ("row", "group", "calls", "why"),
    [
        (one(S.FAILED), Group.ELIGIBLE, 1, "its record may say otherwise by now"),
        (one(S.NEEDS_ATTENTION), Group.ELIGIBLE, 1, "a person wants it looked at"),
        (one(S.NEEDS_ATTENTION, task_id=None), Group.ELIGIBLE, 1, "callbacks may have named its task"),
        (one(S.AWAITING_PROVIDER), Group.ELIGIBLE, 1, "it is stuck"),
        (one(S.AWAITING_PROVIDER, **YOUNG), Group.IN_FLIGHT, 0, "it is within its time"),
        (one(S.AWAITING_DELIVERY, attempt=2, **YOUNG), Group.ELIGIBLE, 1, "fetching it has failed"),
        (one(S.AWAITING_DELIVERY, result_urls=("https://a/b",)), Group.ELIGIBLE, 0, "its file is known"),
        (one(S.AWAITING_DELIVERY, **YOUNG), Group.IN_FLIGHT, 0, "it has just become ready"),
        (one(S.FAILED, lease_until=NOW + timedelta(seconds=1)), Group.IN_FLIGHT, 0, "somebody is at it"),
        (one(S.FAILED, lease_until=NOW), Group.ELIGIBLE, 1, "its lease is over"),
        (one(S.INTENT, task_id=None), Group.IN_FLIGHT, 0, "a plan never sends what is paid"),
        (one(S.SENDING, task_id=None), Group.IN_FLIGHT, 0, "its answer is looked for"),
        (one(S.DELIVERED), Group.DELIVERED, 0, "it is there"),
        (one(S.LOST), Group.EXPIRED, 0, "it is gone"),
        (one(S.FAILED, result_expires_at=NOW), Group.EXPIRED, 0, "its time at KIE is over"),
        (one(S.FAILED, created_at=NOW - timedelta(days=14), submitted_at=None), Group.EXPIRED, 0, "too old"),
        (one(S.FAILED, task_id=None), Group.UNKNOWN, 0, "KIE never took it"),
        (one(S.FAILED, provider="fal"), Group.UNKNOWN, 0, "fal's key is not set here"),
        (one(None), Group.NOT_YOURS, 0, "it is not followed here"),
        (one(S.FAILED, provider="elsewhere"), Group.NOT_YOURS, 0, "another system's"),
    ],
)
def test_each_is_sorted(row: Any, group: Group, calls: int, why: str) -> None:
    judged = policy.judge(row, NOW, {"kie"})
    assert (judged.group, judged.calls) == (group, calls), why
    assert judged.sentence.endswith(".")


def test_another_customers_is_not_yours() -> None:
    assert policy.judge(one(S.FAILED), NOW, {"kie"}, user_id=BO).group is Group.NOT_YOURS
    assert policy.judge(one(S.FAILED), NOW, {"kie"}, user_id=ADA).group is Group.ELIGIBLE


def test_what_a_dead_worker_has_begun_is_gone_on_with() -> None:
    for state in (S.AWAITING_PROVIDER, S.AWAITING_DELIVERY):
        row = one(state, **YOUNG)
        assert policy.judge(row, NOW, {"kie"}).group is Group.IN_FLIGHT
        assert policy.judge(row, NOW, {"kie"}, begun=True).group is Group.ELIGIBLE


moments = st.one_of(st.none(), st.timedeltas(timedelta(days=-40), timedelta(days=40)).map(lambda d: NOW + d))


@given(
    state=st.one_of(st.none(), st.sampled_from(DeliveryState)),
    provider=st.sampled_from(["kie", "KIE", "fal", "", "replicate", "=cmd"]),
    task_id=st.sampled_from([None, "task"]),
    lease_until=moments,
    result_expires_at=moments,
    attempt=st.integers(0, 9),
    age=st.timedeltas(timedelta(days=-1), timedelta(days=60)),
    begun=st.booleans(),
)
def test_whatever_a_row_holds_it_has_one_place_and_a_reason(
    state: DeliveryState | None, provider: str, age: timedelta, begun: bool, **more: Any
) -> None:
    row = one(state, provider=provider, created_at=NOW - age, submitted_at=None, **more)
    judged = policy.judge(row, NOW, {"kie"}, begun=begun)
    assert 0 < len(judged.sentence) < 200
    if judged.group is Group.ELIGIBLE:
        # What a plan touches is followed here, not delivered, nobody's at the moment, and never a send.
        assert row.delivery_state in {
            S.FAILED,
            S.NEEDS_ATTENTION,
            S.AWAITING_PROVIDER,
            S.AWAITING_DELIVERY,
        }
        assert row.lease_until is None or row.lease_until <= NOW
        assert provider.lower() == "kie"
        assert judged.calls in {0, 1}
    else:
        assert judged.calls == 0
    assert policy.version(row) == policy.version(row)


@given(
    state=st.sampled_from(DeliveryState),
    step=st.one_of(st.none(), st.sampled_from(EventKind)),
    words=st.one_of(st.none(), st.text(max_size=50)),
)
def test_every_item_comes_to_an_end_with_a_sentence(
    state: DeliveryState, step: EventKind | None, words: str | None
) -> None:
    became, sentence = policy.result_of(one(state), step, words)
    assert became in OVER
    assert sentence
    assert (became is ItemState.DELIVERED) == (state is S.DELIVERED)


def test_one_that_is_gone_has_failed() -> None:
    assert policy.result_of(None, None, None) == (ItemState.FAILED, "Its row is not there any more.")


@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize("state", [None, *STATES])
def test_a_list_is_named_and_everything_is_refused(window: str, state: str | None) -> None:
    source = Source(Filter(window, state=state))
    assert 0 < len(policy.words(source)) <= policy.LONGEST_PLAN_NAME
    if state in {None, "begun"}:
        with pytest.raises(InvalidInput, match="every generation there is"):
            policy.check_source(source)
        policy.check_source(Source(Filter(window, state=state), user_id=ADA))
        policy.check_source(Source(Filter(window, state=state, signature="0" * 12)))
    else:
        policy.check_source(source)


@pytest.mark.parametrize(
    ("pasted", "found"),
    [
        ("", ()),
        ("  \n ", ()),
        ("a, b;c\nd  a", ("a", "b", "c", "d")),
        ("[\"task_1\", 'task_2']", ("task_1", "task_2")),
    ],
)
def test_ids_are_found_in_what_was_pasted(pasted: str, found: tuple[str, ...]) -> None:
    assert policy.names_in(pasted) == found


@pytest.mark.parametrize("pasted", ["a/b", "=1+1", "ملف", "x" * 201, "a\x00b", "🦊"])
def test_what_is_no_id_is_refused_and_shown_harmless(pasted: str) -> None:
    with pytest.raises(InvalidInput, match="is no id of a task") as refusal:
        policy.names_in(pasted)
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 120


def plan(state: PlanState, **more: Any) -> Plan:
    known: dict[str, Any] = dict.fromkeys(Plan.__match_args__)
    given = {"id": uuid.uuid4(), "name": "n", "source": {}, "state": state, "counts": {"eligible": 20}}
    return Plan(**{**known, "created_at": NOW, "started_by": "ada", **given, **more})


@pytest.mark.parametrize("state", [state for state in PlanState if state is not PlanState.DRAFT])
def test_only_a_draft_is_started(state: PlanState) -> None:
    with pytest.raises(Conflict, match="ada has started it already"):
        policy.check_can_start(plan(state), None, NOW)


def test_a_count_is_typed_above_twenty_alone() -> None:
    policy.check_can_start(plan(PlanState.DRAFT), None, NOW)
    many = plan(PlanState.DRAFT, counts={"eligible": 21})
    policy.check_can_start(many, 21, NOW)
    for typed in (None, 0, 20, -21):
        with pytest.raises(InvalidInput, match="Type 21"):
            policy.check_can_start(many, typed, NOW)


def test_the_states_of_a_plan_end() -> None:
    assert {state for state, targets in TRANSITIONS.items() if not targets} == {
        PlanState.FINISHED,
        PlanState.ABORTED,
    }
    assert set(TRANSITIONS) == set(PlanState)


def test_how_long_it_takes_is_told_by_the_slowest_provider() -> None:
    assert policy.expected_s({}, {}) == 0
    assert policy.expected_s({"kie": 90, "fal": 20}, {"kie": 9.0, "fal": 20.0}) == 10
