"""The KIE.ai models that we offer: their input, its bounds, what they cost and how long they take.

Bounds: https://docs.kie.ai/market (FLUX.2, Kling 2.6). Prices are second-hand and say so; what a
task really cost is its record's `credits_consumed`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.providers.model_inputs import Field, LoraRule, Model

# Inferred: FLUX.2 pro is listed at 5 credits and at $0.025 an image.
USD_PER_CREDIT = Decimal("0.005")
# When the prices below were last looked up; a ledger line says by which list it was priced.
PRICE_VERSION = "2026-11-20"


def _flux_price(values: Mapping[str, Any]) -> Decimal:
    return Decimal("0.035") if values.get("resolution") == "2K" else Decimal("0.025")


def _kling_price(values: Mapping[str, Any]) -> Decimal:
    five_seconds = Decimal("0.55") if values.get("sound") else Decimal("0.275")
    return five_seconds * (2 if values.get("duration") == "10" else 1)


_FLUX_FIELDS = (
    Field("prompt", "text", "Prompt", required=True, minimum=3, maximum=5000),
    Field(
        "aspect_ratio",
        "choice",
        "Aspect ratio",
        default="1:1",
        choices=("1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3"),
    ),
    Field("resolution", "choice", "Resolution", default="1K", choices=("1K", "2K")),
    Field("nsfw_checker", "flag", "Check for unsafe content"),
)
_KLING_PROMPT = Field("prompt", "text", "Prompt", required=True, minimum=1, maximum=1000)
_KLING_SOUND = Field("sound", "flag", "Sound", default=False)
_KLING_DURATION = Field("duration", "choice", "Duration in seconds", default="5", choices=("5", "10"))

_FLUX_SOURCE = "second-hand: $0.025 an image at 1K, $0.035 at 2K"
_KLING_SOURCE = "second-hand: $0.275 for 5 s, $0.55 with sound, twice that for 10 s"

MODELS: tuple[Model, ...] = (
    Model(
        id="flux-2/pro-text-to-image",
        lora=LoraRule(by="flux-2/pro-image-to-image"),
        label="FLUX.2 Pro",
        kind="image",
        aliases=("flux-2-pro", "flux-2/pro"),
        fields=_FLUX_FIELDS,
        price=_flux_price,
        price_source=_FLUX_SOURCE,
        price_version=PRICE_VERSION,
        p50_seconds=20,
        stuck_minutes=10,
    ),
    Model(
        id="flux-2/pro-image-to-image",
        lora=LoraRule(by="flux-2/pro-image-to-image"),
        label="FLUX.2 Pro, from images",
        kind="image",
        aliases=("flux-2-pro-image-to-image",),
        fields=(
            *_FLUX_FIELDS,
            Field("input_urls", "urls", "Reference images", required=True, minimum=1, maximum=8),
        ),
        price=_flux_price,
        price_source=_FLUX_SOURCE,
        price_version=PRICE_VERSION,
        p50_seconds=20,
        stuck_minutes=10,
    ),
    Model(
        id="kling-2.6/text-to-video",
        lora=LoraRule(by="kling-2.6/image-to-video"),
        label="Kling 2.6",
        kind="video",
        aliases=("kling-2.6",),
        fields=(
            _KLING_PROMPT,
            _KLING_SOUND,
            Field("aspect_ratio", "choice", "Aspect ratio", default="16:9", choices=("1:1", "16:9", "9:16")),
            _KLING_DURATION,
        ),
        price=_kling_price,
        price_source=_KLING_SOURCE,
        price_version=PRICE_VERSION,
        p50_seconds=120,
        stuck_minutes=20,
    ),
    Model(
        id="kling-2.6/image-to-video",
        lora=LoraRule(by="kling-2.6/image-to-video"),
        label="Kling 2.6, from an image",
        kind="video",
        aliases=("kling-2.6-image-to-video",),
        fields=(
            _KLING_PROMPT,
            Field("image_urls", "urls", "First frame", required=True, minimum=1, maximum=1),
            _KLING_SOUND,
            _KLING_DURATION,
        ),
        price=_kling_price,
        price_source=_KLING_SOURCE,
        price_version=PRICE_VERSION,
        p50_seconds=120,
        stuck_minutes=20,
    ),
)


def usd_of_credits(amount: Decimal) -> Decimal:
    """USD for an `amount` of consumed KIE credits."""
    return amount * USD_PER_CREDIT
