"""Which way a model takes with a LoRA, what is sent and what it costs: the rules as tables."""

from dataclasses import fields
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.deliveries import with_lora
from core.errors import Conflict, InvalidInput
from core.loras.models import Lora, Way
from core.providers import catalogue

FLUX, FLUX_IMAGES = "flux-2/pro-text-to-image", "flux-2/pro-image-to-image"
KLING, KLING_IMAGE = "kling-2.6/text-to-video", "kling-2.6/image-to-video"
PRO = "fal-ai/kling-video/v2.1/pro/image-to-video"
STANDARD = "fal-ai/kling-video/v2.1/standard/image-to-video"
FLUX_LORA = "fal-ai/flux-lora"
URL = "https://cdn.example.com/1.jpg"


def lora(**changes: Any) -> Lora:
    """A completed LoRA; with `changes`."""
    values: dict[str, Any] = {field.name: None for field in fields(Lora)}
    values |= {"id": UUID(int=1), "name": "Ada", "training_status": "completed", "storage_path": "a/b"}
    return Lora(**{**values, **changes})


READY, IN_TRAINING = lora(), lora(training_status="training", storage_path=None)


@pytest.mark.parametrize(
    ("model", "of", "way", "sent"),
    [
        (FLUX_LORA, READY, Way.DIRECT, FLUX_LORA),
        (FLUX, READY, Way.FIRST_FRAME, FLUX_IMAGES),
        (FLUX_IMAGES, READY, Way.FIRST_FRAME, FLUX_IMAGES),
        (KLING, READY, Way.FIRST_FRAME, KLING_IMAGE),
        (KLING_IMAGE, READY, Way.FIRST_FRAME, KLING_IMAGE),
        (PRO, READY, Way.FIRST_FRAME, PRO),
        (STANDARD, READY, Way.FIRST_FRAME, STANDARD),
        (FLUX, IN_TRAINING, Way.REFERENCES, FLUX_IMAGES),
        (KLING, IN_TRAINING, Way.REFERENCES, KLING_IMAGE),
        (PRO, IN_TRAINING, Way.REFERENCES, PRO),
    ],
)
def test_the_way_of_each_model(model: str, of: Lora, way: Way, sent: str) -> None:
    made = with_lora.plan(catalogue.require(model), {"prompt": "ada at sea"}, of, references=3)
    assert (made.way, made.model.id) == (way, sent)
    assert (made.frame_input is not None) == (way is Way.FIRST_FRAME)
    field = made.model.picture_field
    assert field is None or field.name not in made.input


def test_every_model_says_what_it_does_with_a_lora() -> None:
    for model in catalogue.MODELS:
        assert model.lora is not None
        by = catalogue.require(model.lora.by) if model.lora.by else None
        assert model.lora.direct == (by is None)
        assert by is None or by.picture_field is not None
        assert by is None or by.lora is not None
        assert by is None or by.kind == model.kind


@pytest.mark.parametrize(
    ("changes", "model", "said"),
    [
        ({"training_status": "failed"}, KLING, "The training of “Ada” failed"),
        ({"training_status": "pending"}, FLUX_LORA, "needs its finished weights"),
        ({"training_status": "validating"}, FLUX_LORA, "still validating"),
        ({"storage_path": None}, KLING, "has no stored weights"),
        ({"base_model": "Stable Diffusion XL"}, KLING, "only LoRAs of FLUX.1 can be used here"),
        ({"hidden_at": 1}, KLING, "is hidden"),
        ({"archived_at": 1}, KLING, "is archived"),
    ],
)
def test_a_lora_that_cannot_be_used_says_why(changes: dict[str, Any], model: str, said: str) -> None:
    with pytest.raises(Conflict, match=said):
        with_lora.plan(catalogue.require(model), {"prompt": "ada"}, lora(**changes), references=3)


@pytest.mark.parametrize(
    ("status", "by_creator", "way"),
    [
        ("validating", True, Way.FIRST_FRAME),
        ("validating", False, Way.REFERENCES),
        ("training", True, Way.REFERENCES),
        ("pending", True, Way.REFERENCES),
        ("completed", False, Way.FIRST_FRAME),
    ],
)
def test_its_creator_uses_a_lora_that_waits_to_be_judged(status: str, by_creator: bool, way: Way) -> None:
    of = lora(training_status=status)
    assert with_lora.way_of(catalogue.require(KLING), of, by_creator=by_creator) is way


def test_one_without_weights_is_of_no_use_to_its_creator_either() -> None:
    of = lora(training_status="validating", storage_path=None)
    with pytest.raises(Conflict, match="no stored weights"):
        with_lora.way_of(catalogue.require(FLUX_LORA), of, by_creator=True)


def test_without_references_an_unfinished_lora_is_of_no_use() -> None:
    with pytest.raises(Conflict, match="has no reference images"):
        with_lora.plan(catalogue.require(KLING), {"prompt": "ada"}, IN_TRAINING, references=0)


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("1:1", "square_hd"),
        ("4:3", "landscape_4_3"),
        ("3:2", "landscape_4_3"),
        ("3:4", "portrait_4_3"),
        ("2:3", "portrait_4_3"),
        ("16:9", "landscape_16_9"),
        ("9:16", "portrait_16_9"),
    ],
)
def test_the_frame_has_the_shape_of_the_result(ratio: str, size: str) -> None:
    given = {"prompt": "ada", "aspect_ratio": ratio}
    made = with_lora.plan(catalogue.require(FLUX), given, READY, references=0)
    assert made.frame_input == {"prompt": "ada", "image_size": size}
    again = with_lora.plan(catalogue.require(KLING_IMAGE), {"prompt": "ada"}, READY, 0, size)
    assert again.frame_input == made.frame_input


def test_references_keep_the_shape_for_the_frame_of_later() -> None:
    given = {"prompt": "ada", "aspect_ratio": "9:16"}
    made = with_lora.plan(catalogue.require(KLING), given, IN_TRAINING, references=3)
    assert (made.way, made.frame_input, made.frame_size) == (Way.REFERENCES, None, "portrait_16_9")


def test_every_aspect_ratio_has_its_size() -> None:
    ratios = {
        choice
        for model in catalogue.MODELS
        for field in model.fields
        if field.name == "aspect_ratio"
        for choice in field.choices
    }
    assert ratios == set(with_lora.SIZES)


@pytest.mark.parametrize(
    ("model", "given", "frame", "usd"),
    [
        (FLUX_LORA, {}, "0", "0.035"),
        (FLUX, {"aspect_ratio": "16:9"}, "0.035", "0.025"),
        (FLUX, {"aspect_ratio": "1:1", "resolution": "2K"}, "0.07", "0.035"),
        (KLING, {"duration": "10"}, "0.035", "0.55"),
        (PRO, {}, "0.035", "0.49"),
        (STANDARD, {"duration": "10"}, "0.035", "0.56"),
    ],
)
def test_both_parts_are_in_the_quote(model: str, given: dict[str, str], frame: str, usd: str) -> None:
    made = with_lora.plan(catalogue.require(model), {"prompt": "ada", **given}, READY, references=0)
    quote = with_lora.quote(made, {"flux-lora": Decimal("0.035")})
    assert (quote.frame_usd, quote.model_usd) == (Decimal(frame), Decimal(usd))
    assert quote.total_usd == Decimal(frame) + Decimal(usd)


@pytest.mark.parametrize(
    ("model", "given", "field", "said"),
    [
        (KLING_IMAGE, {"image_urls": [URL]}, "image_urls", "made with the LoRA. Leave it empty"),
        (PRO, {"image_url": URL}, "image_url", "made with the LoRA. Leave it empty"),
        (FLUX_IMAGES, {"input_urls": [URL] * 8}, "input_urls", "takes 8 pictures, and one of them is made"),
        (KLING, {"duration": "7"}, "duration", "must be one of"),
        (FLUX_LORA, {"seed": -1}, "seed", "whole number"),
    ],
)
def test_a_fault_of_the_input_is_named_at_its_field(
    model: str, given: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        with_lora.plan(catalogue.require(model), {"prompt": "ada", **given}, READY, references=0)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("model", "own", "urls", "expected"),
    [
        (PRO, {}, ["a"], {"image_url": "a"}),
        (KLING_IMAGE, {}, ["a", "b"], {"image_urls": ["a"]}),
        (FLUX_IMAGES, {}, ["a", "b"], {"input_urls": ["a", "b"]}),
        (FLUX_IMAGES, {"input_urls": ["x", "y"]}, ["a"], {"input_urls": ["a", "x", "y"]}),
        (FLUX_IMAGES, {"input_urls": ["x"] * 5}, ["a"] * 5, {"input_urls": ["a"] * 5 + ["x"] * 3}),
    ],
)
def test_pictures_stand_before_ones_own(
    model: str, own: dict[str, Any], urls: list[str], expected: dict[str, Any]
) -> None:
    assert with_lora.with_pictures(catalogue.require(model), own, urls) == expected
