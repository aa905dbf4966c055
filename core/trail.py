"""Reads the audit log: who did what to what, by filters that an address can carry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection

from core import access, database, queries
from core.access import Action, Actor

Place = tuple[datetime, int]
PAGE = 50
AT_ONCE = 1_000
REPORTED = "lora.report"
OF_ONE_THING = 20
MOST_WORDS = 500
LONGEST = 200
SOURCES = ("page", "api", "command", "job")

_SQL = queries.load("audit")
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(9000, 1, 1)
_END: Place = (datetime(9999, 1, 1, tzinfo=UTC), 2**62)


@dataclass(frozen=True)
class Line:
    """One act: `before` and `after` are what it changed; `source` and `address` where it came from."""

    id: int
    at: datetime
    actor_kind: str | None
    actor_id: str | None
    actor_name: str | None
    action: str | None
    object_type: str | None
    object_id: str | None
    before: Any
    after: Any
    reason: str | None
    request_id: str | None
    source: str | None
    address: str | None


@dataclass(frozen=True)
class Filter:
    """Which lines; days are whole ones in UTC, the last one included."""

    who: str | None = None
    what: str | None = None
    which: str | None = None
    source: str | None = None
    since: date | None = None
    until: date | None = None

    def but(self, **changes: Any) -> "Filter":
        """The same with other values."""
        return replace(self, **changes)

    def query(self) -> dict[str, str]:
        """Its parameters for an address."""
        return {name: str(value) for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Page:
    """Lines newest first; `next_before` continues them, None at the end."""

    lines: tuple[Line, ...]
    next_before: Place | None


def read(parameters: Mapping[str, str]) -> tuple[Filter, list[str]]:
    """The filter that an address asks for, and a sentence for each parameter that cannot be used."""
    faults: list[str] = []

    def words(name: str) -> str | None:
        value = parameters.get(name)
        if value is None or (0 < len(value) <= LONGEST and value.isprintable()):
            return value
        faults.append(f"“{name}” is nothing that stands in the audit log. It is left out.")
        return None

    def day(name: str) -> date | None:
        value = parameters.get(name)
        try:
            found = None if value is None else date.fromisoformat(value)
        except ValueError:
            found = date.min
        if found is None or _FIRST_DAY <= found < _LAST_DAY:
            return found
        faults.append(f"“{name}” must be a day such as 2026-11-26. It is left out.")
        return None

    source = words("source")
    if source is not None and source not in SOURCES:
        faults.append(f"“source” may be {', '.join(SOURCES)}. It is left out.")
        source = None
    return Filter(words("who"), words("what"), words("which"), source, day("since"), day("until")), faults


def lines(actor: Actor | None, wanted: Filter, before: Place | None = None, limit: int = PAGE) -> Page:
    """A page of the audit log."""
    access.check(actor, Action.READ_AUDIT)
    which = None if wanted.which is None else [wanted.which]
    with database.reading() as connection:
        found = _rows(connection, wanted, which, before, limit + 1)
    more = found[limit - 1] if len(found) > limit else None
    return Page(tuple(found[:limit]), (more.at, more.id) if more else None)


def every_line(actor: Actor | None, wanted: Filter) -> Iterator[Line]:
    """All lines of the filter, read a thousand at a time: for a file of any length."""
    before = None
    while True:
        page = lines(actor, wanted, before, AT_ONCE)
        yield from page.lines
        before = page.next_before
        if before is None:
            return


def of(actor: Actor | None, object_ids: Sequence[str]) -> tuple[Line, ...]:
    """The newest lines of these things, for their own page; open to all who may look at it.

    Who reported something, and why, is for those who decide about it; from which machine somebody acted, for
    those who may read the audit log.
    """
    actor = access.check(actor, Action.VIEW)
    with database.reading() as connection:
        found = _rows(connection, Filter(), list(object_ids), None, OF_ONE_THING)
    decides, reads = actor.may(Action.MODERATE_LORA), actor.may(Action.READ_AUDIT)
    told = (line for line in found if decides or line.action != REPORTED)
    return tuple(line if reads else replace(line, address=None) for line in told)


def choices(actor: Actor | None) -> tuple[list[str], list[str]]:
    """Everybody who ever did something, and everything that was ever done, for a filter's lists."""
    access.check(actor, Action.READ_AUDIT)
    with database.reading() as connection:
        names = _SQL["names"].all(connection, most=MOST_WORDS)
        actions = _SQL["actions"].all(connection, most=MOST_WORDS)
    return [row["word"] for row in names], [row["word"] for row in actions]


def _rows(
    connection: Connection, wanted: Filter, which: list[str] | None, before: Place | None, limit: int
) -> list[Line]:
    # So that what narrows the lines chooses the index, each time anew.
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
    at, row_id = before or _END
    found = _SQL["lines"].all(
        connection,
        who=wanted.who,
        what=wanted.what,
        which=which,
        source=wanted.source,
        since=_midnight(wanted.since or _FIRST_DAY),
        until=_midnight((wanted.until or _LAST_DAY) + timedelta(days=1)),
        before_at=at,
        before_id=row_id,
        limit=limit,
    )
    return [Line(**row) for row in found]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
