"""Migrated databases that tests have one after the other, emptied in between.

To copy one and to drop it costs Postgres six times what it costs to empty it. One in which a test has changed
more than rows, or that has been copied over or grown, is dropped.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

# Where a change of the schema, of rights or of statistics leaves its row.
_CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_extension", "pg_index",
    "pg_inherits", "pg_largeobject_metadata", "pg_namespace", "pg_policy", "pg_proc", "pg_publication",
    "pg_rewrite", "pg_statistic", "pg_statistic_ext", "pg_trigger", "pg_type",
)  # fmt: skip
_SCHEMA = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM {name}" for name in _CATALOGS
)
_OF_ITS_OWN = (
    "SELECT oid, pg_encoding_to_char(encoding), datacl,"
    " ARRAY(SELECT (setrole, setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid)"
    " FROM pg_database d WHERE datname = current_database()"
)
_TABLES = (
    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
)
_SEQUENCES = "SELECT seqrelid, seqstart, pg_sequence_last_value(seqrelid) FROM pg_sequence"
_OTHERS_ENDED = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# Triggers that guard against their superuser too, such as that of the audit log.
_GUARDS = "SELECT tgrelid::regclass::text, quote_ident(tgname) FROM pg_trigger WHERE tgenabled = 'A'"
GROWN_BYTES = 4 * 2**20
_serial = itertools.count(1)


@dataclass(frozen=True)
class _Kept:
    """What a database was before its first test."""

    shape: list[tuple[Any, ...]]
    size: int
    rows: dict[str, bytes]
    sequences: dict[int, int | None]
    guards: list[tuple[str, str]]
    which_have_rows: str


class Reused:
    """The databases of one server, copies of `migrated`."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._free: list[str] = []
        self._kept: dict[str, _Kept] = {}

    def url(self, name: str) -> str:
        return f"{self._server.rsplit('/', 1)[0]}/{name}"

    def take(self) -> str:
        """The name of a migrated, empty one."""
        if self._free:
            return self._free.pop()
        name = f"test_{next(_serial)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            self._kept[name] = _look(connection)
        return name

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of one, which is given back at the end."""
        name = self.take()
        try:
            yield self.url(name)
        finally:
            self.give_back(name)

    def give_back(self, name: str) -> None:
        """Empty it for the next test, or drop it."""
        kept = self._kept[name]
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(_OTHERS_ENDED)
            as_it_was = _shape(connection) == kept.shape and _size(connection) < kept.size + GROWN_BYTES
            if as_it_was:
                _restore(connection, kept)
                self._kept[name] = replace(kept, shape=_shape(connection))
                self._free.append(name)
        if not as_it_was:
            with psycopg.connect(self._server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _shape(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return [*connection.execute(_SCHEMA).fetchall(), *connection.execute(_OF_ITS_OWN).fetchall()]


def _size(connection: psycopg.Connection[Any]) -> int:
    [(size,)] = connection.execute("SELECT pg_database_size(current_database())").fetchall()
    return int(size)


def _look(connection: psycopg.Connection[Any]) -> _Kept:
    tables = [name for (name,) in connection.execute(_TABLES)]
    which = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables)
    rows = {name: _copied(connection, name) for (name,) in connection.execute(which).fetchall()}
    sequences = {oid: last for oid, _, last in connection.execute(_SEQUENCES)}
    guards = connection.execute(_GUARDS).fetchall()
    return _Kept(_shape(connection), _size(connection), rows, sequences, guards, which)


def _copied(connection: psycopg.Connection[Any], table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT".encode()) as copy:
        return b"".join(bytes(part) for part in copy)


def _restore(connection: psycopg.Connection[Any], kept: _Kept) -> None:
    """The rows and sequences of before; triggers and foreign keys sleep meanwhile, as a superuser's may."""
    filled = {name for (name,) in connection.execute(kept.which_have_rows).fetchall()}
    changed = {name for name in kept.rows if _copied(connection, name) != kept.rows[name]}
    moved = [
        (oid, start, kept.sequences[oid])
        for oid, start, last in connection.execute(_SEQUENCES).fetchall()
        if last != kept.sequences[oid]
    ]
    emptied = (filled - kept.rows.keys()) | changed
    guards = [(table, guard) for table, guard in kept.guards if table in emptied]
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table, guard in guards:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {guard}")
        for name in emptied:
            connection.execute(f"DELETE FROM {name}")
        for table, guard in guards:
            connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {guard}")
        for name in changed:
            with connection.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN".encode()) as copy:
                copy.write(kept.rows[name])
        for oid, start, last in moved:
            connection.execute(
                sql.SQL("SELECT setval({}::oid::regclass, {}, {})").format(
                    oid, start if last is None else last, last is not None
                )
            )
