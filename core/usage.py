"""How much is stored and what for: counted by a job, kept as snapshots, read by pages."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Connection, RowMapping

from core import database, queries
from core.queries import Figure
from core.storage.contract import ObjectInfo, Storage
from core.storage.purposes import PURPOSES, ending_of, purpose_of

HOURLY_KEPT = timedelta(days=2)
DAILY_KEPT = timedelta(days=400)
# One grouped query over the company's own table of files, which may have millions of rows.
COUNT_WITHIN = "10min"

_SQL = queries.load("storage")

FIGURE = Figure(
    "Files and bytes in our storage by bucket and by what they are for, as the newest finished count has"
    " them. A job counts once an hour.",
    _SQL["latest_usage"].sql,
)

# Files and bytes by bucket and purpose.
Counts = dict[tuple[str, str], tuple[int, int]]


@dataclass(frozen=True)
class Line:
    """The files of one purpose in one bucket."""

    bucket: str
    purpose: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Snapshot:
    """Everything stored as counted at `taken_at` (aware UTC); every bucket and purpose has its line."""

    taken_at: datetime
    lines: tuple[Line, ...]

    @property
    def files(self) -> int:
        """All files."""
        return sum(line.files for line in self.lines)

    @property
    def bytes(self) -> int:
        """The bytes of all files."""
        return sum(line.bytes for line in self.lines)


def latest() -> Snapshot | None:
    """The newest count; None when nothing has been counted yet."""
    with database.reading() as connection:
        found = _snapshots(_SQL["latest_usage"].all(connection))
    return found[0] if found else None


def daily(days: int, now: datetime) -> tuple[Snapshot, ...]:
    """The last count of each of the past `days` days (UTC), oldest first; days without one are left out."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with database.reading() as connection:
        return _snapshots(_SQL["daily_usage"].all(connection, since=today - timedelta(days=days - 1)))


def files(storage: Storage, bucket: str, purpose: str, until: datetime) -> Iterator[ObjectInfo]:
    """The files that a count at `until` has in the line of this bucket and purpose, as far as they are still
    there unchanged; streamed from a listing, in the storage's own order."""
    return (
        found
        for found in storage.walk(bucket)
        if found.modified_at <= until and purpose_of(bucket, ending_of(found.path)) == purpose
    )


def snapshot(storage: Storage, now: datetime) -> Snapshot:
    """Count what `storage` holds, record it as of `now`, and thin out old counts.

    Steps: 1. count, by one query where the files' table is at hand, else by a listing that streams and leaves
    out what comes while it goes on, as the list behind the number does;
    2. record in one transaction. A count that fails half-way records nothing. Counts of the last two
    days are kept as they are, of earlier days the last one, for 400 days.
    """
    counts = _count(storage, now)
    lines = tuple(
        Line(bucket, purpose, *counts.get((bucket, purpose), (0, 0)))
        for bucket, purposes in PURPOSES.items()
        for purpose in purposes
    )
    with database.transaction() as connection:
        _SQL["add_usage"].run(connection, taken_at=now, counts=json.dumps([vars(line) for line in lines]))
        _SQL["thin_usage"].run(connection, hourly_from=now - HOURLY_KEPT, daily_from=now - DAILY_KEPT)
    return Snapshot(now, lines)


def _count(storage: Storage, now: datetime) -> Counts:
    if storage.kind == "supabase":
        with database.transaction() as connection:
            counts = _count_by_table(connection)
        # An empty table may be that of another database than the storage's own.
        if counts:
            return counts
    return _count_by_listing(storage, now)


def _count_by_table(connection: Connection) -> Counts:
    """By Supabase's own table, where this login sees all of it; nothing where it does not."""
    if not _SQL["objects_readable"].one(connection)["readable"]:
        return {}
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{COUNT_WITHIN}'")
    rows = _SQL["count_objects"].all(connection, buckets=list(PURPOSES))
    return _added((row["bucket"], row["ending"] or "", row["files"], row["bytes"]) for row in rows)


def _count_by_listing(storage: Storage, until: datetime) -> Counts:
    return _added(
        (bucket, ending_of(found.path), 1, found.bytes)
        for bucket in PURPOSES
        for found in storage.walk(bucket)
        if found.modified_at <= until
    )


def _added(parts: Iterable[tuple[str, str, int, int]]) -> Counts:
    files: defaultdict[tuple[str, str], int] = defaultdict(int)
    sizes: defaultdict[tuple[str, str], int] = defaultdict(int)
    for bucket, ending, count, size in parts:
        key = bucket, purpose_of(bucket, ending)
        files[key] += count
        sizes[key] += size
    return {key: (files[key], sizes[key]) for key in files}


def _snapshots(rows: Iterable[RowMapping]) -> tuple[Snapshot, ...]:
    return tuple(
        Snapshot(
            taken_at, tuple(Line(row["bucket"], row["purpose"], row["files"], row["bytes"]) for row in group)
        )
        for taken_at, group in groupby(rows, key=lambda row: row["taken_at"])
    )
