"""States and what follows from them: the tables hang together."""

import pytest

from core.deliveries.models import ACTIVE, ENDED, STATUS_OF, TRANSITIONS, DeliveryState, Status
from tests.unit.generations import NOW, generation

S = DeliveryState


def reachable(start: DeliveryState) -> set[DeliveryState]:
    found: set[DeliveryState] = set()
    ahead = [start]
    while ahead:
        state = ahead.pop()
        if state not in found:
            found.add(state)
            ahead += TRANSITIONS[state]
    return found


def test_every_state_has_transitions_and_a_status() -> None:
    assert set(TRANSITIONS) == set(STATUS_OF) == set(DeliveryState) == ACTIVE | ENDED
    assert not ACTIVE & ENDED


def test_from_the_intent_everything_can_be_reached_and_from_everything_an_end() -> None:
    assert reachable(S.INTENT) == set(DeliveryState)
    assert all(S.DELIVERED in reachable(state) for state in DeliveryState)


def test_delivered_is_left_only_to_fetch_a_file_again() -> None:
    assert TRANSITIONS[S.DELIVERED] == {S.AWAITING_PROVIDER}


def test_only_sending_leads_back_to_the_intent_and_only_the_intent_to_sending() -> None:
    assert [state for state, to in TRANSITIONS.items() if S.INTENT in to] == [S.SENDING]
    assert [state for state, to in TRANSITIONS.items() if S.SENDING in to] == [S.INTENT]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (S.INTENT, Status.QUEUED),
        (S.DELIVERED, Status.SUCCESS),
        (S.FAILED, Status.FAILED),
        (S.LOST, Status.FAILED),
        (S.NEEDS_ATTENTION, None),
    ],
)
def test_what_the_customers_see(state: DeliveryState, status: Status | None) -> None:
    assert STATUS_OF[state] == status


@pytest.mark.parametrize(
    ("asset", "results", "preview", "shown"),
    [
        pytest.param("/files/a", ("https://kie/1",), "https://p", "/files/a", id="the permanent file first"),
        pytest.param(None, ("https://kie/1", "https://kie/2"), "https://p", "https://kie/1", id="then KIE's"),
        pytest.param(None, (), "https://p", "https://p", id="then the preview"),
        pytest.param("", (), None, None, id="nothing"),
    ],
)
def test_the_url_shown(
    asset: str | None, results: tuple[str, ...], preview: str | None, shown: str | None
) -> None:
    assert generation(asset_url=asset, result_urls=results, preview_url=preview).shown_url == shown


def test_a_generation_is_ours_when_we_sent_it() -> None:
    assert generation().ours
    assert not generation(submitted_at=None).ours
    assert generation(submitted_at=None).begun_at == NOW
