"""Live traffic of a rehearsal: at its rate, through the sandbox, and over when it says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core import access
from core.deliveries import tools
from core.deliveries.tools import Tools
from core.errors import Conflict, InvalidInput, NotAllowed
from core.rehearsal import service, traffic
from core.rehearsal.models import FIRST, LAST
from tests.journeys.world import World

OPERATOR = access.command_line("tester")
MADE = "SELECT id::text FROM generations WHERE request_key LIKE 'rehearsal:%%' AND %s = 1"


@pytest.fixture
def rehearsal(world: World) -> Iterator[World]:
    """A small rehearsal, cleared afterwards."""
    list(service.begin(OPERATOR, tools.current(), generations=500, days=3))
    yield world
    list(service.clear(OPERATOR, tools.current()))


def at(moment: datetime) -> Tools:
    return replace(tools.current(), clock=lambda: moment)


def test_it_makes_its_rate_and_ends_by_itself(rehearsal: World) -> None:
    now = datetime.now(UTC)
    until = traffic.start(OPERATOR, at(now), per_minute=30, minutes=2)
    assert until == now + timedelta(minutes=2)
    made = [traffic.tick(at(now + timedelta(seconds=2 * n))) for n in range(80)]
    assert sum(made) == 60
    assert max(made) == 1
    assert sum(made[61:]) == 0
    rows = rehearsal.sql(MADE, 1)
    assert len(rows) == 60
    assert all(str(FIRST) <= id_ <= str(LAST) for (id_,) in rows)
    waiting = "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'rehearse' AND status = 'todo'"
    rehearsal.sql("DELETE FROM procrastinate_jobs WHERE task_name = 'rehearse'")
    traffic.tick(at(now + timedelta(seconds=200)))
    assert rehearsal.sql(waiting) == []


def test_it_is_delivered_through_the_sandbox_and_paid_once(rehearsal: World) -> None:
    now = datetime.now(UTC)
    traffic.start(OPERATOR, at(now - timedelta(seconds=3)), per_minute=60, minutes=1)
    assert traffic.tick(at(now)) == 3
    traffic.stop(OPERATOR, tools.current())
    for (made,) in rehearsal.sql(MADE, 1):
        assert rehearsal.settle(made, {"delivered"}).asset_url
        assert rehearsal.paid(made) == 1
    created = "SELECT 1 FROM audit_log WHERE action = 'generation.create' AND object_id ~ '^5ce9e000'"
    assert rehearsal.sql(created) == []


def test_it_is_bounded_and_what_a_worker_missed_is_not_made_up_for(rehearsal: World) -> None:
    for per_minute, minutes in ((0, 5), (61, 5), (5, 0), (5, 121)):
        with pytest.raises(InvalidInput):
            traffic.start(OPERATOR, tools.current(), per_minute=per_minute, minutes=minutes)
    support = access.Actor("person", "s", "Sue", frozenset({access.Role.SUPPORT}), "page")
    with pytest.raises(NotAllowed):
        traffic.start(support, tools.current(), per_minute=6, minutes=5)
    now = datetime.now(UTC)
    traffic.start(OPERATOR, at(now), per_minute=60, minutes=60)
    assert traffic.tick(at(now + timedelta(minutes=20))) == traffic.MOST_AT_ONCE
    assert traffic.tick(at(now + timedelta(minutes=20, seconds=1))) == 1
    traffic.stop(OPERATOR, at(now + timedelta(minutes=20)))
    assert traffic.tick(at(now + timedelta(minutes=21))) == 0
    standing = service.what_stands(OPERATOR)
    assert standing is not None
    assert not standing.runs(now + timedelta(minutes=21))


def test_without_a_rehearsal_there_is_none(world: World) -> None:
    with pytest.raises(Conflict, match="Begin one first"):
        traffic.start(OPERATOR, tools.current(), per_minute=6, minutes=5)
    assert traffic.tick(tools.current()) == 0
