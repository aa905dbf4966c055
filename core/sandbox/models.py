"""The models that the sandbox sells: their inputs, bounds and prices, as KIE documents them.

Source: https://docs.kie.ai (market pages of FLUX.2 pro and Kling 2.6). Prices are credits; one credit
is half a US cent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3")
VIDEO_RATIOS = ("1:1", "16:9", "9:16")

Input = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of a model's input.

    `least` and `most` bound a text's characters or a list's entries; `choices` are a choice's words.
    """

    name: str
    kind: Literal["text", "choice", "flag", "urls"]
    required: bool = True
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()

    def complaint(self, value: object) -> str | None:
        """What is wrong with `value` in KIE's manner, or None."""
        if value is None:
            return f"{self.name} is required" if self.required else None
        return _COMPLAINTS[self.kind](self, value)


def _text(field: Field, value: object) -> str | None:
    if not isinstance(value, str):
        return f"{field.name} must be a string"
    if len(value) < field.least:
        return f"{field.name} must be at least {field.least} characters"
    if len(value) > field.most:
        return f"{field.name} must not exceed {field.most} characters"
    return None


def _choice(field: Field, value: object) -> str | None:
    return None if value in field.choices else f"{field.name} is not within the range of allowed options"


def _flag(field: Field, value: object) -> str | None:
    return None if isinstance(value, bool) else f"{field.name} must be a boolean"


def _urls(field: Field, value: object) -> str | None:
    if not isinstance(value, list) or not field.least <= len(value) <= field.most:
        return f"{field.name} must contain between {field.least} and {field.most} URLs"
    if any(not isinstance(url, str) or not url.startswith(("http://", "https://")) for url in value):
        return f"{field.name} must contain valid URLs"
    return None


_COMPLAINTS: dict[str, Callable[[Field, object], str | None]] = {
    "text": _text,
    "choice": _choice,
    "flag": _flag,
    "urls": _urls,
}


@dataclass(frozen=True)
class Model:
    """A model: what it takes, what it makes, what it costs."""

    name: str
    kind: Literal["image", "video"]
    extension: Literal["jpg", "png", "mp4"]
    fields: tuple[Field, ...]
    price: Callable[[Input], float]

    def complaint(self, given: Input) -> str | None:
        """The first fault of the input in KIE's manner, or None. Unknown fields are let through."""
        for field in self.fields:
            if said := field.complaint(given.get(field.name)):
                return said
        return None


def _flux_price(given: Input) -> float:
    return 7.0 if given.get("resolution") == "2K" else 5.0


def _kling_price(given: Input) -> float:
    return 55.0 * (2 if given.get("sound") else 1) * (2 if given.get("duration") == "10" else 1)


_FLUX = (
    Field("prompt", "text", least=3, most=5000),
    Field("aspect_ratio", "choice", choices=RATIOS),
    Field("resolution", "choice", choices=("1K", "2K")),
    Field("nsfw_checker", "flag", required=False),
)
_KLING = (
    Field("prompt", "text", least=1, most=1000),
    Field("sound", "flag"),
    Field("duration", "choice", choices=("5", "10")),
)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("flux-2/pro-text-to-image", "image", "jpg", _FLUX, _flux_price),
        Model(
            "flux-2/pro-image-to-image",
            "image",
            "png",
            (*_FLUX, Field("input_urls", "urls", least=1, most=8)),
            _flux_price,
        ),
        Model(
            "kling-2.6/text-to-video",
            "video",
            "mp4",
            (*_KLING, Field("aspect_ratio", "choice", choices=VIDEO_RATIOS)),
            _kling_price,
        ),
        Model(
            "kling-2.6/image-to-video",
            "video",
            "mp4",
            (*_KLING, Field("image_urls", "urls", least=1, most=1)),
            _kling_price,
        ),
    )
}
