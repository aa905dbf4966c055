"""Puts right what other systems wrote over a delivery that had come to its end."""

from datetime import timedelta

from core import database, log
from core.deliveries.repository import SQL
from core.deliveries.tools import Tools

# Another system may write a row in several steps; what still contradicts it after this is a mistake.
GRACE = timedelta(minutes=2)


def restore_status(tools: Tools, limit: int = 500) -> int:
    """Set `status` back where it contradicts an ended delivery: a file that is here is a success, one that
    will not come is a failure; how many. Their timelines say what it was.
    """
    now = tools.clock()
    with database.statement() as connection:
        return SQL["restore_status"].run(
            connection, before=now - GRACE, limit=limit, now=now, request_id=log.request_id()
        )
