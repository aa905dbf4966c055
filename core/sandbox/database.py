"""Cuts the product's connections to its database, as a restart of it would."""

import psycopg

_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def cut_connections(url: str) -> int:
    """End every other connection to the database at `url`; how many. 0 when it cannot be reached."""
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    try:
        with psycopg.connect(plain, autocommit=True, connect_timeout=5, application_name="sandbox") as one:
            row = one.execute(_CUT).fetchone()
    except psycopg.Error:
        return 0
    return int(row[0]) if row else 0
