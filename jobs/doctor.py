"""Checks everything that the product needs, and says of each fault how to mend it."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from core import database, queries
from core.errors import StudioOpsError
from core.notifications import channels
from core.providers import registry, training_registry
from core.settings import LOOPBACK, Settings
from core.storage import contradictions
from core.storage.backend import from_settings
from core.storage.condition import examine
from core.work import runs

OLDEST_POSTGRES = 150_000
# Files of up to 500 MB, several at once, lie on the disk for a moment.
ROOM_WANTED, ROOM_NEEDED = 5 * 10**9, 10**9
# KIE's signed callbacks and Supabase's tokens are good for minutes; what is less than a second is the way.
SKEW_SEEN_S, SKEW_BAD_S = 2.0, 60.0
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
    verdicts = [*_settings(settings), *_contradictions(settings), _room(settings)]
    if settings.database_url is None:
        remedy = "nothing runs in this folder. Start it with: streamlit run app.py"
        return [*verdicts, Verdict("database", good=False, message=remedy)]
    found = list(_database())
    verdicts += found
    verdicts += _storage(settings)
    verdicts += _providers(settings)
    verdicts += _trainers(settings)
    verdicts += _channels(settings)
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
    elif settings.profile == "configured" and settings.public_base_url.startswith("http:"):
        yield Verdict(
            "PUBLIC_BASE_URL",
            good=True,
            message="begins with http://, so keys and the callback's secret travel in the open. Use https://.",
            warning=True,
        )
    for name, why in (
        ("KIE_CALLBACK_SECRET", "every callback is refused without it"),
        ("OPS_API_KEY", "the API answers nobody without it"),
    ):
        if not getattr(settings, name.lower()) or not settings.require(name):
            local = settings.profile == "local"
            yield Verdict(name, good=local, message=f"is not set: {why}.", warning=local)


def _contradictions(settings: Settings) -> Iterator[Verdict]:
    """Settings that can't all be meant."""
    for complaint in contradictions.found_in(settings):
        yield Verdict(
            complaint.name, good=complaint.harmless, message=complaint.words, warning=complaint.harmless
        )


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
    if login["sees_all_rows"]:
        yield Verdict("row-level security", good=True, message=f"{login['name']} sees all rows")
    else:
        told = f"{login['name']} sees no rows. Run as its owner: GRANT service_role TO {login['name']};"
        yield Verdict("row-level security", good=False, message=told)
    yield from _mode()
    yield _pooler()


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


def _room(settings: Settings) -> Verdict:
    """Every file passes through the data folder's disk on its way, whatever the storage."""
    folder = settings.data_path
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    told = f"{free / 1e9:,.1f} GB free in {settings.data_path}"
    if free >= ROOM_WANTED:
        return Verdict("disk", good=True, message=told)
    remedy = "Free some space, or set STUDIO_OPS_DATA_DIR to a folder on a larger disk."
    return Verdict("disk", good=free >= ROOM_NEEDED, message=f"{told}. {remedy}", warning=free >= ROOM_NEEDED)


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


def _storage(settings: Settings) -> Iterator[Verdict]:
    try:
        storage = from_settings(settings)
    except StudioOpsError as error:
        yield Verdict("storage", good=False, message=error.message)
        return
    for found in examine(storage):
        yield Verdict(f"bucket {found.bucket}", found.good, found.message, found.warning)
    storage.close()


def _providers(settings: Settings) -> Iterator[Verdict]:
    """KIE, which is needed, and the others where their key is set."""
    yield _try(f"KIE at {settings.kie_base_url}", partial(_key_of, "kie", settings))
    for name, entry in registry.PROVIDERS.items():
        if name != "kie" and settings.has(entry.needs):
            yield _try(f"{entry.name}'s generations", partial(_key_of, name, settings))


def _key_of(name: str, settings: Settings) -> str:
    with closing(registry.build(name, settings)) as provider:
        return provider.check_key()


def _trainers(settings: Settings) -> Iterator[Verdict]:
    """Each account of the trainings whose key is set, by a call that costs nothing."""
    ready = training_registry.configured(settings)
    for name in ready:
        yield _try(f"{training_registry.TRAINERS[name].label}'s trainer", partial(_trainer, name, settings))
    default = training_registry.entry(settings.default_trainer)
    if settings.default_trainer not in ready:
        told = f"{' and '.join(default.needs)} must be set before {default.label} can train."
        yield Verdict("DEFAULT_TRAINER", good=True, message=told, warning=True)
    if settings.has("HUGGINGFACE_API_TOKEN"):
        yield _try("Hugging Face", partial(_publisher, settings))


def _publisher(settings: Settings) -> str:
    # Its package takes most of a second to import, which no other command should pay.
    from core.providers import hugging_face

    return hugging_face.from_settings(settings).check_key()


def _trainer(name: str, settings: Settings) -> str:
    with closing(training_registry.build(name, settings)) as trainer:
        return trainer.check_key()


def _channels(settings: Settings) -> Iterator[Verdict]:
    """The channels that alerts are told by; nothing is sent."""
    found = channels.of(settings)
    if not found:
        told = "is not set: alerts stand on the page alone, and nobody is told of them."
        yield Verdict("ALERT_URLS", good=True, message=told, warning=settings.profile == "configured")
    for one in found:
        told = one.fault or "its address is good; the page Alerts sends a test message by it"
        yield Verdict(f"channel {one.label}", good=one.fault is None, message=told)


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
