"""What a diagnosis says: a verdict, where the evidence does not fit, and what can be done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class Cell(StrEnum):
    """A step of the evidence ladder."""

    DATABASE = "database"
    KIE = "kie"
    STORAGE = "storage"
    CALLBACKS = "callbacks"
    TIMELINE = "timeline"
    COST = "cost"


class Mark(StrEnum):
    """How a cell stands to the verdict."""

    FITS = "fits"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    BEING_ASKED = "being_asked"


class Tone(StrEnum):
    """How serious a verdict is: all well, on its way, to be repaired by a click, or gone for good."""

    GOOD = "good"
    WORKING = "working"
    ATTENTION = "attention"
    BAD = "bad"


class Remedy(StrEnum):
    """What a click does; each runs through the services that everything else uses."""

    SYNC = "sync"
    FETCH_AGAIN = "fetch_again"
    MAKE_AGAIN = "make_again"


@dataclass(frozen=True)
class Finding:
    """The rule that fired, its sentence, what to do next, and the remedies for it, the best first."""

    rule: str
    tone: Tone
    sentence: str
    action: str
    remedies: tuple[Remedy, ...] = ()
    mismatches: frozenset[Cell] = frozenset()
    warnings: tuple[str, ...] = ()
    marks: Mapping[Cell, Mark] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """A remedy as it is offered to somebody: the button's words, its exact effect, and why it is closed."""

    remedy: Remedy
    label: str
    effect: str
    price: Decimal | None = None
    why_not: str | None = None
