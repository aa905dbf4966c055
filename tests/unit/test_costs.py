"""What a finished generation of ours cost, as the line of the ledger."""

import json
from decimal import Decimal
from typing import Any

import pytest

from core.budget.rates import Rate
from core.deliveries.costs import cost_json
from core.providers.contract import ProviderState, TaskRecord
from tests.unit.generations import NOW, generation

FLUX, KLING = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"


def line(credits_consumed: Decimal | None, **row: Any) -> list[dict[str, Any]]:
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


@pytest.mark.parametrize(
    ("size", "pixels", "amount"), [("square_hd", "2", "0.0800"), ("square", "1", "0.0400")]
)
def test_a_model_that_is_paid_by_a_unit_costs_what_the_table_of_prices_says(
    size: str, pixels: str, amount: str
) -> None:
    record = TaskRecord("fal_1", ProviderState.SUCCESS)
    made = generation(
        provider="fal",
        model="fal-ai/flux-lora",
        input={"prompt": "ada", "image_size": size},
        submitted_at=NOW,
        task_id="fal_1",
    )
    [cost] = json.loads(cost_json(made, record, own=Rate(Decimal("0.04"), "fal/flux-lora 2026-11-26")))
    assert (cost["quantity"], cost["unit"], cost["amount_usd"]) == (pixels, "megapixel", amount)
    assert cost["price_version"] == "fal/flux-lora 2026-11-26"


def test_what_another_system_paid_for_is_not_ours() -> None:
    assert line(Decimal(5), submitted_at=None) == []


@pytest.mark.parametrize(
    ("model", "kind", "amount", "dearest"),
    [
        ("kling-9/gone-with-an-upgrade", "video", "1.1000", "Kling 2.6"),
        ("flux-9/unheard-of", "image", "0.0350", "FLUX.2 Pro"),
        ("veo-3/fast", "video", "1.1000", "Kling 2.6"),
        ("seedream/v5", "image", "0.0350", "FLUX.2 Pro"),
        (None, None, "1.1000", "Kling 2.6"),
    ],
)
def test_a_model_without_a_price_costs_the_dearest_of_its_family_and_is_flagged(
    model: str | None, kind: str | None, amount: str, dearest: str
) -> None:
    [cost] = line(None, model=model, kind=kind)
    assert (cost["amount_usd"], cost["flagged"]) == (amount, True)
    assert "No price for" in cost["note"]
    assert dearest in cost["note"]


def test_credits_need_no_price_of_a_model() -> None:
    [cost] = line(Decimal(7), model="unheard/of")
    assert (cost["amount_usd"], cost["flagged"], cost["note"]) == ("0.0350", False, None)


def test_credits_count_by_the_rate_of_their_day() -> None:
    record = TaskRecord("task_1", ProviderState.SUCCESS, credits_consumed=Decimal(110))
    paid = generation(model=KLING, submitted_at=NOW, task_id="task_1")
    [cost] = json.loads(cost_json(paid, record, Rate(Decimal("0.006"), "kie/credit 2026-11-20")))
    assert (cost["amount_usd"], cost["price_version"]) == ("0.6600", "kie/credit 2026-11-20")
