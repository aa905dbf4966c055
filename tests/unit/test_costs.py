"""What a finished generation of ours cost, as the line of the ledger."""

import json
from decimal import Decimal
from typing import Any

import pytest

from core.deliveries.costs import cost_json
from core.providers.contract import ProviderState, TaskRecord
from tests.unit.generations import NOW, generation

FLUX, KLING = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"


def line(credits_consumed: Decimal | None, **row: Any) -> list[dict[str, str]]:
    """The ledger lines of a generation of ours."""
    record = TaskRecord("task_1", ProviderState.SUCCESS, credits_consumed=credits_consumed)
    given = {"model": FLUX, "input": {"prompt": "a mill"}, "submitted_at": NOW, "task_id": "task_1", **row}
    return list(json.loads(cost_json(generation(**given), record)))


@pytest.mark.parametrize(
    ("credits_consumed", "row", "amount", "unit"),
    [
        (Decimal(5), {}, "0.0250", "credit"),
        (Decimal("110"), {"model": KLING}, "0.5500", "credit"),
        (None, {}, "0.0250", "generation"),
        (None, {"input": {"prompt": "a mill", "resolution": "2K"}}, "0.0350", "generation"),
    ],
)
def test_the_amount(credits_consumed: Decimal | None, row: Any, amount: str, unit: str) -> None:
    [cost] = line(credits_consumed, **row)
    assert (cost["amount_usd"], cost["unit"], cost["source_key"]) == (amount, unit, "kie:task_1")


def test_what_another_system_paid_for_is_not_ours() -> None:
    assert line(Decimal(5), submitted_at=None) == []


def test_a_model_that_left_the_price_table_holds_no_delivery_up() -> None:
    assert line(None, model="gone/with-an-upgrade") == []
