"""One model of generations as our tables describe it: its input, the bounds, the price, the times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

from core.errors import InvalidInput

Kind = Literal["image", "video"]
FieldType = Literal["text", "choice", "flag", "urls", "url", "number"]

MAX_URL = 2048
# No model takes more pictures at once.
MAX_PICTURES = 8


@dataclass(frozen=True)
class Field:
    """One input of a model. `minimum` and `maximum` count characters of a text or items of a list, and
    bound a number.

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
class LoraRule:
    """How a model makes use of a LoRA. `direct`: the weights are an input of its own. Otherwise a first frame
    is made with the LoRA and handed to the model `by`: itself, or the one that starts from a picture."""

    direct: bool = False
    by: str = ""


@dataclass(frozen=True)
class Unit:
    """By what a model is paid whose price stands in the table of prices: `service` there, by the `name`, of
    which `count` says how many a validated input takes."""

    service: str
    name: str
    count: Callable[[Mapping[str, Any]], Decimal]


@dataclass(frozen=True)
class Model:
    """One model. `price` estimates USD from a validated input, unless it is paid by a `unit`; `p50_seconds`
    is the usual time to a result, when the first poll is due; after `stuck_minutes` in flight a task counts
    as stuck. `provider` is its name in the registry, `price_version` the list that it was priced by."""

    id: str
    label: str
    kind: Kind
    fields: tuple[Field, ...]
    price: Callable[[Mapping[str, Any]], Decimal] | None
    price_source: str
    price_version: str
    p50_seconds: int
    stuck_minutes: int
    aliases: tuple[str, ...] = ()
    provider: str = "kie"
    lora: LoraRule | None = None
    unit: Unit | None = None

    def usd(self, values: Mapping[str, Any], unit_prices: Mapping[str, Decimal]) -> Decimal:
        """What a validated input is expected to cost; `unit_prices` has USD a unit by service."""
        if self.unit is not None:
            return self.unit.count(values) * unit_prices[self.unit.service]
        assert self.price is not None
        return self.price(values)

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)

    @property
    def picture_field(self) -> Field | None:
        """The input that takes pictures; None where it takes none."""
        return next((field for field in self.fields if field.type in {"url", "urls"}), None)


def validate(model: Model, model_input: Mapping[str, Any], *, later: str | None = None) -> dict[str, Any]:
    """The input as it is sent: known fields only, checked, defaults filled in. The field `later` may be
    missing: it is added before the input is sent.

    Raises InvalidInput whose `field` is the faulty one and whose text says what would be right.
    """
    for name in model_input:
        if model.field(name) is None:
            known = ", ".join(field.name for field in model.fields)
            raise InvalidInput(name[:80], f"{model.label} has no input {name[:80]!r}. It takes: {known}.")
    values: dict[str, Any] = {}
    for field in model.fields:
        value = model_input.get(field.name)
        if value is None:
            value = field.default
        if value is None and (not field.required or field.name == later):
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


def _one_url(field: Field, value: Any) -> str:
    if not value:
        raise InvalidInput(field.name, f"{field.label} must be one URL.")
    return _url(field, value)


def _number(field: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not field.minimum <= value <= field.maximum:
        raise InvalidInput(
            field.name, f"{field.label} must be a whole number from {field.minimum:,} to {field.maximum:,}."
        )
    return value


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
    "url": _one_url,
    "number": _number,
}
