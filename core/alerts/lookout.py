"""Looks after clocks and workers from any process that is alive, and sends what a dead one never would."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from core import database, log
from core.alerts import service
from core.notifications import service as notifications
from core.work import runs

_log = log.get(__name__)
_SENDER = "messages in place of the dead"


def look(observer_since: datetime, now: datetime) -> None:
    """Note which roles nobody plays, as seen by a process that is up since `observer_since`, and which jobs
    do badly: the one that looks for alerts may be among them.

    Without a clock no job begins and without a worker none is done, the one that sends messages neither, so
    that whoever looks sends them meanwhile.
    """
    service.watch_jobs(now)
    if service.watch_machinery(observer_since, now):
        service.tell(now)
        _send_apart()


def _send_apart() -> None:
    """In a thread: a mail server that is slow must not stop the beats."""
    if not any(thread.name == _SENDER for thread in threading.enumerate()):
        threading.Thread(target=_send, name=_SENDER, daemon=True).start()


def _send() -> None:
    try:
        notifications.deliver()
    except SQLAlchemyError:
        _log.exception("lookout.not_sent")


@contextmanager
def kept() -> Iterator[None]:
    """A process that is neither clock nor worker looks after them while the block lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=_look_until, args=(stop,), name="lookout", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _look_until(stop: threading.Event) -> None:
    since = datetime.now(UTC)
    while not stop.wait(runs.BEAT_EVERY.total_seconds()):
        try:
            look(since, database.now())
        except SQLAlchemyError:
            _log.exception("lookout.failed")
