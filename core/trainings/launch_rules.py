"""Whether a training may begin: pure rules, each with the sentence that a page shows as it is."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from core.errors import Conflict, InvalidInput
from core.providers.training import Bounds
from core.trainings.models import Launch, NameTaken, QuotaExceeded

MAX_NAME = 255
MAX_DESCRIPTION = 2_000
MAX_TRIGGER = 30
MAX_REQUEST_KEY = 200
QUOTA = 5
USUAL_STEPS = 1_000
USUAL_LEARNING_RATE = Decimal("0.0001")
USUAL_RANK = 16
# One word that a prompt can carry and a caption's reader does not cut: letters, digits, _ and -.
_TRIGGER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
# Invisible, but they make one emoji of several, and letters of some scripts.
_JOINERS = re.compile("[\u200c\u200d]")
# Words of every second prompt would call the character up unasked.
_COMMON = {
    "a",
    "an",
    "and",
    "boy",
    "girl",
    "in",
    "man",
    "of",
    "person",
    "photo",
    "portrait",
    "style",
    "the",
    "woman",
}


@dataclass(frozen=True)
class Facts:
    """What the rules look at besides the wish itself.

    `images`: how many images of the draft would be used; `problems`: sentences about them that
    stand in the way; `bounds` None: the trainer is not configured here, and `missing` says what is wanting.
    """

    images: int
    problems: tuple[str, ...]
    bounds: Bounds | None
    missing: str
    names: int
    used: int
    now: datetime
    publisher: bool
    pictures: bool


def check_can_launch(launch: Launch, facts: Facts, *, label: str) -> None:
    """Raise the refusal, the first reason of all: InvalidInput, NameTaken, QuotaExceeded, Conflict."""
    check_text(launch)
    if facts.bounds is None:
        raise SettingsNeeded(facts.missing or f"{label} is not configured. Choose another trainer.")
    if not facts.pictures:
        raise SettingsNeeded(
            "Test images are made at fal: FAL_KEY is not set. Set it, or nothing can be validated."
        )
    if launch.publish and not facts.publisher:
        raise SettingsNeeded(
            "HUGGINGFACE_API_TOKEN and HUGGINGFACE_USERNAME are not set. Set them, or do not publish."
        )
    check_parameters(launch, facts.bounds, label)
    check_dataset(facts, facts.bounds, label)
    if facts.names:
        raise NameTaken(f"You have a LoRA named “{launch.name}” already. Choose another name.")
    check_quota(facts.used, facts.now)


class SettingsNeeded(Conflict):
    """What was chosen is not configured here."""

    code = "not_configured"


def check_text(launch: Launch) -> None:
    """Name, trigger word, description and the request's key."""
    if not 8 <= len(launch.request_key) <= MAX_REQUEST_KEY:
        raise InvalidInput("request_key", f"request_key must have 8 to {MAX_REQUEST_KEY} characters.")
    if not launch.name.strip() or len(launch.name) > MAX_NAME:
        raise InvalidInput("name", f"A LoRA's name has 1 to {MAX_NAME} characters.")
    if launch.name != launch.name.strip():
        raise InvalidInput("name", "A LoRA's name has no blanks at its ends. Take them away.")
    if not _JOINERS.sub("", launch.name).isprintable():
        raise InvalidInput(
            "name", "A LoRA's name has no line breaks and nothing invisible. Type it instead of pasting it."
        )
    if not 2 <= len(launch.trigger_word) <= MAX_TRIGGER or not _TRIGGER.fullmatch(launch.trigger_word):
        raise InvalidInput(
            "trigger_word",
            f"A trigger word is one word of 2 to {MAX_TRIGGER} letters, digits, _ or -, such as “ada_v1”.",
        )
    if launch.trigger_word.lower() in _COMMON:
        raise InvalidInput(
            "trigger_word",
            f"“{launch.trigger_word}” stands in ordinary prompts, which would show the character unasked."
            " Choose a word that nobody writes.",
        )
    if launch.description and len(launch.description) > MAX_DESCRIPTION:
        raise InvalidInput("description", f"A description has at most {MAX_DESCRIPTION:,} characters.")


def check_parameters(launch: Launch, bounds: Bounds, label: str) -> None:
    """Steps, learning rate and rank within the trainer's bounds."""
    low, high = bounds.steps
    if not low <= launch.steps <= high:
        raise InvalidInput("steps", f"{label} takes {low:,} to {high:,} steps.")
    _within("learning_rate", "learning rate", launch.learning_rate, bounds.learning_rate, label)
    _within("rank", "rank", launch.rank, bounds.rank, label)


def _within(
    field: str,
    what: str,
    value: Decimal | int | None,
    allowed: tuple[Decimal, Decimal] | tuple[int, int] | None,
    label: str,
) -> None:
    if value is None:
        return
    if allowed is None:
        raise InvalidInput(field, f"{label} takes no {what}. Leave it out.")
    low, high = allowed
    if not low <= value <= high:
        raise InvalidInput(field, f"{label} takes a {what} from {low} to {high}.")


def check_dataset(facts: Facts, bounds: Bounds, label: str) -> None:
    """The images: none in the way, and as many as the trainer takes."""
    if facts.problems:
        raise InvalidInput("images", " ".join(facts.problems))
    low, high = bounds.images
    if facts.images < low:
        raise InvalidInput(
            "images", f"{label} needs at least {low} images; there are {facts.images}. Add some."
        )
    if facts.images > high:
        raise InvalidInput(
            "images", f"{label} takes at most {high} images; there are {facts.images}. Take some away."
        )


def check_quota(used: int, now: datetime) -> None:
    """QuotaExceeded when the creator's LoRAs of this month are used up; failed ones do not count."""
    if used >= QUOTA:
        then = (now.replace(day=1).month % 12) + 1
        name = datetime(2000, then, 1, tzinfo=now.tzinfo).strftime("%B")
        raise QuotaExceeded(
            f"{used} of {QUOTA} LoRAs of this month are used. The next one can begin on 1 {name} (UTC);"
            " failed and cancelled ones do not count."
        )
