"""The models of fal that the sandbox sells: what they take, in fal's own words when it does not fit.

Sources: https://fal.ai/models/fal-ai/flux-lora-fast-training/api,
https://fal.ai/models/fal-ai/flux-lora/api and
https://fal.ai/models/fal-ai/kling-video/v2.1/pro/image-to-video/api
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictStr, ValidationError

TRAINING, IMAGE = "fal-ai/flux-lora-fast-training", "fal-ai/flux-lora"
FILMS = (
    "fal-ai/kling-video/v2.1/pro/image-to-video",
    "fal-ai/kling-video/v2.1/standard/image-to-video",
)
LEAST_IMAGES = 4
SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
Url = StrictStr
SizeName = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]


class TrainingInput(BaseModel):
    """Of fal-ai/flux-lora-fast-training; what it does not know it lets through."""

    images_data_url: Url
    trigger_word: StrictStr | None = None
    create_masks: StrictBool = True
    steps: int = Field(default=1000, ge=1, le=10_000)
    is_style: StrictBool = False
    is_input_format_already_preprocessed: StrictBool = False
    data_archive_format: StrictStr | None = None


class Lora(BaseModel):
    """A LoRA to use, and how strongly."""

    path: StrictStr
    scale: float = Field(default=1.0, ge=0, le=4)


class Size(BaseModel):
    """An image's size in pixels."""

    width: int = Field(default=512, gt=0, le=2048)
    height: int = Field(default=512, gt=0, le=2048)


class ImageInput(BaseModel):
    """Of fal-ai/flux-lora."""

    prompt: StrictStr
    image_size: SizeName | Size = "landscape_4_3"
    num_inference_steps: int = Field(default=28, ge=1, le=50)
    guidance_scale: float = Field(default=3.5, ge=0, le=35)
    seed: int | None = None
    loras: list[Lora] = Field(default_factory=list, max_length=10)
    num_images: int = Field(default=1, ge=1, le=4)
    enable_safety_checker: StrictBool = True
    output_format: Literal["jpeg", "png"] = "jpeg"

    @property
    def pixels(self) -> tuple[int, int]:
        size = self.image_size
        return SIZES[size] if isinstance(size, str) else (size.width, size.height)


class FilmInput(BaseModel):
    """Of both of Kling's; what they do not know they let through."""

    prompt: StrictStr = Field(min_length=1, max_length=2500)
    image_url: Url = Field(min_length=1)
    duration: Literal["5", "10"] = "5"
    negative_prompt: StrictStr = "blur, distort, and low quality"
    cfg_scale: float = Field(default=0.5, ge=0, le=1)


INPUTS: dict[str, Callable[[Mapping[str, Any]], BaseModel]] = {
    TRAINING: TrainingInput.model_validate,
    IMAGE: ImageInput.model_validate,
} | dict.fromkeys(FILMS, FilmInput.model_validate)


def complaints(model: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with the input, as fal lists it; empty when it fits."""
    try:
        INPUTS[model](given)
    except ValidationError as error:
        return [
            {"loc": ["body", *fault["loc"]], "msg": fault["msg"], "type": fault["type"]}
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    return []
