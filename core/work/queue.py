"""Putting jobs on the queue, inside the transaction that makes them necessary."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from core import queries

_SQL = queries.load("work")

# Housekeeping jobs are few and short: they go before thousands of waiting deliveries.
HOUSEKEEPING, URGENT, NORMAL = 20, 10, 0


def enqueue(
    connection: Connection,
    task: str,
    *,
    priority: int = NORMAL,
    once: str | None = None,
    queue: str = "deliveries",
    at: datetime | None = None,
    **arguments: Any,
) -> bool:
    """Put a job for `task` on the queue; True when it was added.

    With `once`, nothing is added while a job of that name waits. The insert is procrastinate's own
    defer as one statement that may find its queueing lock taken without an error, so that the
    caller's transaction lives on
    (https://procrastinate.readthedocs.io/en/stable/howto/advanced/queueing_locks.html).
    """
    added = _SQL["enqueue"].run(
        connection,
        queue=queue,
        task=task,
        priority=priority,
        queueing_lock=once,
        args=json.dumps(arguments),
        scheduled_at=at,
    )
    return added == 1
