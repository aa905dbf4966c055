"""What a pasted text may name: ids, tasks, addresses. Pure; nothing is looked up here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from core.errors import InvalidInput
from core.storage.own_path import address_path, within_bucket

LONGEST = 2_000
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_TASK = re.compile(r"[A-Za-z0-9._:-]{1,200}")
# What comes along when an id is copied out of a log, a table or a mail.
_AROUND = " \t\r\n\"'`<>()[]{},;"


@dataclass(frozen=True)
class Wanted:
    """What to look for: a text that may be an id of any kind, or an address, and the ids within it."""

    text: str
    ids: tuple[UUID, ...]
    is_address: bool


def read(pasted: str) -> Wanted | None:
    """What the text names; None for nothing at all. Raises InvalidInput with a sentence."""
    if len(pasted) > LONGEST:
        raise InvalidInput(
            "q",
            f"That is a text of {len(pasted):,} characters. Paste one id or one address alone,"
            f" of at most {LONGEST:,}.",
        )
    text = pasted.strip(_AROUND)
    if not text:
        return None
    if not text.isprintable():
        raise InvalidInput("q", "There are control characters in it. Paste one id or one address alone.")
    several = re.split(r"[\s,;]+", text)
    if len(several) > 1 and all(_UUID.fullmatch(part) for part in several):
        # As an alert or a colleague names a few generations.
        return Wanted(text, tuple(dict.fromkeys(UUID(part) for part in several)), is_address=False)
    if re.search(r"\s", text):
        raise InvalidInput(
            "q", "These are several words. Paste one id or one address alone, or ids of generations."
        )
    if "/" in text:
        return Wanted(text, _ids_of_path(text), is_address=True)
    if not _TASK.fullmatch(text):
        raise InvalidInput(
            "q",
            "That is no id and no address. An id has letters, digits and ._:- only;"
            " an address begins with https:// or with /files/.",
        )
    whole = _UUID.fullmatch(text) or _HEX.fullmatch(text)
    return Wanted(text, (UUID(text),) if whole else (), is_address=False)


def _ids_of_path(address: str) -> tuple[UUID, ...]:
    """The ids in the file's name; our own names begin with the generation's."""
    name = address_path(address).rstrip("/").rpartition("/")[2]
    return tuple(dict.fromkeys(UUID(found) for found in _UUID.findall(name)[:3]))


def addresses(text: str, own_base: str) -> Sequence[str]:
    """The forms in which a row may have this address: as it is, without our own host, without its query."""
    base = own_base.rstrip("/")
    relative = text.removeprefix(base) if base and text.startswith(f"{base}/") else text
    local = address_path(text) if text.startswith(("http://", "https://")) else ""
    forms = [text, relative]
    if local.startswith("/files/"):
        query = text.partition("?")[2]
        forms.append(f"{local}?{query}" if query else local)
    forms += [form.partition("?")[0] for form in forms]
    return tuple(dict.fromkeys(form.partition("#")[0] for form in forms if form))


def paths_of(address: str, bucket: str) -> Sequence[str]:
    """The paths that this address may stand for: behind the bucket's name, or for a CDN any end of it."""
    parts = [part for part in address_path(address).split("/") if part][-8:]
    ends = ["/".join(parts[n:]) for n in range(len(parts))]
    inside = within_bucket(address, bucket)
    return tuple(dict.fromkeys([inside, *ends] if inside else ends))
