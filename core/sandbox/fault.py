"""What a fault of the sandbox is: a row of its tables."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Value = float | int | str | None
Argument = Literal[
    "seconds", "number", "status", "code", "word", "url", "bytes", "order", "forgery", "type", ""
]


class Place(StrEnum):
    """Where a fault strikes; see ONCE for those that are decided when something is accepted."""

    CREATE = "create"
    READ = "read"
    FILE = "file"
    STORE = "store"
    OTHER = "other"
    TASK = "task"
    FAL_SUBMIT = "fal_submit"
    FAL_READ = "fal_read"
    FAL_CANCEL = "fal_cancel"
    FAL_TRAINING = "fal_training"
    FAL_IMAGE = "fal_image"
    FAL_FILM = "fal_film"
    REPLICATE_SUBMIT = "replicate_submit"
    REPLICATE_READ = "replicate_read"
    REPLICATE_CANCEL = "replicate_cancel"
    REPLICATE_TRAINING = "replicate_training"
    RUNPOD_SUBMIT = "runpod_submit"
    RUNPOD_READ = "runpod_read"
    RUNPOD_CANCEL = "runpod_cancel"
    RUNPOD_TRAINING = "runpod_training"
    HUB_COMMIT = "hub_commit"
    HUB_OTHER = "hub_other"
    WEIGHTS = "weights"


# Decided once, when the task or training is created.
ONCE = {
    Place.TASK,
    Place.FAL_TRAINING,
    Place.FAL_IMAGE,
    Place.FAL_FILM,
    Place.REPLICATE_TRAINING,
    Place.RUNPOD_TRAINING,
}


class Group(StrEnum):
    """Faults that a person looks for in one place."""

    REACHING = "Reaching KIE"
    SENDING = "Sending a request"
    MAKING = "What KIE makes of it"
    CALLBACKS = "Callbacks"
    FILES = "Fetching the file"
    OWN = "Our own storage and database"
    TRAINERS = "Reaching fal, Replicate, RunPod and Hugging Face"
    TRAININGS = "What becomes of a training"
    WEBHOOKS = "Webhooks of a training"


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    `places` are possible, `usual` are meant when none is named. A `sticky` fault with a rate is drawn once
    a task, any other one at each request. `ends` says what a training that meets it must come to.
    """

    name: str
    group: Group
    title: str
    line: str
    places: tuple[Place, ...]
    usual: tuple[Place, ...]
    argument: Argument = ""
    default: Value = None
    sticky: bool = False
    ends: str = ""
