"""Brings a database up to date: the schema, then the storage buckets of the one table."""

import psycopg

from core import database, queries
from core.errors import SettingsError, StorageError
from core.storage.buckets import BUCKETS, Bucket
from core.storage.contract import Storage

_SQL = queries.load("storage")


def upgrade(url: str, *, local: bool, storage: Storage | None = None) -> list[str]:
    """Apply what is missing to the database at `url`, which this process is connected to already.

    One line for each thing done or refused. Safe to run at any time, by several processes at once.
    Buckets that the database does not make are asked of `storage` itself.
    """
    try:
        applied = database.migrate(url, local=local)
    except psycopg.OperationalError as error:
        raise SettingsError(
            "The database at DATABASE_URL cannot be reached. Check its host, port, user and password."
        ) from error
    lines = [f"applied {name}" for name in applied] or ["the schema is up to date"]
    for bucket in BUCKETS:
        outcome = _by_sql(bucket)
        if storage is not None and (storage.kind != "supabase" or outcome in {"refused", "absent"}):
            outcome = _by_storage(bucket, storage)
        if outcome not in {"unchanged", "absent"}:
            lines.append(f"bucket {bucket.name}: {outcome}")
    return lines


def _by_sql(bucket: Bucket) -> str:
    """What Supabase's own table of buckets let happen."""
    with database.transaction() as connection:
        return str(
            _SQL["upsert_bucket"].one(
                connection,
                name=bucket.name,
                public=bucket.public,
                content_types=list(bucket.content_types),
                max_bytes=bucket.max_bytes,
            )["outcome"]
        )


def _by_storage(bucket: Bucket, storage: Storage) -> str:
    """The same through the storage's API, which settles what the database could not."""
    try:
        outcome = storage.prepare(bucket)
    except StorageError as error:
        return f"refused. {error.message}"
    with database.transaction() as connection:
        _SQL["bucket_settled"].run(connection, object=f"storage.buckets {bucket.name}")
    return outcome
