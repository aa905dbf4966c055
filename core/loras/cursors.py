"""Places in a sorted list as a text that a client hands back: good for the same list alone."""

import base64
import binascii
import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from core.loras.models import InvalidCursor, Place, Search, Sort

MAX_CURSOR = 2_000
_BAD = "This cursor is none of ours. Begin the list again without one."


def cursor_of(place: Place, wanted: Search) -> str:
    """The place as a cursor."""
    text = json.dumps([place.value, str(place.id)], separators=(",", ":"), ensure_ascii=True)
    return base64.urlsafe_b64encode(f"{_mark(text, wanted)}{text}".encode()).rstrip(b"=").decode()


def place_of(cursor: str, wanted: Search) -> Place:
    """The place that a cursor names. Raises InvalidCursor for one that is forged or of another list."""
    if len(cursor) > MAX_CURSOR:
        raise InvalidCursor(_BAD)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        told = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        value, lora_id = json.loads(told[12:])
        place = Place(_checked(value, wanted.sort), UUID(lora_id))
    except (binascii.Error, ValueError, TypeError, AttributeError, InvalidOperation, RecursionError):
        raise InvalidCursor(_BAD) from None
    if told[:12] != _mark(told[12:], wanted):
        raise InvalidCursor(
            "This cursor belongs to a list with other filters or another order, or was changed."
            " Begin the list again without one."
        )
    return place


def _mark(text: str, wanted: Search) -> str:
    """What tells a list's cursors from those of other lists."""
    said = json.dumps(asdict(wanted), default=str, sort_keys=True)
    return hashlib.sha256(f"{said}\n{text}".encode()).hexdigest()[:12]


def _checked(value: object, sort: Sort) -> str:
    """The value, when a list of this order can have it."""
    if not isinstance(value, str):
        raise TypeError
    if sort is Sort.RECENT:
        if datetime.fromisoformat(value).tzinfo is None:
            raise ValueError
    elif sort is Sort.RATING:
        if not Decimal(0) <= Decimal(value) <= Decimal(5):
            raise ValueError
    elif sort is not Sort.NAME and not abs(int(value)) < 2**62:
        raise ValueError
    return value
