"""What a person has typed, as it is kept; and what an address names."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

from core.errors import InvalidInput


def text(field: str, given: str, longest: int) -> str | None:
    """A note, name or reason on one line; None for an empty one. InvalidInput for one that is too long."""
    said = " ".join(given.split())
    if len(said) > longest:
        raise InvalidInput(
            field, f"A {field} has at most {longest} characters; this has {len(said):,}. Shorten it."
        )
    if not any(c.isprintable() and c != " " for c in said):
        return None
    return "".join(c if c.isprintable() else "�" for c in said)


def exactly(moment: datetime | None) -> str | None:
    """A moment to the microsecond, for an address."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def exact(text: str | None) -> datetime | None:
    """The moment that an address names to the microsecond; None for anything else."""
    if text is None or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text, re.ASCII):
        return None
    try:
        found = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if 2000 < found.year < 3000 else None


def month(text: str | None) -> date | None:
    """The first day of the month that an address names, such as 2026-11; None for anything else."""
    if text is None or not re.fullmatch(r"2\d{3}-(0[1-9]|1[0-2])", text, re.ASCII):
        return None
    return date(int(text[:4]), int(text[5:]), 1)


def cut(value: str) -> str:
    """What an address says, quoted and short, for a sentence about it."""
    printable = "".join(c if c.isprintable() else "�" for c in value)
    return f"“{printable[:40]}{'…' if len(printable) > 40 else ''}”"


def no_choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """That an address names something that may not be chosen, as a sentence."""
    return f"“{name}” cannot be {cut(value)}; it may be {listed(allowed)}. It is left out."


def listed(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"
