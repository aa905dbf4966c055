"""Checks everything that the product needs, and says of each fault how to mend it."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from core import database, queries
from core.deliveries import tools
from core.errors import StudioOpsError
from core.settings import LOOPBACK, Settings
from core.storage.buckets import BUCKETS
from core.work import runs

OLDEST_POSTGRES = 150_000
_SQL = queries.load("doctor")


@dataclass(frozen=True)
class Verdict:
    """One check: what, whether it is well, and a sentence. `warning` is a fault that stops nothing."""

    name: str
    good: bool
    message: str
    warning: bool = False

    def line(self) -> str:
        """The verdict as one line, never with a secret."""
        mark = "warn" if self.warning else "ok  " if self.good else "FAIL"
        return f"{mark}  {self.name}: {self.message}"


def check(settings: Settings, now: datetime) -> list[Verdict]:
    """Every check in order; those that need the database are left out when it is away."""
    verdicts = [*_settings(settings)]
    if settings.database_url is None:
        remedy = "nothing runs in this folder. Start it with: streamlit run app.py"
        return [*verdicts, Verdict("database", good=False, message=remedy)]
    found = list(_database())
    verdicts += found
    verdicts += _storage()
    verdicts.append(_provider(settings))
    if all(verdict.good for verdict in found):
        verdicts += _machinery(now)
    return verdicts


def _settings(settings: Settings) -> Iterator[Verdict]:
    yield Verdict(
        "settings", good=True, message=f"{settings.profile} profile, storage {settings.storage_backend}"
    )
    host = settings.public_base_url.split("://", 1)[-1].split("/")[0].rsplit(":", 1)[0]
    if settings.profile == "configured" and host in LOOPBACK:
        yield Verdict(
            "PUBLIC_BASE_URL",
            good=False,
            message="points at this machine, so KIE's callbacks can't arrive. Set it to the public address.",
        )
    for name, why in (
        ("KIE_CALLBACK_SECRET", "every callback is refused without it"),
        ("OPS_API_KEY", "the API answers nobody without it"),
    ):
        if not getattr(settings, name.lower()) or not settings.require(name):
            local = settings.profile == "local"
            yield Verdict(name, good=local, message=f"is not set: {why}.", warning=local)


def _database() -> Iterator[Verdict]:
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
    if not login["sees_all_rows"]:
        told = f"{login['name']} sees no rows. Run as its owner: GRANT service_role TO {login['name']};"
        yield Verdict("row-level security", good=False, message=told)
    yield _pooler()


def _pooler() -> Verdict:
    """LISTEN and session locks don't survive a transaction pooler; a session's own setting neither."""
    marker = f"doctor-{uuid.uuid4().hex[:8]}"
    with database.statement() as connection:
        _SQL["pooler"].one(connection, marker=marker)
        seen = [_SQL["marker"].one(connection) for _ in range(5)]
    if len({row["pid"] for row in seen}) == 1 and all(row["marker"] == marker for row in seen):
        return Verdict("connection", good=True, message="a session of its own")
    told = "DATABASE_URL goes through a transaction pooler. Use the session or the direct port."
    return Verdict("connection", good=False, message=told)


def _storage() -> Iterator[Verdict]:
    for bucket in BUCKETS:
        yield _try(f"bucket {bucket.name}", partial(_writable, bucket.name))


def _writable(bucket: str) -> str:
    tools.current().storage.check(bucket)
    return "writable"


def _provider(settings: Settings) -> Verdict:
    return _try(f"KIE at {settings.kie_base_url}", _credit)


def _credit() -> str:
    return f"{tools.current().kie.credit():f} credits left"


def _try(name: str, what: Callable[[], str]) -> Verdict:
    try:
        return Verdict(name, good=True, message=what())
    except StudioOpsError as error:
        return Verdict(name, good=False, message=error.message)


def _machinery(now: datetime) -> Iterator[Verdict]:
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
