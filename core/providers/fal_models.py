"""The models of fal that we offer: their input, its bounds, what they cost and how long they take.

Sources: https://fal.ai/models/fal-ai/flux-lora and https://fal.ai/models/fal-ai/kling-video (v2.1).
fal tells no cost with a result: these prices are what is settled. How long a prompt of Kling's may be is in
none of the documents; the bound is ours, and a 422 of fal's own is a refusal as well.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from core.providers.model_inputs import Field, LoraRule, Model, Unit

PRICE_VERSION = "2026-11-20"
FLUX_LORA = "fal-ai/flux-lora"
# Width and height in pixels of fal's named sizes.
SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
MAX_SEED = 2**31 - 1


def megapixels(width: int, height: int) -> int:
    """Started megapixels, by which fal's pictures are paid."""
    return int((Decimal(width * height) / 1_000_000).to_integral_value(ROUND_CEILING))


def _megapixels_of(values: Mapping[str, Any]) -> Decimal:
    return Decimal(megapixels(*SIZES.get(str(values.get("image_size")), SIZES["landscape_4_3"])))


def _kling_pro_price(values: Mapping[str, Any]) -> Decimal:
    return Decimal("0.49") * (2 if values.get("duration") == "10" else 1)


def _kling_standard_price(values: Mapping[str, Any]) -> Decimal:
    return Decimal("0.28") * (2 if values.get("duration") == "10" else 1)


_KLING_FIELDS = (
    Field("prompt", "text", "Prompt", required=True, minimum=1, maximum=2500),
    Field("image_url", "url", "First frame", required=True),
    Field("duration", "choice", "Duration in seconds", default="5", choices=("5", "10")),
)

MODELS: tuple[Model, ...] = (
    Model(
        id="fal-ai/kling-video/v2.1/pro/image-to-video",
        lora=LoraRule(by="fal-ai/kling-video/v2.1/pro/image-to-video"),
        label="Kling 2.1 Pro, from an image",
        kind="video",
        provider="fal",
        aliases=("kling-2.1-pro", "kling-2.1/pro", "kling-2.1"),
        fields=_KLING_FIELDS,
        price=_kling_pro_price,
        price_source="from fal's page: $0.49 for 5 s, twice that for 10 s",
        price_version=PRICE_VERSION,
        p50_seconds=120,
        stuck_minutes=20,
    ),
    Model(
        id="fal-ai/kling-video/v2.1/standard/image-to-video",
        lora=LoraRule(by="fal-ai/kling-video/v2.1/standard/image-to-video"),
        label="Kling 2.1 Standard, from an image",
        kind="video",
        provider="fal",
        aliases=("kling-2.1-standard", "kling-2.1/standard"),
        fields=_KLING_FIELDS,
        price=_kling_standard_price,
        price_source="from fal's page: $0.28 for 5 s, twice that for 10 s",
        price_version=PRICE_VERSION,
        p50_seconds=120,
        stuck_minutes=20,
    ),
    Model(
        id=FLUX_LORA,
        lora=LoraRule(direct=True),
        label="FLUX.1 with a LoRA",
        kind="image",
        provider="fal",
        aliases=("flux-lora",),
        fields=(
            Field("prompt", "text", "Prompt", required=True, minimum=1, maximum=5000),
            Field("image_size", "choice", "Size", default="landscape_4_3", choices=tuple(SIZES)),
            Field("seed", "number", "Seed", minimum=0, maximum=MAX_SEED),
        ),
        price=None,
        unit=Unit("flux-lora", "megapixel", _megapixels_of),
        price_source="the table of prices, by the started megapixel",
        price_version=PRICE_VERSION,
        p50_seconds=8,
        stuck_minutes=10,
    ),
)
