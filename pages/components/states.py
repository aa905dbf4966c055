"""States as people read them: a word, an icon and one colour each, the same on every page."""

from dataclasses import dataclass, replace
from html import escape
from typing import Literal

from core.deliveries.models import DeliveryState, Generation, Status
from core.providers.registry import worded

Tone = Literal["good", "bad", "lost", "attention", "working", "moving", "waiting", "unknown"]
# The stations that a generation passes, in the words of the person who waits for it.
STATIONS = ("Queued", "Generating", "Storing", "Delivered")
# Cells of a table are drawn as text, without the icons' font: what stands there for the icon of the badge.
# Fonts that are everywhere have each of them; in place of another, Chromium draws a box.
SYMBOLS = {
    "autorenew": "↻",
    "block": "⊘",
    "cancel": "✕",
    "check_circle": "✓",
    "delete_history": "⌫",
    "downloading": "↓",
    "front_hand": "☞",
    "heart_broken": "↯",
    "help": "?",
    "hourglass_top": "◔",
    "outbound": "↗",
    "rate_review": "✎",
    "schedule": "◷",
    "stop_circle": "■",
    "sync": "⟳",
    "unpublished": "∅",
}


@dataclass(frozen=True)
class Look:
    """How a state looks. `icon` is a name of Material Symbols; `means` says it in one sentence.

    `station` is the index in STATIONS of the station that it is at, None for an end that is none.
    """

    word: str
    icon: str
    tone: Tone
    means: str
    station: int | None = None

    @property
    def in_table(self) -> str:
        """The word behind its symbol, for a table's cell."""
        return f"{SYMBOLS[self.icon]} {self.word}"


LOOKS: dict[DeliveryState, Look] = {
    DeliveryState.INTENT: Look("Queued", "schedule", "waiting", "It waits to be sent to KIE.", 0),
    DeliveryState.SENDING: Look("Sending", "outbound", "waiting", "It is being sent to KIE.", 0),
    DeliveryState.AWAITING_PROVIDER: Look(
        "Generating", "autorenew", "working", "KIE is making it; we look every few seconds.", 1
    ),
    DeliveryState.AWAITING_DELIVERY: Look(
        "Storing", "downloading", "moving", "KIE has finished; its file is being copied into our storage.", 2
    ),
    DeliveryState.DELIVERED: Look(
        "Delivered", "check_circle", "good", "The file is in our storage and stays there.", 3
    ),
    DeliveryState.FAILED: Look("Failed", "cancel", "bad", "KIE could not make it."),
    DeliveryState.LOST: Look(
        "Lost", "delete_history", "lost", "KIE made it, but its file was gone before it could be stored."
    ),
    DeliveryState.NEEDS_ATTENTION: Look(
        "Needs attention", "front_hand", "attention", "No rule can decide this one; a person must look."
    ),
}
# KIE has accepted it and has not begun.
QUEUED_AT_KIE = Look("Queued at KIE", "hourglass_top", "waiting", "KIE has it in its queue.", 0)
# Rows of the company's application that were never followed by us.
LEGACY_LOOKS: dict[Status, Look] = {
    Status.QUEUED: Look("Queued", "schedule", "waiting", "The company's application has queued it.", 0),
    Status.GENERATING: Look("Generating", "autorenew", "working", "The company's application follows it.", 1),
    Status.SUCCESS: Look(
        "Success", "check_circle", "good", "The company's application calls it finished; we never stored it."
    ),
    Status.FAILED: Look("Failed", "cancel", "bad", "The company's application calls it failed."),
}


def _unknown(word: str | None) -> Look:
    said = f"Its state is “{word}”, which nobody here knows." if word else "It has no state at all."
    return Look("Unknown", "help", "unknown", said)


def look_of(generation: Generation) -> Look:
    """How this generation's state looks, also when another system wrote the row."""
    return _in_words_of(_look_of(generation), generation.provider)


def _look_of(generation: Generation) -> Look:
    status = Status(generation.status) if generation.status in set(Status) else None
    if generation.delivery_state is None:
        return LEGACY_LOOKS[status] if status else _unknown(generation.status)
    if generation.delivery_state is DeliveryState.AWAITING_PROVIDER and status is Status.QUEUED:
        return QUEUED_AT_KIE
    return LOOKS[generation.delivery_state]


def _in_words_of(look: Look, provider: str) -> Look:
    return replace(look, word=worded(look.word, provider), means=worded(look.means, provider))


def icon_html(name: str) -> str:
    """A Material Symbol, for the eye alone."""
    return f'<span class="so-icon" aria-hidden="true">{escape(name)}</span>'


def pill_html(look: Look) -> str:
    """A state as a small label: icon, word, colour, its meaning on hover."""
    return (
        f'<span class="so-pill so-{look.tone}" title="{escape(look.means)}">'
        f"{icon_html(look.icon)}{escape(look.word)}</span>"
    )
