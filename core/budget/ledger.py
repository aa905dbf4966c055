"""The ledger's lines as a page or a file wants them: a month's, filtered, newest first, a page at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from core import access, database, said
from core.access import Action, Actor
from core.budget.models import DELIVERIES, EVERYTHING, OTHER, TRAININGS, Kind, Line
from core.budget.policy import month_of
from core.budget.repository import SQL, to_line

PARAMETERS = ("scope", "month", "kind", "provider", "stage", "model", "user", "run", "runs", "flagged")
PAGE, AT_ONCE = 50, 1_000
# Where nearly all generations are made: its lines are no rare ones.
USUAL_PROVIDER = "kie"
LONGEST = 120
# The runs of a month that failed or were cancelled.
FAILURES = "failures"
# One in so many lines is found sooner by reading all in their order than by asking for each run's.
OFTEN = 50
ALL_SCOPES = (TRAININGS, DELIVERIES, OTHER)
_LAST_ID = UUID(int=2**128 - 1)
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)

Place = tuple[datetime, UUID]


@dataclass(frozen=True)
class Filter:
    """What is looked at; None: all of it. `month` is the budget's; a run's lines are of any month. `runs` are
    those whose lines it has: FAILURES."""

    month: date
    scope: str = TRAININGS
    kind: str | None = None
    provider: str | None = None
    stage: str | None = None
    model: str | None = None
    user: UUID | None = None
    run: UUID | None = None
    runs: str | None = None
    flagged: bool = False

    def but(self, **changes: object) -> "Filter":
        """The same with other values."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def query(self) -> dict[str, str]:
        """Its parameters for an address."""
        given = {
            "scope": self.scope if self.scope != TRAININGS else None,
            "month": f"{self.month:%Y-%m}",
            "kind": self.kind,
            "provider": self.provider,
            "stage": self.stage,
            "model": self.model,
            "user": str(self.user) if self.user else None,
            "run": str(self.run) if self.run else None,
            "runs": self.runs,
            "flagged": "yes" if self.flagged else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def narrowed(self) -> bool:
        """Whether it names more than a scope and a month."""
        return self != Filter(self.month, self.scope)

    @property
    def scopes(self) -> tuple[str, ...]:
        scopes = ALL_SCOPES if self.scope == EVERYTHING else (self.scope,)
        return tuple(scope for scope in scopes if self.runs is None or scope == TRAININGS)


@dataclass(frozen=True)
class Page:
    """Lines newest first; `next_before` continues them, None at the end."""

    lines: tuple[Line, ...]
    next_before: Place | None


@dataclass(frozen=True)
class Counted:
    """How many lines a filter has and what they come to, where that is counted already."""

    lines: int
    settled_usd: Decimal
    reserved_usd: Decimal


def read(parameters: Mapping[str, str], now: datetime) -> tuple[Filter, list[str]]:
    """The filter that an address asks for, and a sentence for each parameter that cannot be used."""
    faults: list[str] = []

    def fault(name: str, means: str) -> None:
        faults.append(f"“{name}” {means}. It is left out.")

    def one_of(name: str, allowed: Sequence[str]) -> str | None:
        value = parameters.get(name)
        if value is None or value in allowed:
            return value
        fault(name, f"may be {', '.join(allowed)}")
        return None

    def words(name: str) -> str | None:
        value = parameters.get(name)
        if value is None or (0 < len(value) <= LONGEST and value.isprintable()):
            return value
        fault(name, "is no name that stands in the ledger")
        return None

    def uuid(name: str) -> UUID | None:
        value = parameters.get(name)
        try:
            return None if value is None else UUID(value)
        except ValueError:
            fault(name, "is no id")
            return None

    month = parameters.get("month")
    moment = said.month(month)
    if month is not None and moment is None:
        fault("month", "must be a month such as 2026-11")
    found = Filter(
        scope=one_of("scope", (*ALL_SCOPES, EVERYTHING)) or TRAININGS,
        month=moment or month_of(now),
        kind=one_of("kind", tuple(Kind)),
        provider=words("provider"),
        stage=words("stage"),
        model=words("model"),
        user=uuid("user"),
        run=uuid("run"),
        runs=one_of("runs", (FAILURES,)),
        flagged=one_of("flagged", ("yes",)) == "yes",
    )
    return found, faults


def lines(actor: Actor | None, wanted: Filter, before: Place | None = None, limit: int = PAGE) -> Page:
    """A page of lines."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        found = _rows(connection, wanted, before, limit + 1)
    more = found[limit - 1] if len(found) > limit else None
    return Page(tuple(found[:limit]), (more.occurred_at, more.id) if more else None)


def _rows(connection: Connection, wanted: Filter, before: Place | None, limit: int) -> list[Line]:
    """The next lines, by the index of what narrows them most; where counts say that there are none, nothing
    is read."""
    scopes = _with_any(connection, wanted)
    if not scopes:
        return []
    at, row_id = before or (_FOREVER, _LAST_ID)
    found = SQL["ledger"].all(
        connection,
        by=_by(connection, wanted),
        scopes=list(scopes),
        month=wanted.month,
        before_at=at,
        before_id=row_id,
        provider=wanted.provider,
        stage=wanted.stage,
        model=wanted.model,
        kind=wanted.kind,
        user_id=wanted.user,
        run_id=wanted.run,
        only_flagged=wanted.flagged,
        limit=limit,
    )
    return [to_line(row) for row in found]


def _by(connection: Connection, wanted: Filter) -> str:
    if wanted.run is not None:
        return "run"
    if wanted.runs is not None:
        alone = wanted == Filter(wanted.month, wanted.scope, runs=wanted.runs)
        if not alone:
            return "runs_narrowed"
        return "runs_often" if _are_often(connection, wanted.month) else "runs"
    if wanted.user is not None:
        return "user"
    if wanted.model is not None:
        return "model"
    if wanted.flagged:
        return "flagged"
    if wanted.kind not in (None, Kind.SETTLE):
        return "kind"
    return "provider" if wanted.provider not in (None, USUAL_PROVIDER) else "scope"


def _are_often(connection: Connection, month: date) -> bool:
    """Whether so many of a month's lines are failed runs' that a page of them is soon found among all."""
    month_of_trainings = {"scope": TRAININGS, "dimension": "all", "key": "", "month": month}
    among = SQL["counted_lines"].one(connection, **month_of_trainings)["lines"]
    of_failures = SQL["counted_failures"].one(connection, scopes=[TRAININGS], month=month)["lines"]
    return bool(of_failures * OFTEN >= among)


def _with_any(connection: Connection, wanted: Filter) -> Sequence[str]:
    """The scopes that have such a line: in a budget nobody looks for a provider that it never paid."""
    scopes: Sequence[str] = wanted.scopes
    for dimension, key in (("provider", wanted.provider), ("stage", wanted.stage), ("kind", wanted.kind)):
        if key is None or wanted.run is not None:
            continue
        rows = SQL["scopes_with"].all(
            connection, scopes=list(scopes), dimension=dimension, key=key, month=wanted.month
        )
        have = {row["scope"] for row in rows}
        scopes = [scope for scope in scopes if scope in have]
    return scopes


def counted(actor: Actor | None, wanted: Filter) -> Counted | None:
    """What the filter comes to; None where more than one thing narrows it, so that nothing has it counted."""
    access.check(actor, Action.VIEW)
    given = {
        "provider": wanted.provider,
        "stage": wanted.stage,
        "model": wanted.model,
        "kind": wanted.kind,
        "user": str(wanted.user) if wanted.user else None,
    }
    named = {name: key for name, key in given.items() if key is not None}
    if len(named) > (wanted.runs is None) or wanted.flagged or wanted.run is not None:
        return None
    [(dimension, key)] = named.items() or [("all", "")]
    with database.reading() as connection:
        if wanted.runs is not None:
            row = SQL["counted_failures"].one(connection, scopes=list(wanted.scopes), month=wanted.month)
        else:
            row = SQL["counted_lines"].one(
                connection, scope=wanted.scope, dimension=dimension, key=key, month=wanted.month
            )
    return Counted(int(row["lines"]), row["settled_usd"], row["reserved_usd"])


def every_line(actor: Actor | None, wanted: Filter) -> Iterator[Line]:
    """All lines of the filter, read a thousand at a time: for a file of any length."""
    before = None
    while True:
        page = lines(actor, wanted, before, AT_ONCE)
        yield from page.lines
        before = page.next_before
        if before is None:
            return
