"""What can be judged of the database: its schema, its rights, its mode, and who works on it."""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from core import database, queries
from core.configuration.models import Verdict
from core.settings import Settings
from core.work import runs

OLDEST_POSTGRES = 150_000
# KIE's signed callbacks and Supabase's tokens are good for minutes; what is less than a second is the way.
SKEW_SEEN_S, SKEW_BAD_S = 2.0, 60.0
_SQL = queries.load("doctor")
# Only where the extension pg_trgm is.
_WITH_TRIGRAMS = {"lora_library_parts", "lora_library_alike"}
_MADE = {
    "index": re.compile(r"CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?IF NOT EXISTS (\w+)\s+ON public\."),
    "table": re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(?:public\.)?(\w+)\s*\("),
}
_DROPPED = re.compile(r"DROP (?:INDEX|TABLE) IF EXISTS public\.(\w+);")


def database_itself(_: Settings, __: datetime) -> Iterator[Verdict]:
    """Its version, its migrations and what they left to do, whether it takes writes, and the time there."""
    try:
        with database.reading() as connection:
            login = _SQL["login"].one(connection)
            applied = {row["name"] for row in _SQL["applied"].all(connection)}
            findings = _SQL["findings"].all(connection)
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", "") or type(error).__name__).splitlines()[0]
        yield Verdict(
            "database", good=False, message=f"{words}. Check DATABASE_URL, then: python -m jobs migrate"
        )
        return
    good = login["version_num"] >= OLDEST_POSTGRES
    yield Verdict("database", good=good, message=f"Postgres {login['version']} as {login['name']}")
    missing = sorted(path.name for path in database.MIGRATIONS.glob("*.sql") if path.name not in applied)
    told = f"{len(missing)} missing. Run: python -m jobs migrate" if missing else "up to date"
    yield Verdict("migrations", good=not missing, message=told)
    for finding in findings:
        told = f"{finding['message']} {finding['remedy'] or ''}".strip()
        yield Verdict(f"finding {finding['code']}", good=True, message=told, warning=True)
    if login["sees_all_rows"]:
        yield Verdict("row-level security", good=True, message=f"{login['name']} sees all rows")
    else:
        told = f"{login['name']} sees no rows. Run as its owner: GRANT service_role TO {login['name']};"
        yield Verdict("row-level security", good=False, message=told)
    yield from _mode()


def _mode() -> Iterator[Verdict]:
    """A standby and a read-only database answer every question and take no write."""
    before = datetime.now(UTC)
    with database.statement() as connection:
        found = _SQL["mode"].one(connection)
    after = datetime.now(UTC)
    if found["is_standby"]:
        told = "is a standby, which takes no writes. Set DATABASE_URL to the primary."
        yield Verdict("writes", good=False, message=told)
    elif found["is_read_only"]:
        told = (
            "are refused: default_transaction_read_only is on. Supabase sets it when the disk is full:"
            f" enlarge it, then: ALTER DATABASE {found['name']} RESET default_transaction_read_only;"
        )
        yield Verdict("writes", good=False, message=told)
    else:
        yield Verdict("writes", good=True, message="taken")
    yield clock_verdict(before, found["now"], after)


def clock_verdict(before: datetime, there: datetime, after: datetime) -> Verdict:
    """How far this machine's clock is from the database's, whose answer came between two readings."""
    apart = max(before - there, there - after, timedelta()).total_seconds()
    if apart < SKEW_SEEN_S:
        return Verdict("time", good=True, message="this machine and the database agree")
    where = "ahead of" if before > there else "behind"
    told = f"this machine is {apart:,.0f} s {where} the database. Set both by NTP (timedatectl set-ntp true)."
    return Verdict("time", good=apart < SKEW_BAD_S, message=told, warning=apart < SKEW_BAD_S)


def connection(_: Settings, __: datetime) -> Iterator[Verdict]:
    """The way to it. LISTEN, session locks and a session's settings don't survive a transaction pooler."""
    marker = f"doctor-{uuid.uuid4().hex[:8]}"
    with database.statement() as connection:
        _SQL["pooler"].one(connection, marker=marker)
        seen = [_SQL["marker"].one(connection) for _ in range(5)]
    if len({row["pid"] for row in seen}) == 1 and all(row["marker"] == marker for row in seen):
        yield Verdict("connection", good=True, message="a session of its own")
        return
    told = "DATABASE_URL goes through a transaction pooler. Use the session or the direct port."
    yield Verdict("connection", good=False, message=told)


def schema(_: Settings, __: datetime) -> Iterator[Verdict]:
    """Row-level security and policies of every table, and every index, as the migrations make them."""
    tables, indexes = made("table"), made("index")
    with database.reading() as found:
        open_tables = [row["name"] for row in _SQL["tables_without_security"].all(found, names=tables)]
        closed = [row["name"] for row in _SQL["tables_without_policy"].all(found, names=tables)]
        missing = [row["name"] for row in _SQL["missing_indexes"].all(found, names=indexes)]
        broken = [row["name"] for row in _SQL["broken_indexes"].all(found)]
    yield _listed(
        "row-level security of tables",
        open_tables,
        "on for all of ours",
        "is off, so whoever holds the project's public key may read them. Run as their owner:"
        " ALTER TABLE public.{} ENABLE ROW LEVEL SECURITY;",
    )
    yield _listed(
        "policies",
        closed,
        "the service may work on all of ours",
        "has no policy for service_role. Run: python -m jobs migrate; if it stays:"
        ' CREATE POLICY "Service can manage all" ON public.{} FOR ALL TO service_role'
        " USING (true) WITH CHECK (true);",
    )
    yield _listed(
        "indexes",
        missing,
        "all there",
        "is missing, so pages are slow at many rows. Its statement stands in sql/migrations; look for {}.",
    )
    yield _listed("broken indexes", broken, "none", "is invalid. Run: REINDEX INDEX CONCURRENTLY public.{};")


def made(kind: str) -> list[str]:
    """The tables or indexes that the migrations make on every database, by name."""
    found = set[str]()
    for path in sorted(database.MIGRATIONS.glob("*.sql")):
        text = path.read_text()
        found = (found | set(_MADE[kind].findall(text))) - set(_DROPPED.findall(text))
    return sorted(found - _WITH_TRIGRAMS)


def _listed(name: str, found: list[str], well: str, told: str) -> Verdict:
    if not found:
        return Verdict(name, good=True, message=well)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return Verdict(name, good=False, message=f"{', '.join(found[:5])}{more} {told.format(found[0])}")


def machinery(_: Settings, now: datetime) -> Iterator[Verdict]:
    """Whether a clock and a worker are alive."""
    alive = runs.liveness(now)
    for role in runs.ROLES:
        last = alive.last_beat[role]
        if role not in alive.missing:
            yield Verdict(role, good=True, message="alive")
        elif last is None:
            yield Verdict(role, good=False, message=f"never seen. Start it with: python -m jobs {role}")
        else:
            told = f"silent since {last:%Y-%m-%d %H:%M:%S} UTC. Start it with: python -m jobs {role}"
            yield Verdict(role, good=False, message=told)
