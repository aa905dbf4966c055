"""The KIE.ai models that we offer: their input, its bounds, what they cost and how long they take.

Bounds: https://docs.kie.ai/market (FLUX.2, Kling 2.6). Prices are second-hand and say so; what a
task really cost is its record's `credits_consumed`.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

from core.errors import InvalidInput

Kind = Literal["image", "video"]
FieldType = Literal["text", "choice", "flag", "urls"]

# Inferred: FLUX.2 pro is listed at 5 credits and at $0.025 an image.
USD_PER_CREDIT = Decimal("0.005")
# When the prices below were last looked up; a ledger line says by which list it was priced.
PRICE_VERSION = "2026-11-20"
MAX_URL = 2048


@dataclass(frozen=True)
class Field:
    """One input of a model. `minimum` and `maximum` count characters of a text, items of a list.

    A field without a `default` that is not `required` is left out unless it is given.
    """

    name: str
    type: FieldType
    label: str
    required: bool = False
    default: str | bool | None = None
    minimum: int = 0
    maximum: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """One model. `price` estimates USD from a validated input; `p50_seconds` is the usual time to a
    result, when the first poll is due; after `stuck_minutes` in flight a task counts as stuck."""

    id: str
    label: str
    kind: Kind
    fields: tuple[Field, ...]
    price: Callable[[Mapping[str, Any]], Decimal]
    price_source: str
    p50_seconds: int
    stuck_minutes: int
    aliases: tuple[str, ...] = ()

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True)
class Timing:
    """When to look at a task first, and from when on it is stuck."""

    p50_seconds: int
    stuck_minutes: int


# Also for models that only the company's own application knows.
TIMING_BY_KIND: dict[Kind, Timing] = {"image": Timing(20, 10), "video": Timing(120, 20)}


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
        label="FLUX.2 Pro",
        kind="image",
        aliases=("flux-2-pro", "flux-2/pro"),
        fields=_FLUX_FIELDS,
        price=_flux_price,
        price_source=_FLUX_SOURCE,
        p50_seconds=20,
        stuck_minutes=10,
    ),
    Model(
        id="flux-2/pro-image-to-image",
        label="FLUX.2 Pro, from images",
        kind="image",
        aliases=("flux-2-pro-image-to-image",),
        fields=(
            *_FLUX_FIELDS,
            Field("input_urls", "urls", "Reference images", required=True, minimum=1, maximum=8),
        ),
        price=_flux_price,
        price_source=_FLUX_SOURCE,
        p50_seconds=20,
        stuck_minutes=10,
    ),
    Model(
        id="kling-2.6/text-to-video",
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
        p50_seconds=120,
        stuck_minutes=20,
    ),
    Model(
        id="kling-2.6/image-to-video",
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
        p50_seconds=120,
        stuck_minutes=20,
    ),
)


def find(model: str) -> Model | None:
    """The model of that id or alias, or None for one that we do not offer."""
    return next((entry for entry in MODELS if model == entry.id or model in entry.aliases), None)


def require(model: str) -> Model:
    """The model of that id or alias. Raises InvalidInput that names those that exist."""
    found = find(model)
    if found is None:
        raise InvalidInput(
            "model",
            f"There is no model {model[:80]!r}. Choose one of: {', '.join(entry.id for entry in MODELS)}.",
        )
    return found


def timing(model: str, kind: str | None) -> Timing:
    """The times for a model, by its kind when the model is not ours; an image's when neither is known."""
    found = find(model)
    if found is not None:
        return Timing(found.p50_seconds, found.stuck_minutes)
    return TIMING_BY_KIND["video" if kind == "video" else "image"]


def estimate_usd(model: str, model_input: Mapping[str, Any]) -> Decimal:
    """What one generation is expected to cost, in USD. The input is validated on the way."""
    return require(model).price(validate(model, model_input))


def family_usd(model: str, kind: str | None) -> tuple[Decimal, str]:
    """The dearest generation of a model's family, and whose it is: for one whose own price is not known.

    A family are the models whose names begin alike, else those of the same kind.
    """
    family = [one for one in MODELS if _stem(one.id) == _stem(model)]
    family = family or [one for one in MODELS if one.kind == kind] or list(MODELS)
    return max((_dearest(one), one.label) for one in family)


def _stem(model: str) -> str:
    return model.split("/")[0].split("-")[0].lower()


def _dearest(model: Model) -> Decimal:
    options = [
        [(field.name, value) for value in (field.choices or (True, False))]
        for field in model.fields
        if field.type in {"choice", "flag"}
    ]
    return max(model.price(dict(chosen)) for chosen in itertools.product(*options))


def usd_of_credits(amount: Decimal) -> Decimal:
    """USD for an `amount` of consumed KIE credits."""
    return amount * USD_PER_CREDIT


def validate(model: str, model_input: Mapping[str, Any]) -> dict[str, Any]:
    """The input as it is sent: known fields only, checked, defaults filled in.

    Raises InvalidInput whose `field` is the faulty one and whose text says what would be right.
    """
    chosen = require(model)
    for name in model_input:
        if chosen.field(name) is None:
            known = ", ".join(field.name for field in chosen.fields)
            raise InvalidInput(name[:80], f"{chosen.label} has no input {name[:80]!r}. It takes: {known}.")
    values: dict[str, Any] = {}
    for field in chosen.fields:
        value = model_input.get(field.name)
        if value is None:
            value = field.default
        if value is None and not field.required:
            continue
        values[field.name] = _CHECKS[field.type](field, value)
    return values


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field.name, f"{field.label} must be a text.")
    text = value.strip()
    if not field.minimum <= len(text) <= field.maximum:
        raise InvalidInput(
            field.name,
            f"{field.label} must have {field.minimum} to {field.maximum} characters; it has {len(text)}.",
        )
    if any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(field.name, f"{field.label} contains characters that are no text. Remove them.")
    return text


def _choice(field: Field, value: Any) -> str:
    chosen = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(chosen, str) or chosen not in field.choices:
        raise InvalidInput(field.name, f"{field.label} must be one of: {', '.join(field.choices)}.")
    return chosen


def _flag(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field.name, f"{field.label} must be true or false.")
    return value


def _urls(field: Field, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not field.minimum <= len(value) <= field.maximum:
        count = f"{field.minimum} to {field.maximum} URLs" if field.maximum > 1 else "exactly one URL"
        raise InvalidInput(field.name, f"{field.label} must be a list of {count}.")
    return [_url(field, item) for item in value]


def _url(field: Field, value: Any) -> str:
    fault = InvalidInput(
        field.name, f"{field.label} must be http or https URLs of at most {MAX_URL} characters."
    )
    if not isinstance(value, str) or len(value) > MAX_URL or not value.isprintable() or " " in value:
        raise fault
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        raise fault from None
    if parts.scheme not in {"http", "https"} or not host:
        raise fault
    return value


_CHECKS: dict[FieldType, Callable[[Field, Any], Any]] = {
    "text": _text,
    "choice": _choice,
    "flag": _flag,
    "urls": _urls,
}
