"""The model table: what an input may be, what it becomes, what it costs."""

from decimal import Decimal
from typing import Any

import pytest

from core.errors import InvalidInput
from core.providers.catalogue import (
    MODELS,
    Timing,
    estimate_usd,
    find,
    require,
    timing,
    validate,
)
from core.providers.kie_models import usd_of_credits
from core.providers.registry import PROVIDERS

FLUX, FLUX_IMAGES = "flux-2/pro-text-to-image", "flux-2/pro-image-to-image"
KLING, KLING_IMAGE = "kling-2.6/text-to-video", "kling-2.6/image-to-video"
KLING_PRO = "fal-ai/kling-video/v2.1/pro/image-to-video"
KLING_STANDARD = "fal-ai/kling-video/v2.1/standard/image-to-video"
FLUX_LORA = "fal-ai/flux-lora"
URL = "https://cdn.example.com/a.jpg"


def test_defaults_are_filled_in_and_optional_inputs_left_out() -> None:
    assert validate(FLUX, {"prompt": "  a red cat "}) == {
        "prompt": "a red cat",
        "aspect_ratio": "1:1",
        "resolution": "1K",
    }
    assert validate(KLING, {"prompt": "x"}) == {
        "prompt": "x",
        "sound": False,
        "aspect_ratio": "16:9",
        "duration": "5",
    }


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    (FLUX, {"prompt": "abc"}),
    (FLUX, {"prompt": "x" * 5000, "nsfw_checker": True}),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": [URL] * 8}),
    (KLING, {"prompt": "x" * 1000, "duration": 10, "sound": True}),
    (KLING_IMAGE, {"prompt": "x", "image_urls": ["http://127.0.0.1:9000/a.png"]}),
    (KLING_PRO, {"prompt": "x" * 2500, "image_url": URL, "duration": 10}),
    (FLUX_LORA, {"prompt": "x", "image_size": "square_hd", "seed": 2**31 - 1}),
    (FLUX_LORA, {"prompt": "x", "seed": 0}),
]


@pytest.mark.parametrize(("model", "given"), ACCEPTED)
def test_accepted(model: str, given: dict[str, Any]) -> None:
    assert validate(model, given)["prompt"] == given["prompt"]


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (KLING_PRO, {"prompt": "x"}, "image_url", "must be one URL"),
    (KLING_PRO, {"prompt": "x", "image_url": ""}, "image_url", "must be one URL"),
    (KLING_PRO, {"prompt": "x", "image_url": [URL]}, "image_url", "http or https"),
    (KLING_PRO, {"prompt": "x", "image_url": "ftp://x/a.jpg"}, "image_url", "http or https"),
    (KLING_PRO, {"prompt": "x" * 2501, "image_url": URL}, "prompt", "it has 2501"),
    (FLUX_LORA, {"prompt": "x", "seed": -1}, "seed", "whole number from 0 to 2,147,483,647"),
    (FLUX_LORA, {"prompt": "x", "seed": 2**31}, "seed", "whole number"),
    (FLUX_LORA, {"prompt": "x", "seed": True}, "seed", "whole number"),
    (FLUX_LORA, {"prompt": "x", "seed": 1.5}, "seed", "whole number"),
    (FLUX_LORA, {"prompt": "x", "loras": []}, "loras", "has no input"),
    (FLUX, {}, "prompt", "must be a text"),
    (FLUX, {"prompt": "ab"}, "prompt", "3 to 5000 characters; it has 2"),
    (FLUX, {"prompt": " ab "}, "prompt", "it has 2"),
    (FLUX, {"prompt": "x" * 5001}, "prompt", "it has 5001"),
    (FLUX, {"prompt": 5}, "prompt", "must be a text"),
    (FLUX, {"prompt": "ab\x00c"}, "prompt", "no text"),
    (FLUX, {"prompt": "ab\ud800c"}, "prompt", "no text"),
    (FLUX, {"prompt": "abc", "resolution": "4K"}, "resolution", "1K, 2K"),
    (FLUX, {"prompt": "abc", "resolution": 2}, "resolution", "1K, 2K"),
    (FLUX, {"prompt": "abc", "aspect_ratio": ["1:1"]}, "aspect_ratio", "1:1, 4:3"),
    (FLUX, {"prompt": "abc", "nsfw_checker": "yes"}, "nsfw_checker", "true or false"),
    (FLUX, {"prompt": "abc", "callBackUrl": "https://x.example"}, "callBackUrl", "It takes: prompt"),
    (FLUX, {"prompt": "abc", "input_urls": [URL]}, "input_urls", "has no input"),
    (FLUX_IMAGES, {"prompt": "abc"}, "input_urls", "1 to 8"),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": []}, "input_urls", "1 to 8"),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": [URL] * 9}, "input_urls", "1 to 8"),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": URL}, "input_urls", "must be a list"),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": ["file:///etc/passwd"]}, "input_urls", "http or https"),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": ["https://[x"]}, "input_urls", "http or https"),
    (FLUX_IMAGES, {"prompt": "abc", "input_urls": ["https://" + "x" * 2048]}, "input_urls", "at most 2048"),
    (KLING, {"prompt": "x" * 1001}, "prompt", "1 to 1000"),
    (KLING, {"prompt": "x", "duration": "7"}, "duration", "5, 10"),
    (KLING, {"prompt": "x", "duration": True}, "duration", "5, 10"),
    (KLING, {"prompt": "x", "aspect_ratio": "4:3"}, "aspect_ratio", "1:1, 16:9, 9:16"),
    (KLING_IMAGE, {"prompt": "x", "image_urls": [URL, URL]}, "image_urls", "exactly one URL"),
]


@pytest.mark.parametrize(("model", "given", "field", "remedy"), REFUSED)
def test_refused_with_field_and_remedy(model: str, given: dict[str, Any], field: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(model, given)
    assert caught.value.field == field
    assert remedy in caught.value.message


def test_an_unknown_model_names_those_that_exist() -> None:
    with pytest.raises(InvalidInput) as caught:
        require("flux-9/ultra")
    assert caught.value.field == "model"
    assert all(model.id in caught.value.message for model in MODELS)


def test_aliases_lead_to_the_model_and_belong_to_one() -> None:
    assert find("kling-2.6") is require(KLING)
    names = [name for model in MODELS for name in (model.id, *model.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("model", "given", "usd"),
    [
        (FLUX, {"prompt": "abc"}, "0.025"),
        (FLUX, {"prompt": "abc", "resolution": "2K"}, "0.035"),
        (FLUX_IMAGES, {"prompt": "abc", "input_urls": [URL]}, "0.025"),
        (KLING, {"prompt": "x"}, "0.275"),
        (KLING, {"prompt": "x", "sound": True}, "0.55"),
        (KLING, {"prompt": "x", "duration": "10"}, "0.55"),
        (KLING_IMAGE, {"prompt": "x", "image_urls": [URL], "duration": "10", "sound": True}, "1.10"),
    ],
)
def test_prices(model: str, given: dict[str, Any], usd: str) -> None:
    assert estimate_usd(model, given) == Decimal(usd)


def test_five_credits_are_a_flux_image() -> None:
    assert usd_of_credits(Decimal(5)) == Decimal("0.025")


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        (FLUX, None, Timing(20, 10)),
        (KLING, "image", Timing(120, 20)),
        ("runway/gen-9", "video", Timing(120, 20)),
        ("midjourney", "image", Timing(20, 10)),
        ("", None, Timing(20, 10)),
    ],
)
def test_timing_also_for_models_that_are_not_ours(model: str, kind: str | None, expected: Timing) -> None:
    assert timing(model, kind) == expected


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_row_is_whole(model: Any) -> None:
    assert "$" in model.price_source or "table of prices" in model.price_source
    assert model.provider in PROVIDERS
    assert model.stuck_minutes * 60 > model.p50_seconds
    for field in model.fields:
        assert bool(field.choices) == (field.type == "choice")
        assert (field.maximum > 0) == (field.type in {"text", "urls", "number"})
        assert field.default is None or not field.required
        assert field.type != "choice" or field.default in field.choices


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("kling-2.1", KLING_PRO),
        ("kling-2.1-pro", KLING_PRO),
        ("kling-2.1-standard", KLING_STANDARD),
        ("flux-lora", FLUX_LORA),
        ("kling-2.6", KLING),
        ("flux-2-pro", FLUX),
    ],
)
def test_aliases_are_resolved_in_the_table(alias: str, model: str) -> None:
    assert require(alias).id == model


@pytest.mark.parametrize("unknown", ["kling-2.5", "Kling 2.5", "kling-2.5/text-to-video", ""])
def test_a_kling_that_no_table_knows_is_an_error_that_names_those_that_exist(unknown: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        require(unknown)
    assert refused.value.field == "model"
    assert all(model.id in refused.value.message for model in MODELS)


def test_no_name_means_two_models() -> None:
    names = [name for model in MODELS for name in (model.id, *model.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("model", "given", "usd"),
    [
        (KLING_PRO, {"duration": "5"}, "0.49"),
        (KLING_PRO, {"duration": "10"}, "0.98"),
        (KLING_STANDARD, {"duration": "5"}, "0.28"),
        (KLING_STANDARD, {"duration": "10"}, "0.56"),
    ],
)
def test_klings_price_at_fal(model: str, given: dict[str, Any], usd: str) -> None:
    assert estimate_usd(model, {"prompt": "x", "image_url": URL, **given}) == Decimal(usd)


@pytest.mark.parametrize(
    ("size", "usd"), [("square", "0.04"), ("landscape_4_3", "0.04"), ("square_hd", "0.08")]
)
def test_flux_with_a_lora_is_paid_by_the_started_megapixel(size: str, usd: str) -> None:
    given = {"prompt": "x", "image_size": size}
    assert require(FLUX_LORA).usd(given, {"flux-lora": Decimal("0.04")}) == Decimal(usd)


def test_every_model_has_its_price_in_one_place() -> None:
    """In its table, or by a unit in the table of prices."""
    for model in MODELS:
        assert (model.price is None) != (model.unit is None), model.id
