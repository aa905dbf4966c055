"""Finds what is wrong, keeps the alerts for it, and writes the messages about new ones."""

from collections.abc import Callable
from datetime import datetime

from core import database, log
from core.alerts import service

# Each looks at something else; what goes wrong in one must not silence the others.
WATCHED: tuple[Callable[[datetime], int], ...] = (
    service.watch_deliveries,
    service.watch_money,
    service.watch_trainings,
    service.watch_storage,
    service.watch_library,
    service.watch_channels,
    service.tell,
)
_log = log.get(__name__)


def run() -> int:
    """Open, renew and resolve them; how many changed. Raises the first failure when all had their turn."""
    now, changed, failed = database.now(), 0, list[Exception]()
    for watch in WATCHED:
        try:
            changed += watch(now)
        except Exception as error:  # noqa: BLE001 - the run fails at its end, when the others had their turn
            _log.exception("alerts.not_watched", watch=watch.__name__)
            failed.append(error)
    if failed:
        raise failed[0]
    return changed
