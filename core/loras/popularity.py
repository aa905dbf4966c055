"""What a job counts of the whole library: uses of late, which LoRAs are popular, how much is stored."""

from datetime import datetime

from core import database
from core.loras import policy, requests
from core.loras.repository import SQL


def count(now: datetime) -> int:
    """Bring every count up to date; how many LoRAs changed. Again changes nothing.

    Steps, each a transaction of its own: 1. LoRAs that are missing enter; 2. uses of the last 30 days;
    3. the popular ones; 4. the library as a whole; 5. old request keys are forgotten.
    """
    with database.transaction() as connection:
        changed = int(SQL["enter_missing"].one(connection)["entered"])
    with database.transaction() as connection:
        since = policy.since_recent(now).date()
        changed += SQL["count_recent"].run(connection, since=since)
    with database.transaction() as connection:
        changed += SQL["mark_popular"].run(
            connection, from_uses=policy.POPULAR_FROM, among=policy.POPULAR_AMONG
        )
    with database.transaction() as connection:
        SQL["count_library"].run(connection, now=now, idle_from=now - policy.IDLE_AFTER)
    requests.forget(now)
    return changed
