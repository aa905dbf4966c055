"""The character references of a job, whose record is nowhere documented: read tolerantly."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.trainings.launch_rules import MAX_TRIGGER
from core.trainings.sheet import LEAST

# Generated long ago by uuid4; the same draft and character lead to the same id.
_DRAFTS = UUID("6f0a4c0e-5b1f-4e0c-9d64-1c7a3f4f8a52")
_KEY = "character_references"
_DEEPEST = 6


@dataclass(frozen=True)
class Character:
    """A character of a job with the addresses of its images, in the job's order, each once."""

    id: str
    urls: tuple[str, ...] = field(repr=False)

    def lora_name(self, name: str) -> str:
        """What the LoRA of this character is called; one LoRA a character."""
        return f"{name} · {self.id}"[:255]

    def trigger_word(self, word: str, n: int) -> str:
        """The trigger word of this character's LoRA, the n-th of a job: one that no other of them has."""
        slug = re.sub(r"[^A-Za-z0-9]+", "_", self.id).strip("_").lower()[:10].strip("_")
        end = f"_{slug or n}"
        return f"{word[: MAX_TRIGGER - len(end)]}{end}" if word else ""

    def draft_id(self, beginning: UUID) -> UUID:
        """The draft of this character's LoRA: the same each time, so that a second click makes no second."""
        return uuid.uuid5(_DRAFTS, f"{beginning} {self.id}")


@dataclass(frozen=True)
class References:
    """The characters with enough images for a LoRA; `skipped` says of each other one why, in a sentence."""

    characters: tuple[Character, ...]
    skipped: tuple[str, ...]


def group(record: Mapping[str, Any]) -> References:
    """A job's record, whatever column the references stand in, as JSON or as its text."""
    found: dict[str, dict[str, None]] = {}
    for entry in _entries(record, _DEEPEST):
        character, url = entry.get("character_id"), entry.get("image_url")
        if not isinstance(character, str | int) or not isinstance(url, str):
            continue
        name = str(character).strip()[:200]
        if name and url.strip():
            found.setdefault(name, {})[url.strip()] = None
    characters = [Character(name, tuple(urls)) for name, urls in found.items()]
    skipped = [_skipped(one) for one in characters if len(one.urls) < LEAST]
    return References(tuple(one for one in characters if len(one.urls) >= LEAST), tuple(skipped))


def _skipped(character: Character) -> str:
    count = len(character.urls)
    return (
        f"{character.id} is skipped: it has {count} image{'s' * (count != 1)}, and a LoRA takes at least"
        f" {LEAST}. Add images of it by hand to train it."
    )


def _entries(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """Every entry of every list of references within `value`."""
    if depth < 0:
        return
    if isinstance(value, str) and _KEY in value:
        value = _parsed(value)
    if isinstance(value, Mapping):
        for key, inside in value.items():
            listed = _parsed(inside) if isinstance(inside, str) and key == _KEY else inside
            if key == _KEY and isinstance(listed, Sequence) and not isinstance(listed, str):
                yield from (entry for entry in listed if isinstance(entry, Mapping))
            else:
                yield from _entries(inside, depth - 1)
    elif isinstance(value, list):
        for inside in value:
            yield from _entries(inside, depth - 1)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
