"""Rules of the library: pure decisions, each refusal with its sentence."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from core.access import Action, Actor
from core.errors import Conflict, InvalidInput, NotAllowed
from core.loras.models import STATUSES, Search, Sight, Sort

MAX_NAME, MAX_DESCRIPTION, MAX_REASON, MAX_TEXT = 255, 2_000, 500, 200
MAX_TAGS, MAX_TAG = 20, 40
MAX_WORDS = 8
# With more words that begin alike, their beginning is asked for in place of them.
MOST_ENDINGS = 20
# Fewer words than that found, and names that are nearly like the text are looked for too.
FEW = 1_000
NEAR = 200
COUNTED_TO = 10_000
# So many LoRAs with wrong weights are counted by an alert, and listed.
MOST_WRONG = 10_000
# With a budget for some hundred trainings a month these are all that count in its quotas.
MOST_COUNTED = 10_000
# So small that it may be read as a whole, should what is looked for stand at an order's very end.
SMALL = 50_000
MAX_OFFSET = 10_000
# A LoRA is popular among the hundred most used of a month, with so many uses at least.
POPULAR_AMONG, POPULAR_FROM = 100, 10
DAY = timedelta(days=1)
RECENT = 30 * DAY
IDLE_AFTER = timedelta(days=182)
# A month of storage that costs more than this is worth a word: for one LoRA, for all of them. USD.
DEAR_LORA = Decimal("0.01")
DEAR_LIBRARY = Decimal(100)
GIGABYTE = Decimal(1_000_000_000)
# How many of the newest uses the success is measured on.
SUCCESS_OF = 200
_PUNCTUATION = str.maketrans(dict.fromkeys("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", " "))


def customer_id(actor: Actor) -> UUID | None:
    """The account of a customer, by their own token."""
    try:
        return UUID(actor.id)
    except ValueError:
        return None


def sight_of(actor: Actor, account: UUID | None = None) -> Sight:
    """What an actor may see, by who they are; `account` is staff's own at the company's application."""
    if actor.kind == "customer":
        return Sight(customer_id(actor), f"user:{actor.id}", sees_all=False)
    return Sight(account, f"staff:{actor.id}", actor.may(Action.MODERATE_LORA))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a search, without anything that means something to Postgres."""
    return tuple(word[:60] for word in clean(text).translate(_PUNCTUATION).split()[:MAX_WORDS])


def query_of(words: Sequence[str], known: Mapping[str, Sequence[str]]) -> str | None:
    """What Postgres is asked for LoRAs that have all these beginnings of words; None when there are none.

    `known` has the whole words that begin with each: a few are asked for one by one, since that is faster.
    """
    return " & ".join(_any_of(word, known.get(word, ())) for word in words) or None


def _any_of(word: str, known: Sequence[str]) -> str:
    if not 0 < len(known) <= MOST_ENDINGS:
        return f"'{word}':*"
    return f"({' | '.join(_quoted(one) for one in known)})"


def _quoted(word: str) -> str:
    """A word of the library as a lexeme; whatever stands in it is only a letter."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def clean(text: str) -> str:
    """The text without what no database can hold."""
    return "".join(c for c in text if c.isprintable() and not "\ud800" <= c <= "\udfff").strip()


def prefix_pattern(text: str) -> str:
    """The pattern of names that begin with the text."""
    return re.sub(r"([\\%_])", r"\\\1", clean(text)) + "%"


def check_search(wanted: Search) -> Search:
    """The search as it can be asked. Raises InvalidInput that names the field."""
    for field in ("text", "creator", "base_model", "tag"):
        value = getattr(wanted, field)
        if value is not None and len(value) > MAX_TEXT:
            name = "search" if field == "text" else field
            raise InvalidInput(name, f"“{name}” has at most {MAX_TEXT} characters; this has {len(value):,}.")
    if wanted.status is not None and wanted.status not in STATUSES:
        raise InvalidInput("status", f"There is no such status. There are: {', '.join(STATUSES)}.")
    if wanted.rating is not None and not 1 <= wanted.rating <= 5:
        raise InvalidInput("rating", "A rating has 1 to 5 stars.")
    tag = clean(wanted.tag).lower() if wanted.tag else None
    base = clean(wanted.base_model) if wanted.base_model else None
    return replace(wanted, tag=tag or None, base_model=base or None)


def sort_of(text: str) -> Sort:
    """The way of sorting of that name. Raises InvalidInput that names all."""
    try:
        return Sort(text)
    except ValueError:
        raise InvalidInput("sort", f"It can be sorted by: {', '.join(Sort)}.") from None


def tidy_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as they are kept: lower case, each once. Raises InvalidInput for too many or too long ones."""
    tidied = tuple(dict.fromkeys(tag for given in tags if (tag := clean(given).lower())))
    if len(tidied) > MAX_TAGS:
        raise InvalidInput("tags", f"A LoRA has at most {MAX_TAGS} tags; these are {len(tidied)}.")
    long = next((tag for tag in tidied if len(tag) > MAX_TAG), None)
    if long:
        raise InvalidInput("tags", f"A tag has at most {MAX_TAG} characters: “{long[:50]}…” has more.")
    return tidied


def check_words(name: str, description: str | None) -> tuple[str, str | None]:
    """Name and description as they are kept. Raises InvalidInput."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput("name", f"A LoRA's name has 1 to {MAX_NAME} characters and no line breaks.")
    description = (description or "").replace("\x00", "").strip()
    if len(description) > MAX_DESCRIPTION:
        raise InvalidInput("description", f"A description has at most {MAX_DESCRIPTION:,} characters.")
    return name, description or None


def check_reason(reason: str) -> str:
    """A reason as it is kept. Raises InvalidInput when there is none."""
    reason = clean(reason)
    if not reason:
        raise InvalidInput("reason", "Say why; it stands beside the LoRA and in the audit log.")
    if len(reason) > MAX_REASON:
        raise InvalidInput("reason", f"A reason has at most {MAX_REASON} characters.")
    return reason


def check_stars(stars: int) -> None:
    """Raises InvalidInput for what is no rating."""
    if isinstance(stars, bool) or not isinstance(stars, int) or not 1 <= stars <= 5:
        raise InvalidInput("stars", "A rating has 1 to 5 stars.")


def why_not_edit(actor: Actor, owner: bool) -> str | None:
    """Why the actor may not describe or tag a LoRA; None when they may."""
    if owner or actor.may(Action.EDIT_LORA):
        return None
    return "Only its creator and the roles product, operations and admin describe and tag a LoRA."


def why_not_restrict(actor: Actor, owner: bool) -> str | None:
    """Why the actor may not make a LoRA private or share it; None when they may."""
    if owner or actor.may(Action.MODERATE_LORA):
        return None
    return "Only its creator and operations make a LoRA private."


def check(refusal: str | None) -> None:
    """Raise the refusal, if there is one."""
    if refusal:
        raise NotAllowed(refusal)


def has_usable_weights(status: str, *, own: bool) -> bool:
    """Whether its weights can be used: a completed LoRA's by all, one's own while it waits to be judged."""
    return status == "completed" or (own and status == "validating")


def check_usable(name: str, status: str, *, hidden: bool, archived: bool) -> None:
    """Raise Conflict when a LoRA cannot be used, with the reason."""
    if status != "completed":
        raise Conflict(f"“{name}” is {status}; it can be used once it is completed.")
    if hidden:
        raise Conflict(f"“{name}” is hidden and cannot be used.")
    if archived:
        raise Conflict(f"“{name}” is archived. Take it out of the archive to use it.")


def monthly_cost(size: int | None, usd_per_gigabyte: Decimal) -> Decimal:
    """What `size` bytes of storage cost a month, in USD to four places."""
    return (Decimal(size or 0) / GIGABYTE * usd_per_gigabyte).quantize(Decimal("0.0001"))


def is_collected(total: int, library: int, limit: int) -> bool:
    """Whether what fits is collected and then sorted; otherwise an order is read until a page of it is full.

    `library` is about how many LoRAs there are, 0 or less while nobody knows. Spread evenly, a page of what
    fits takes library / total * limit rows of an order; collecting it takes total rows, and dearer ones.
    """
    if total > COUNTED_TO:
        return False
    return not (0 < library <= SMALL and total * total > 4 * library * limit)


def is_recent(since: datetime | None) -> bool:
    """Whether a search for what was made since then is for the last weeks alone, which lie close together."""
    return since is not None and since > datetime.now(UTC) - RECENT - DAY


def since_recent(now: datetime) -> datetime:
    """From when on uses count as recent."""
    return now - RECENT
