"""LoRAs in words: their status, orders, quality and what is said of them, the same on every page."""

from decimal import Decimal
from html import escape

from core.loras import policy
from core.loras.models import Card, Lora, Reason, Sort
from core.loras.proofs import DIFFERS, GOOD, MISSING
from pages.components import formats
from pages.components.states import Look, icon_html, pill_html

LOOKS: dict[str, Look] = {
    "pending": Look("Pending", "schedule", "waiting", "Its training has not begun yet."),
    "training": Look("Training", "autorenew", "working", "It is being trained."),
    "validating": Look("Validating", "rate_review", "working", "Its test images are made or judged."),
    "completed": Look("Completed", "check_circle", "good", "It can be used."),
    "failed": Look("Failed", "cancel", "bad", "Its training ended without a LoRA."),
}
HIDDEN = Look("Hidden", "visibility_off", "lost", "Operations have taken it out of sight.")
PRIVATE = Look("Private", "lock", "attention", "Only its creator and operations see it.")
ARCHIVED = Look("Archived", "inventory_2", "waiting", "Out of use; no list offers it by itself.")
POPULAR = Look(
    "Popular",
    "local_fire_department",
    "attention",
    f"Among the {policy.POPULAR_AMONG} most used of the last 30 days, at least {policy.POPULAR_FROM} times.",
)
PROOFS: dict[str, Look] = {
    GOOD: Look("Proven", "verified", "good", "Its file is there and has the hash that it should have."),
    MISSING: Look("File missing", "broken_image", "bad", "Its file is not in our storage."),
    DIFFERS: Look("File differs", "report", "bad", "Its file is not the one that was stored."),
}
UNPROVEN = Look("Not proven yet", "hourglass_top", "waiting", "The weekly proof has not come to it yet.")
SORTS: dict[Sort, str] = {
    Sort.POPULAR: "Most used",
    Sort.RECENT: "Newest",
    Sort.NAME: "Name",
    Sort.RATING: "Best rated",
    Sort.LEAST_USED: "Least used",
}
REASONS: dict[Reason, str] = {
    Reason.REAL_PERSON: "It shows a real person who did not agree",
    Reason.OFFENSIVE: "It is offensive",
    Reason.COPYRIGHT: "It copies somebody's character",
    Reason.POOR: "It does not show what it says",
    Reason.OTHER: "Something else",
}


def look_of(card: Card) -> Look:
    """How a LoRA's status looks."""
    return LOOKS.get(card.training_status, Look(card.training_status or "Unknown", "help", "unknown", ""))


def pills_html(card: Card) -> str:
    """Its status, and whatever else one must know before using it."""
    further = [
        look
        for look, there in (
            (POPULAR, card.is_popular),
            (HIDDEN, card.hidden_at is not None),
            (PRIVATE, card.is_private),
            (ARCHIVED, card.archived_at is not None),
        )
        if there
    ]
    return "".join(pill_html(look) for look in (look_of(card), *further))


def proof_of(lora: Lora) -> Look:
    """How the last look at its file ended."""
    return PROOFS.get(lora.proof_state or "", UNPROVEN)


def stars(average: Decimal | None, count: int) -> str:
    """`★ 4.5 (12)`; `not rated` while nobody has."""
    return f"★\u00a0{average:.1f} ({formats.count(count)})" if average is not None else "not rated"


def uses(number: int) -> str:
    """`1,234 uses`."""
    return formats.counted(number, "use", "uses")


def named_html(card: Card) -> str:
    """`Name (by creator)`."""
    return f'<b>{escape(card.name)}</b> <span class="so-quiet">(by {escape(card.creator)})</span>'


def tags_html(card: Card) -> str:
    """Its tags; each leads to those that have it too."""
    drawn = "".join(f'<span class="so-tag">{escape(tag)}</span>' for tag in card.tags)
    return f'<div class="so-tags">{icon_html("sell")}{drawn}</div>' if drawn else ""
