"""When a first frame that failed is made once more: a row for each reason."""

from typing import Any
from uuid import UUID

import pytest

from core.deliveries import policy
from core.deliveries.models import DeliveryState
from tests.unit.generations import generation

FRAME = {"provider": "fal", "model": "fal-ai/flux-lora", "frame_for": UUID(int=1)}


@pytest.mark.parametrize(
    ("row", "second", "again"),
    [
        pytest.param({}, False, True, id="its provider failed"),
        pytest.param({"failure_category": "timeout"}, False, True, id="too slow, and stopped there"),
        pytest.param({"failure_category": "file_error"}, False, True, id="the weights were out of reach"),
        pytest.param({"failure_category": "validation"}, False, False, id="what was asked is refused"),
        pytest.param({"failure_category": "authentication"}, False, False, id="our key is refused"),
        pytest.param({"failure_category": None}, False, False, id="nobody knows why"),
        pytest.param({}, True, False, id="the second one failed too"),
        pytest.param(
            {"delivery_state": DeliveryState.NEEDS_ATTENTION}, False, False, id="it may have been paid"
        ),
        pytest.param({"delivery_state": DeliveryState.LOST}, False, False, id="it was paid"),
    ],
)
def test_when_a_first_frame_is_made_again(row: dict[str, Any], second: bool, again: bool) -> None:
    frame = generation(
        **{**FRAME, "delivery_state": DeliveryState.FAILED, "failure_category": "service_error", **row}
    )
    assert policy.makes_frame_again(frame, is_second=second) is again


def test_a_frame_that_is_not_there_is_not_made_again() -> None:
    assert not policy.makes_frame_again(None, is_second=False)
