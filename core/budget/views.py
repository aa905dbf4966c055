"""What pages show of the budget: where it stands, where it goes, what drives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from core import access, database
from core.access import Action, Actor
from core.budget import forecast, repository
from core.budget.forecast import BackTest, Forecast
from core.budget.models import TRAININGS, Limit, Override, Position, Price
from core.budget.policy import end_of, month_of
from core.budget.repository import SQL, to_limit, to_override, to_price

# The largest parts of a month that are named; what a budget of $200 is made of is rarely more.
PARTS = 12
MONTHS = 13
# A forecast looks back four weeks, its test a year.
KNOWN_SINCE = date(2000, 1, 1)


@dataclass(frozen=True)
class Part:
    """A share of a month: of a provider, a person, a stage or a model."""

    key: str
    settled_usd: Decimal
    reserved_usd: Decimal
    lines: int


@dataclass(frozen=True)
class Month:
    """What a month came to."""

    month: date
    settled_usd: Decimal
    reserved_usd: Decimal
    lines: int


@dataclass(frozen=True)
class Board:
    """A scope's month as its page shows it. `forecast` is None while `known_days` are too few, and for a
    month that is over; `folded_at` is when lines were last counted into the parts."""

    position: Position
    by_day: Mapping[date, Decimal]
    forecast: Forecast | None
    back_test: BackTest | None
    known_days: int
    providers: tuple[Part, ...]
    stages: tuple[Part, ...]
    models: tuple[Part, ...]
    users: tuple[Part, ...]
    names: Mapping[str, str]
    months: tuple[Month, ...]
    overrides: tuple[Override, ...]
    limits: tuple[Limit, ...]
    folded_at: datetime | None


def position(actor: Actor | None, now: datetime, scope: str = TRAININGS) -> Position:
    """Where this month stands, from its running total."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return repository.position(connection, scope, month_of(now), now)


def by_lines(actor: Actor | None, now: datetime, scope: str = TRAININGS) -> Position:
    """The same from the lines themselves: what the running total must be equal to."""
    access.check(actor, Action.VIEW)
    month = month_of(now)
    with database.reading() as connection:
        allowed = repository.position(connection, scope, month, now)
        found = SQL["month_by_lines"].one(connection, scope=scope, month=month)
    return Position(
        scope,
        month,
        allowed.limit_usd,
        allowed.alert_usd,
        found["settled_usd"],
        found["reserved_usd"],
        allowed.override_usd,
    )


def outlook(actor: Actor | None, now: datetime, scope: str = TRAININGS) -> tuple[Position, Forecast | None]:
    """This month's position and forecast, and nothing else."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        stands = repository.position(connection, scope, month_of(now), now)
        return stands, predicted(stands, _days(connection, scope), now)


def predicted(stands: Position, by_day: Mapping[date, Decimal], now: datetime) -> Forecast | None:
    """Where the month of this position goes."""
    if stands.month != month_of(now):
        return None
    return forecast.predict(
        by_day,
        now.date(),
        reserved=stands.reserved_usd,
        alert=stands.alert_usd,
        limit=stands.limit_usd,
    )


def board(actor: Actor | None, now: datetime, scope: str = TRAININGS, month: date | None = None) -> Board:
    """Everything that the page shows of a scope's month but its ledger; by default this month.

    A month that is over is shown with what was allowed at its end.
    """
    access.check(actor, Action.VIEW)
    month = month or month_of(now)
    with database.reading() as connection:
        at = min(now, end_of(month) - timedelta(microseconds=1))
        stands = repository.position(connection, scope, month, at)
        days = _days(connection, scope)
        parts = {
            dimension: _parts(connection, scope, dimension, month)
            for dimension in ("provider", "stage", "model", "user")
        }
        names = _names(connection, [part.key for part in parts["user"] if part.key])
        months = SQL["months"].all(connection, scope=scope, limit=MONTHS)
        overrides = [to_override(row) for row in SQL["overrides"].all(connection, month=month)]
        limits = [to_limit(row) for row in SQL["limits"].all(connection)]
        folded_at = SQL["folded_at"].one(connection)["folded_at"]
    return Board(
        position=stands,
        by_day={day: usd for day, usd in days.items() if month_of_day(day) == month},
        forecast=predicted(stands, days, now),
        back_test=forecast.back_test(days, now.date()),
        known_days=forecast.days_known(days, now.date()),
        providers=parts["provider"],
        stages=parts["stage"],
        models=parts["model"],
        users=parts["user"],
        names=names,
        months=tuple(Month(**row) for row in months),
        overrides=tuple(one for one in overrides if one.scope == scope),
        limits=tuple(one for one in limits if one.scope == scope),
        folded_at=folded_at,
    )


def month_of_day(day: date) -> date:
    """The first of the day's month."""
    return day.replace(day=1)


def _days(connection: Connection, scope: str) -> dict[date, Decimal]:
    rows = SQL["days"].all(connection, scope=scope, since=KNOWN_SINCE)
    return {row["day"]: row["usd"] for row in rows}


def _parts(connection: Connection, scope: str, dimension: str, month: date) -> tuple[Part, ...]:
    rows = SQL["parts"].all(connection, scope=scope, dimension=dimension, month=month, limit=PARTS)
    return tuple(Part(**row) for row in rows)


def _names(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    known = [UUID(one) for one in ids]
    return {str(row["id"]): row["name"] for row in SQL["people"].all(connection, ids=known)} if known else {}


@dataclass(frozen=True)
class PriceLine:
    """A price, who set it, and whether it is the one that holds."""

    price: Price
    set_by: str | None
    set_by_id: str | None
    holds: bool


def prices(actor: Actor | None, now: datetime) -> tuple[PriceLine, ...]:
    """Every price of every service, the one that holds first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["prices"].all(connection)
    found, seen = [], set[tuple[str, str]]()
    for row in rows:
        name = (row["provider"], row["service"])
        holds = row["valid_from"] <= now and name not in seen
        if holds:
            seen.add(name)
        found.append(PriceLine(to_price(row), row["set_by"], row["set_by_id"], holds))
    return tuple(found)


@dataclass(frozen=True)
class Credits:
    """What is left at KIE, and for how long at the pace of the last week; None: nothing was used."""

    credits: Decimal
    taken_at: datetime
    usd: Decimal
    days_left: float | None


def kie_credits(actor: Actor | None, now: datetime) -> Credits | None:
    """KIE's balance as it was last told; None before that."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        row = SQL["balance"].first(connection, provider="kie")
        if row is None:
            return None
        price = SQL["price"].first(connection, provider="kie", service="credit", at=now)
        days = _days(connection, "deliveries")
    usd = row["credits"] * (price["unit_usd"] if price else Decimal(0))
    week = [usd for day, usd in days.items() if 0 < (now.date() - day).days <= 7]
    pace = sum(week, Decimal(0)) / 7
    return Credits(row["credits"], row["taken_at"], usd, float(usd / pace) if pace > 0 else None)


@dataclass(frozen=True)
class Unpriced:
    """What has no price of its own, by provider and model, and the newest month with lines of it."""

    key: str
    month: date


def unpriced(actor: Actor | None, now: datetime) -> tuple[Unpriced, ...]:
    """What was priced by its family lately and has no price of its own yet."""
    access.check(actor, Action.VIEW)
    last_month = month_of_day(month_of(now) - timedelta(days=1))
    with database.reading() as connection:
        rows = SQL["flagged_models"].all(connection, month=last_month, now=now)
    return tuple(Unpriced(row["key"], row["month"]) for row in rows)
