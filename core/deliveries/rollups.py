"""Keeps the hourly and daily counts of generations: marked hours anew, and those from before, newest first.

One transaction counts a few hours. It takes their marks away and counts their rows in one snapshot, so
a change that commits later leaves a mark that stays; a job that is killed leaves everything as it was.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import OperationalError

from core import database, queries
from core.deliveries.windows import HOUR, day_of, hour_of

SQL = queries.load("rollups")

# Windows of 30 days and what came before them; older counts are not kept.
KEPT = timedelta(days=62)
HOURS_AT_ONCE = 24
RUN_FOR_S = 5.0
# A command and no query, so that it takes no snapshot: the transaction sees nothing before it holds the lock.
ALONE = "LOCK TABLE delivery_rollup_state IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"


def run(now: datetime, run_for_s: float = RUN_FOR_S) -> int:
    """Count what has changed and, in the time left, what has never been counted; how many hours.

    Every run also counts one hour again that nobody marked: what a trigger that was switched off has
    missed is right again within days.
    """
    until, counted = time.monotonic() + run_for_s, list[datetime]()
    while hours := _step(now, counted):
        counted += hours
        if time.monotonic() >= until:
            break
    _check_one(now)
    return len(counted)


def _step(now: datetime, counted: Sequence[datetime]) -> Sequence[datetime]:
    """One transaction's work: the hours it counted, but for those already `counted` in this run."""
    with database.engine().connect() as connection:
        if not _alone(connection):
            return []
        state = SQL["rollup_state"].one(connection)
        covered_from, oldest, end = state["covered_from"], day_of(now - KEPT), hour_of(now) + HOUR
        marked = {row["hour"] for row in SQL["marked_hours"].all(connection, since=oldest, until=end)}
        everything = {hour for hour in marked if hour < oldest}
        if everything or covered_from is None:
            SQL["forget_everything"].run(connection)
            SQL["mark_future"].run(connection, since=end)
            covered_from = end
        hours: Sequence[datetime] = sorted(marked - everything - set(counted), reverse=True)[:HOURS_AT_ONCE]
        if not hours:
            hours, covered_from = _never_counted(connection, covered_from, oldest)
        if not hours:
            SQL["drop_old_marks"].run(connection, before=oldest)
            SQL["drop_old"].run(connection, before=oldest)
        _count(connection, hours, state)
        SQL["advance"].run(connection, covered_from=covered_from, checked_hour=state["checked_hour"], now=now)
        connection.commit()
    return hours


def _alone(connection: Connection) -> bool:
    """Begin the transaction whose snapshot is taken only once no other counts."""
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    try:
        connection.exec_driver_sql(ALONE)
    except OperationalError:
        connection.rollback()
        return False
    return True


def _never_counted(
    connection: Connection, covered_from: datetime, oldest: datetime
) -> tuple[Sequence[datetime], datetime]:
    """The next hours before those that have been counted, and from when on everything then has been."""
    first = SQL["first_row"].one(connection)["at"]
    if covered_from <= oldest or first is None or first >= covered_from:
        return [], min(covered_from, oldest)
    begin = max(oldest, covered_from - HOURS_AT_ONCE * HOUR)
    return [begin + n * HOUR for n in range(int((covered_from - begin) / HOUR))], begin


def _count(connection: Connection, hours: Sequence[datetime], state: RowMapping) -> None:
    """Count these hours from their rows, and add up the days that they belong to."""
    days = {day_of(hour) for hour in hours}
    if state["rolled_at"] != state["added_at"]:
        # An earlier version counted last, and has not added up the day that had not ended then.
        days.add(day_of(state["rolled_at"]))
    if hours:
        SQL["take_marks"].run(connection, hours=list(hours))
        SQL["count_hours"].run(connection, hours=list(hours))
    if days:
        SQL["add_days_up"].run(connection, days=sorted(days))


def _check_one(now: datetime) -> None:
    """Count one hour again that nobody marked, each time the one before."""
    with database.engine().connect() as connection:
        if not _alone(connection):
            return
        state = SQL["rollup_state"].one(connection)
        if state["covered_from"] is None:
            return
        hour = (state["checked_hour"] or hour_of(now)) - HOUR
        if hour < max(state["covered_from"], day_of(now - KEPT)):
            hour = hour_of(now) - HOUR
        _count(connection, [hour], state)
        SQL["advance"].run(connection, covered_from=state["covered_from"], checked_hour=hour, now=now)
        connection.commit()
