"""Who did something: by name, and with the address that tells two people of one name apart."""

from html import escape


def address(name: str | None, known_as: str | None) -> str:
    """The address behind a name, to be shown over it; empty where it says no more."""
    return known_as if known_as and "@" in known_as and known_as != name else ""


def html(name: str | None, known_as: str | None, nobody: str = "") -> str:
    """The name, with the address on hover; `nobody` where no name is known."""
    said = escape(name or nobody)
    over = address(name, known_as)
    return f'<span class="so-who" title="{escape(over)}">{said}</span>' if over else said
