"""What is left at a provider, as it says itself, kept for a while."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from core import database, log
from core.budget.repository import SQL
from core.errors import ProviderError

KEPT = timedelta(days=90)
_log = log.get(__name__)


def take(provider: str, ask: Callable[[], Decimal], now: datetime) -> int:
    """Note what is left; 1 when the provider told it, 0 when it did not: the next time will do."""
    try:
        left = ask()
    except ProviderError as error:
        _log.warning("budget.balance_unknown", provider=provider, error=error.message)
        return 0
    with database.transaction() as connection:
        SQL["add_balance"].run(connection, provider=provider, credits=left, now=now)
        SQL["prune_balances"].run(connection, before=now - KEPT)
    return 1
