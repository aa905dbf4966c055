"""What a person has typed, as it is kept."""

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
