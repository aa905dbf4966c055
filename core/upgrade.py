"""Brings a database up to date: the schema, then the storage buckets of the one table."""

import psycopg

from core import database, queries
from core.errors import SettingsError
from core.storage.buckets import BUCKETS

_SQL = queries.load("storage")


def upgrade(url: str, *, local: bool) -> list[str]:
    """Apply what is missing to the database at `url`, which this process is connected to already.

    One line for each thing done or refused. Safe to run at any time, by several processes at once.
    """
    try:
        applied = database.migrate(url, local=local)
    except psycopg.OperationalError as error:
        raise SettingsError(
            "The database at DATABASE_URL cannot be reached. Check its host, port, user and password."
        ) from error
    lines = [f"applied {name}" for name in applied] or ["the schema is up to date"]
    with database.transaction() as connection:
        for bucket in BUCKETS:
            outcome = _SQL["upsert_bucket"].one(
                connection,
                name=bucket.name,
                public=bucket.public,
                content_types=list(bucket.content_types),
                max_bytes=bucket.max_bytes,
            )["outcome"]
            if outcome != "unchanged":
                lines.append(f"bucket {bucket.name}: {outcome}")
    return lines
