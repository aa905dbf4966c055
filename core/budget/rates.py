"""What a provider's credit costs on a day: fixed by its first use, so that a later price changes nothing."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

from core import database, log
from core.budget import prices
from core.budget.prices import KIE_CREDIT
from core.budget.repository import SQL, to_price
from core.errors import NotFound

_log = log.get(__name__)


@dataclass(frozen=True)
class Rate:
    """Dollars a credit, and by which price."""

    unit_usd: Decimal
    version: str


def of_kie(now: datetime, otherwise: Rate) -> Rate:
    """The rate of KIE's credits on this day; `otherwise` without a price: a paid result never waits."""
    try:
        return _of_day(now.astimezone(UTC).date(), now)
    except NotFound as error:
        _log.error("budget.no_credit_price", error=error.message)
        return otherwise


def of_model(model: str, now: datetime) -> Rate | None:
    """What one generation of a KIE model costs by the table of prices; None where it is not in it."""
    with database.reading() as connection:
        row = SQL["price"].first(connection, provider="kie", service=model, at=now)
    return Rate(row["unit_usd"], to_price(row).version) if row else None


def of_unit(provider: str, service: str, now: datetime) -> Rate | None:
    """What a unit of this service costs by the table of prices; None where nothing like it is in there."""
    with database.statement() as connection:
        try:
            price = prices.current(connection, provider, service, now)
        except NotFound as error:
            _log.error("budget.no_unit_price", error=error.message)
            return None
    return Rate(price.unit_usd, price.version)


def forget() -> None:
    """Read the rates anew: some were taken away, or the database is another one."""
    _kept.cache_clear()


def _of_day(day: date, now: datetime) -> Rate:
    return _kept(str(database.engine().url), day, now.replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=4)
def _kept(_: str, day: date, at: datetime) -> Rate:
    """A day's rate never changes, so each process reads it once an hour."""
    provider, service, _unit = KIE_CREDIT
    with database.transaction() as connection:
        known = SQL["rate"].first(connection, provider=provider, day=day)
        if known is None:
            price = prices.current(connection, provider, service, at)
            SQL["fix_rate"].run(
                connection, provider=provider, day=day, unit_usd=price.unit_usd, version=price.version
            )
            known = SQL["rate"].one(connection, provider=provider, day=day)
    return Rate(known["unit_usd"], known["version"])
