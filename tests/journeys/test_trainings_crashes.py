"""A process that dies at any of its calls to the outside: the run goes on there, and pays nothing twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from core.trainings import following, moving, policy
from core.trainings.models import RunState
from tests.journeys.crashing import Fuse, Killed, fused_trainings
from tests.journeys.training_world import Trainings
from tests.journeys.world import until


def die_everywhere(trainings: Trainings, run_id: UUID, *, after: bool, spare: frozenset[str]) -> int:
    """Steps of the run, each of which dies at its first call, then at its second, until one gets through."""
    deaths, left = 0, 0

    def over() -> bool:
        nonlocal deaths, left
        if trainings.run(run_id).state is RunState.AWAITING_VERDICT:
            return True
        trainings.due(run_id)
        try:
            following.step(run_id, fused_trainings(trainings.tools, Fuse(left, after), spare))
            left = 0
        except Killed:
            deaths += 1
            left += 1
        return False

    until(over, 30)
    return deaths


@pytest.mark.parametrize(
    ("after", "spare"),
    [(True, frozenset()), (False, frozenset({"submit"}))],
    ids=["when the call was made", "before the call"],
)
def test_whatever_call_a_process_dies_at(trainings: Trainings, after: bool, spare: frozenset[str]) -> None:
    made = trainings.launch()
    deaths = die_everywhere(trainings, made.id, after=after, spare=spare)
    assert deaths > 10
    trainings.judge(made.id, True, True, True)
    assert trainings.settle(made.id, RunState.COMPLETED).progress == 100
    assert sorted(one["kind"] for one in trainings.paid(made.id)) == ["image"] * 3 + ["training"]
    assert trainings.ledger(made.id)["settle"] == Decimal("2.1050")
    assert trainings.reserved() == 0
    stored = trainings.tools.storage.find("lora-models", f"studio-ops/{made.lora_id}/")
    assert len(stored) == 1
    settled = trainings.world.sql(
        "SELECT 1 FROM job_costs WHERE run_id = %s AND kind = 'settle' AND stage = 'training'", made.id
    )
    assert len(settled) == 1
    assert "taken_up" in trainings.events(made.id)


def test_a_run_that_dies_with_its_request_unsent_waits_and_is_never_sent_again(trainings: Trainings) -> None:
    made = trainings.launch()
    trainings.at(made.id, "training")
    for left in range(10):
        trainings.due(made.id)
        try:
            following.step(made.id, fused_trainings(trainings.tools, Fuse(left)))
        except Killed:
            if [call.state for call in trainings.calls(made.id)] == ["sending"]:
                break
    assert trainings.world.calls("fal_submit") == []
    for _ in range(3):
        assert trainings.step(made.id).state == "running"
    trainings.age(made.id, "31 min")
    assert trainings.step(made.id).state == "needs_attention"
    assert trainings.world.calls("fal_submit") == []
    assert trainings.reserved() == Decimal("2.1050")


def test_a_look_that_outlasts_a_lease_is_not_taken_for_a_lost_worker(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(moving, "RENEW_EVERY", timedelta(seconds=0.2))
    trainings.world.sandbox.put("settings", training_seconds=60)
    made = trainings.launch()
    trainings.at(made.id, "training")
    trainings.step(made.id)
    trainings.world.sandbox.put("faults", trainer_late={"at": ["fal_read"], "value": 2.5})
    trainings.due(made.id)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(trainings.sweep)
        until(lambda: trainings.run(made.id).lease_token)
        while not looking.done():
            assert trainings.sweep() == 0
        assert looking.result() == 1
    assert "taken_up" not in trainings.events(made.id)
    assert trainings.run(made.id).lease_token is None
