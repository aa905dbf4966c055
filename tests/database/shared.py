"""A migrated database that the tests of a module share."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from core import database

_serial = itertools.count(1)


@contextmanager
def shared_database(server: str) -> Iterator[str]:
    """The URL of a migrated database on `server`, this process connected to it; gone afterwards."""
    name = f"shared_{next(_serial)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    url = f"{server.rsplit('/', 1)[0]}/{name}"
    database.connect(url)
    yield url
    database.close()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
