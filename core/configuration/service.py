"""Runs checks beside whoever asked, keeps what they said, and mends buckets."""

import json
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from core import access, audit, database, log, queries, settings
from core.access import Action, Actor
from core.configuration.checks import BY_KEY, CHECKS
from core.configuration.models import Check, Result, Verdict
from core.errors import Conflict, NotFound, StudioOpsError
from core.storage.backend import from_settings
from core.storage.buckets import BUCKETS

# After so long a check is said to have no answer; what it still finds out is kept all the same.
PATIENCE = timedelta(seconds=30)
_SQL = queries.load("configuration")
_log = log.get(__name__)


@dataclass
class _Desk:
    """What is being checked by this process, and what was found while the database could not keep it."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    running: dict[str, datetime] = field(default_factory=dict)
    found: dict[str, Result] = field(default_factory=dict)


_desk = _Desk()


@dataclass(frozen=True)
class Standing:
    """A check, what it last said (None: never asked), and since when it runs now."""

    check: Check
    result: Result | None
    running_since: datetime | None

    def is_overdue(self, now: datetime) -> bool:
        """Whether it has been running for longer than anybody should wait."""
        return self.running_since is not None and now - self.running_since > PATIENCE


def standings(actor: Actor | None) -> tuple[Standing, ...]:
    """Every check with what it last said, also while the database is away."""
    access.check(actor, Action.CHECK_CONFIGURATION)
    with _desk.guard:
        results, running = dict(_desk.found), dict(_desk.running)
    try:
        with database.reading() as connection:
            for row in _SQL["results"].all(connection):
                kept = _to_result(**row)
                mine = results.get(kept.key)
                if mine is None or mine.ended_at < kept.ended_at:
                    results[kept.key] = kept
    except (SQLAlchemyError, StudioOpsError) as error:
        _log.warning("configuration.results_unread", error=type(error).__name__)
    return tuple(Standing(check, results.get(check.key), running.get(check.key)) for check in CHECKS)


def _to_result(
    key: str,
    verdicts: list[dict[str, object]],
    ended_at: datetime,
    took_ms: int,
    asked_by: str,
    asked_by_id: str | None,
) -> Result:
    known = tuple(
        Verdict(
            str(one.get("name")),
            bool(one.get("good")),
            str(one.get("message")),
            bool(one.get("warning")),
            str(one["bucket"]) if one.get("bucket") else None,
        )
        for one in verdicts
    )
    return Result(key, known, ended_at, took_ms, asked_by, asked_by_id)


def begin(actor: Actor | None, key: str, now: datetime) -> bool:
    """Run a check beside the caller; False while it runs already. Raises NotFound for none of ours."""
    actor = access.check(actor, Action.CHECK_CONFIGURATION)
    if key not in BY_KEY:
        raise NotFound(f"There is no check {key[:40]!r}.")
    return _begin(BY_KEY[key], actor, now, mending=None)


def begin_all(actor: Actor | None, now: datetime) -> None:
    """Run every check that does not run already."""
    for key in BY_KEY:
        begin(actor, key, now)


def begin_mending(actor: Actor | None, bucket: str, now: datetime) -> None:
    """Open a bucket as far as its table asks, beside the caller, and look at all of them again.

    The order stands in the audit log before anything is changed. Raises Conflict while buckets are looked at.
    """
    actor = access.check(actor, Action.MEND_STORAGE)
    if bucket not in {one.name for one in BUCKETS}:
        raise NotFound(f"There is no bucket {bucket[:80]!r} of ours.")
    with database.transaction() as connection:
        audit.record(connection, actor, "bucket.mend", "bucket", bucket)
    if not _begin(BY_KEY["storage"], actor, now, mending=bucket):
        raise Conflict("The buckets are being looked at just now. Try again in a moment.")


def _begin(check: Check, actor: Actor, now: datetime, mending: str | None) -> bool:
    with _desk.guard:
        if check.key in _desk.running:
            return False
        _desk.running[check.key] = now
    name = f"check-{check.key}"
    threading.Thread(target=_run, args=(check, actor, mending), name=name, daemon=True).start()
    return True


def _run(check: Check, asked_by: Actor, mending: str | None) -> None:
    log.new_request_id()
    begun = time.monotonic()
    try:
        if mending is not None:
            _mend(mending)
        verdicts = tuple(check.run(settings.current(), database.now()))
    except StudioOpsError as error:
        verdicts = (Verdict(check.title, good=False, message=error.message),)
    except Exception as error:  # noqa: BLE001 - a check that breaks is a fault to be shown
        _log.exception("configuration.check_failed", check=check.key)
        told = f"the check itself broke ({type(error).__name__}); the log has the rest."
        verdicts = (Verdict(check.title, good=False, message=told),)
    took_ms = round((time.monotonic() - begun) * 1000)
    result = Result(check.key, verdicts, database.now(), took_ms, asked_by.name, asked_by.id)
    with _desk.guard:
        _desk.running.pop(check.key, None)
        _desk.found[check.key] = result
    _keep(result)


def _mend(bucket: str) -> None:
    with closing(from_settings(settings.current())) as storage:
        done = storage.prepare(next(one for one in BUCKETS if one.name == bucket))
    _log.info("configuration.bucket_mended", bucket=bucket, done=done)


def _keep(result: Result) -> None:
    verdicts = json.dumps([log.redact(asdict(verdict)) for verdict in result.verdicts])
    try:
        with database.statement() as connection:
            _SQL["keep_result"].run(
                connection,
                key=result.key,
                ended_at=result.ended_at,
                took_ms=result.took_ms,
                verdicts=verdicts,
                asked_by=result.asked_by,
                asked_by_id=result.asked_by_id,
            )
    except (SQLAlchemyError, StudioOpsError) as error:
        _log.warning("configuration.result_not_kept", check=result.key, error=type(error).__name__)


def forget() -> None:
    """Forget what this process found; what the database keeps stays."""
    with _desk.guard:
        _desk.found.clear()
