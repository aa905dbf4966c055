"""The connection pool, transactions, and the migration runner."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.pq import Format
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core import settings
from core.errors import SettingsError
from core.log import get

MIGRATIONS = settings.ROOT / "sql" / "migrations"
BOOTSTRAP = settings.ROOT / "sql" / "bootstrap"
# One migrating process at a time, in any database that this product shares with others.
MIGRATION_LOCK = 7_305_218_446
# A connection that has rested for longer is asked whether it still lives before it is used again; one
# in steady use is spared that round trip. Seconds.
RESTED_S = 5.0

_log = get(__name__)
_engine: Engine | None = None
_guard = threading.Lock()


def sqlalchemy_url(url: str) -> str:
    """`url` in the form that names the driver."""
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)


def connect(url: str, *, process: str = "studio-ops", pool_size: int = 10, timeout_s: int = 30) -> None:
    """Use the database at `url` in this process; `timeout_s` bounds every statement."""
    global _engine
    with _guard:
        if _engine is not None:
            _engine.dispose()
        _engine = create_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            hide_parameters=True,
            connect_args={
                "application_name": process,
                "connect_timeout": 10,
                "options": f"-c timezone=UTC -c statement_timeout={timeout_s * 1000}"
                # A process that is stopped in the middle of a transaction must not hold its locks for ever.
                f" -c idle_in_transaction_session_timeout={timeout_s * 1000}",
            },
        )
        _check_rested(_engine)
        event.listen(_engine, "connect", _register_loaders)


def _register_loaders(connection: Any, _: Any) -> None:
    connection.adapters.register_loader("timestamptz", _Moment)
    connection.adapters.register_loader("timestamp", _ZonelessMoment)


# The driver's compiled one, where it has one; that is no class to build upon.
_TIMESTAMPTZ = psycopg.adapters.get_loader(psycopg.adapters.types["timestamptz"].oid, Format.TEXT)


class _Moment(Loader):
    """A time of another system's row; one that Python cannot hold must not make every list unreadable."""

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        assert _TIMESTAMPTZ is not None
        self._load = _TIMESTAMPTZ(oid, context).load

    def load(self, data: Any) -> datetime:
        """The time, aware; beyond Python's reach it becomes a year that nobody takes for real."""
        try:
            found: datetime = self._load(data)
        except psycopg.DataError:
            text = bytes(data)
            past = text.startswith(b"-") or text.endswith(b"BC")
            return datetime(1970 if past else 9000, 1, 1, tzinfo=UTC)
        return found


class _ZonelessMoment(_Moment):
    """A time without a zone, which is taken for UTC."""

    def load(self, data: Any) -> datetime:
        """The time, aware."""
        return super().load(bytes(data) + b"+00")


def _check_rested(checked: Engine) -> None:
    """Have connections that the server or a proxy has closed meanwhile replaced unseen."""

    @event.listens_for(checked, "checkin")
    def _rest(_: Any, record: Any) -> None:
        record.info["rested_since"] = time.monotonic()

    @event.listens_for(checked, "checkout")
    def _wake(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get("rested_since", time.monotonic()) > RESTED_S:
            try:
                checked.dialect.do_ping(connection)
            except psycopg.Error as error:
                raise InvalidatePoolError from error


def engine() -> Engine:
    """The process's engine, made from DATABASE_URL on first use."""
    if _engine is None:
        connect(settings.current().require("DATABASE_URL"))
    assert _engine is not None
    return _engine


def close() -> None:
    """Give every connection back; the next use opens anew."""
    global _engine
    with _guard:
        if _engine is not None:
            _engine.dispose()
        _engine = None


_skew = timedelta()
_skew_until = 0.0
SKEW_KEPT_S = 60.0


def now() -> datetime:
    """The time by the database's clock, the one that all machines share; asked for once a minute.

    While the database is away the last known difference holds.
    """
    global _skew, _skew_until
    if time.monotonic() >= _skew_until:
        _skew_until = time.monotonic() + SKEW_KEPT_S
        try:
            with statement() as connection:
                shared = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
            difference = shared - datetime.now(UTC)
            # Less than that is the way to the database, not its clock.
            _skew = difference if abs(difference) > timedelta(seconds=1) else timedelta()
        except SQLAlchemyError as error:
            _log.warning("database.clock_unknown", error=type(error).__name__)
    return datetime.now(UTC) + _skew


def is_unreachable(error: BaseException) -> bool:
    """Whether `error` says that the database could not be reached, or not in time; a retry may help."""
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout)


@contextmanager
def transaction() -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any error.

    Never held across a network call to anything but Postgres.
    """
    with engine().begin() as connection:
        yield connection


@contextmanager
def reading() -> Iterator[Connection]:
    """A read-only transaction, one consistent snapshot for all its queries."""
    with engine().connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection
        connection.rollback()


@contextmanager
def statement() -> Iterator[Connection]:
    """A connection for a single statement that is its own transaction: one round trip."""
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@contextmanager
def planned_anew(connection: Connection) -> Iterator[None]:
    """Within the block each statement is planned for its own values, not once for all of them."""
    driver: Any = connection.connection.driver_connection
    kept, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        yield
    finally:
        driver.prepare_threshold = kept


def migrate(url: str, *, local: bool = False) -> list[str]:
    """Bring the database at `url` up to date; the names of the files applied.

    Each file is one transaction under one advisory lock, so that two processes may call this at
    once. `local` first makes what Supabase would have brought (schemas auth and storage, roles).
    A file already applied whose text has changed since is an error: migrations are never edited.
    """
    plain = re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql://", url)
    with psycopg.connect(plain, autocommit=True, application_name="studio-ops migrate") as connection:
        connection.add_notice_handler(
            lambda notice: (
                _log.info("migration.notice", message=notice.message_primary)
                if notice.severity_nonlocalized == "WARNING"
                else None
            )
        )
        if local:
            for path in sorted(BOOTSTRAP.glob("*.sql")):
                _apply(connection, path)
        _prepare_ledger(connection)
        return [path.name for path in sorted(MIGRATIONS.glob("*.sql")) if _apply_once(connection, path)]


def _prepare_ledger(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version int PRIMARY KEY, name text NOT NULL,"
            " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute("ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY")


def _apply(connection: psycopg.Connection, path: Path) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        connection.execute(path.read_bytes())


def _apply_once(connection: psycopg.Connection, path: Path) -> bool:
    body = path.read_bytes()
    version, checksum = int(path.name.split("_")[0]), hashlib.sha256(body).hexdigest()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        found = connection.execute(
            "SELECT checksum FROM schema_migrations WHERE version = %s", (version,)
        ).fetchone()
        if found:
            if found[0] != checksum:
                raise SettingsError(
                    f"sql/migrations/{path.name} was changed after it had been applied to this database."
                    " Restore the file and put the change into a new migration."
                )
            return False
        connection.execute(body)
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
            (version, path.name, checksum),
        )
    _log.info("migration.applied", name=path.name)
    return True
