"""What can be turned while the sandbox runs: durations, limits, styles, sizes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Dials(BaseModel):
    """The sandbox's settings; they outlive a restart.

    Durations in seconds, sizes in bytes. 0 switches a limit off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_seconds: float = Field(default=4.0, ge=0, description="how long an image takes")
    video_seconds: float = Field(default=8.0, ge=0, description="how long a video takes")
    jitter: float = Field(default=0.15, ge=0, lt=1, description="durations vary by this part, up and down")
    training_seconds: float = Field(default=20.0, ge=0, description="how long a training takes")
    training_start_seconds: float | None = Field(
        default=None,
        ge=0,
        description="how long until it runs, half of that in the queue; none = a fifth of it",
    )
    trainings_at_once: int = Field(default=200, ge=1, description="so many at once, the next is refused")
    lora_image_seconds: float = Field(default=3.0, ge=0, description="how long an image by a LoRA takes")
    pods_linger: bool = Field(
        default=False, description="a pod that is done stays RUNNING and costs until it is terminated"
    )
    weights_bytes: int = Field(
        default=0, ge=0, le=4_000_000_000, description="weights are about this large, 0 = small ones"
    )
    fal_errors: Literal["detail", "errors"] = Field(
        default="detail", description="the name under which fal lists what is wrong with an input"
    )
    creates_per_window: int = Field(default=20, ge=0, description="accepted creates per window, 0 = no limit")
    window_seconds: float = Field(default=10.0, gt=0, description="the creates' window")
    reads_per_second: int = Field(default=0, ge=0, description="recordInfo calls per second, 0 = no limit")
    status_style: Literal["body", "http"] = Field(
        default="body",
        description="errors come with HTTP 200 and their code in the body, or with their own status",
    )
    file_bytes: int = Field(
        default=0,
        ge=0,
        le=4_000_000_000,
        description="results are valid files of this size, 0 = real pictures",
    )
    file_latency_seconds: float = Field(
        default=0.0, ge=0, description="every file waits this long before it starts"
    )
    callback_attempts: int = Field(
        default=1, ge=1, le=10, description="tries until a callback is answered with 2xx"
    )
    callback_retry_seconds: float = Field(default=5.0, ge=0, description="pause between these tries")
    seed: int | None = Field(default=None, description="same seed, same task ids, durations and draws")
