"""Every SQL change of a state is one that the table of transitions allows, from every state there is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from core import database
from core.deliveries.models import STATUS_OF, TRANSITIONS, DeliveryState, Event, EventKind
from core.deliveries.repository import SQL, events_json
from tests.database.shared import shared_database

S = DeliveryState
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN = UUID("00000000-0000-4000-8000-000000000001")
EVENTS = events_json(Event(EventKind.POLLED))


@dataclass(frozen=True)
class Change:
    """A statement that may move a state: how it is run on a row, and the moves that it makes."""

    query: str
    run: Callable[[Any, UUID], Any]
    moves: dict[DeliveryState, DeliveryState]
    task_id: str | None = "task_1"


def _end(state: DeliveryState) -> Callable[[Any, UUID], Any]:
    """As `moving.end` calls it."""
    return lambda c, one: SQL["end"].run(
        c,
        id=one,
        seen_next_attempt_at=NOW,
        token=TOKEN,
        now=NOW,
        state=state,
        status=STATUS_OF[state],
        provider_state=None,
        category=None,
        code=None,
        message=None,
        from_states=[origin for origin, targets in TRANSITIONS.items() if state in targets],
    )


def _callback(task_id: str | None, says_success: bool) -> Callable[[Any, UUID], Any]:
    return lambda c, one: SQL["receive_callback"].run(
        c,
        generation_id=one,
        task_id=task_id or "task_x",
        body_sha256=uuid4().hex,
        body="{}",
        detail="{}",
        signed=False,
        says_success=says_success,
        provider="kie",
        now=NOW,
        request_id=None,
        job_priority=0,
    )


def _hurry(c: Any, one: UUID) -> Any:
    return SQL["hurry"].run(c, id=one, now=NOW)


def _fetch_again(c: Any, one: UUID) -> Any:
    return SQL["fetch_again"].run(c, id=one, now=NOW)


BACK = S.AWAITING_PROVIDER
CHANGES = [
    Change(
        "begin_sending",
        lambda c, one: SQL["begin_sending"].run(
            c, id=one, now=NOW, token=TOKEN, lease_until=NOW, next_attempt_at=NOW
        ),
        {S.INTENT: S.SENDING},
        task_id=None,
    ),
    Change(
        "bind_task",
        lambda c, one: SQL["bind_task"].run(
            c, id=one, task_id="task_1", task_addresses=None, now=NOW, next_attempt_at=NOW
        ),
        {S.SENDING: BACK, S.NEEDS_ATTENTION: BACK},
        task_id=None,
    ),
    Change(
        "unsend",
        lambda c, one: SQL["unsend"].run(
            c, id=one, submitted_at=NOW, now=NOW, next_attempt_at=NOW, category=None, message=None
        ),
        {S.SENDING: S.INTENT},
        task_id=None,
    ),
    Change(
        "refuse",
        lambda c, one: SQL["refuse"].run(
            c, id=one, submitted_at=NOW, now=NOW, category=None, code=None, message=None
        ),
        {S.SENDING: S.FAILED},
        task_id=None,
    ),
    Change(
        "polled",
        lambda c, one: SQL["polled"].run(
            c,
            id=one,
            token=TOKEN,
            now=NOW,
            seen_next_attempt_at=NOW,
            provider_state=None,
            status=None,
            next_attempt_at=NOW,
            events=EVENTS,
            request_id=None,
        ),
        {S.AWAITING_DELIVERY: BACK},
    ),
    Change(
        "ready",
        lambda c, one: SQL["ready"].run(
            c,
            id=one,
            token=TOKEN,
            now=NOW,
            provider_state="success",
            result_expires_at=NOW,
            provider_ms=4000,
            result_urls="[]",
            events=EVENTS,
            costs="[]",
            request_id=None,
        ),
        {S.AWAITING_PROVIDER: S.AWAITING_DELIVERY},
    ),
    Change(
        "delivered",
        lambda c, one: SQL["delivered"].run(
            c, id=one, token=TOKEN, now=NOW, asset_url="/files/x", files="[]", events=EVENTS, request_id=None
        ),
        {S.AWAITING_DELIVERY: S.DELIVERED},
    ),
    Change(
        "end",
        _end(S.FAILED),
        dict.fromkeys((S.INTENT, S.SENDING, S.AWAITING_PROVIDER, S.AWAITING_DELIVERY), S.FAILED),
    ),
    Change("end", _end(S.LOST), {S.AWAITING_PROVIDER: S.LOST, S.AWAITING_DELIVERY: S.LOST}),
    Change(
        "end",
        _end(S.NEEDS_ATTENTION),
        dict.fromkeys((S.SENDING, S.AWAITING_PROVIDER, S.AWAITING_DELIVERY), S.NEEDS_ATTENTION),
    ),
    Change("hurry", _hurry, {S.FAILED: BACK, S.LOST: BACK, S.NEEDS_ATTENTION: BACK}),
    Change("hurry", _hurry, {}, task_id=None),
    Change("fetch_again", _fetch_again, {S.DELIVERED: BACK}),
    Change("fetch_again", _fetch_again, {}, task_id=None),
    Change(
        "receive_callback",
        _callback("task_1", says_success=True),
        {S.FAILED: BACK, S.LOST: BACK, S.NEEDS_ATTENTION: BACK},
    ),
    Change("receive_callback", _callback("task_1", says_success=False), {S.NEEDS_ATTENTION: BACK}),
    Change("receive_callback", _callback(None, says_success=True), {}, task_id=None),
    Change(
        "lease_due",
        lambda c, one: SQL["lease_due"].run(c, provider="kie", now=NOW, lease_until=NOW, limit=5),
        {},
    ),
    Change(
        "release",
        lambda c, one: SQL["release"].run(
            c, id=one, token=TOKEN, now=NOW, seen_next_attempt_at=NOW, next_attempt_at=None
        ),
        {},
    ),
    Change(
        "retry_download",
        lambda c, one: SQL["retry_download"].run(
            c,
            id=one,
            token=TOKEN,
            now=NOW,
            next_attempt_at=NOW,
            category=None,
            code=None,
            message=None,
            link_renewed=False,
        ),
        {},
    ),
]


@pytest.fixture(scope="module")
def connected(postgres_server: str) -> Iterator[None]:
    with shared_database(postgres_server):
        yield


def at(state: DeliveryState, task_id: str | None) -> UUID:
    """A row of ours at `state`, leased by TOKEN until just now."""
    one = uuid4()
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO generations (id, status, provider, delivery_state, task_id, submitted_at,"
            " lease_token, lease_until, next_attempt_at, asset_url)"
            " VALUES (%s, 'generating', 'kie', %s, %s, %s, %s, %s, %s, %s)",
            (one, state, task_id, NOW, TOKEN, NOW, NOW, "/files/x" if state is S.DELIVERED else None),
        )
    return one


def state_of(one: UUID) -> DeliveryState:
    with database.reading() as connection:
        found = connection.exec_driver_sql("SELECT delivery_state FROM generations WHERE id = %s", (one,))
        return DeliveryState(found.scalar_one())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.query)
def test_a_statement_makes_its_moves_and_no_others(connected: None, change: Change) -> None:
    for state in DeliveryState:
        one = at(state, change.task_id)
        with database.transaction() as connection:
            change.run(connection, one)
        after = state_of(one)
        assert after == change.moves.get(state, state), (change.query, state)
        assert after == state or after in TRANSITIONS[state], (change.query, state, after)


def test_every_statement_that_names_a_state_as_its_target_is_tried() -> None:
    naming = {name for name, query in SQL.items() if "SET delivery_state" in " ".join(query.sql.split())}
    assert naming - {"adopt"} == {change.query for change in CHANGES if change.moves}


def test_every_move_of_the_table_is_made_by_some_statement_or_by_the_companys_application() -> None:
    made = {(origin, target) for change in CHANGES for origin, target in change.moves.items()}
    allowed = {(origin, target) for origin, targets in TRANSITIONS.items() for target in targets}
    theirs = {(S.AWAITING_PROVIDER, S.DELIVERED)}
    assert made <= allowed
    assert allowed - made == theirs
